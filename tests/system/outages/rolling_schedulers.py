"""A rolling restart of three schedulers under load, the loss of their leases, and many SIGKILLs: `make soak`.

Each old replica gets SIGTERM once the new one is ready, as Kubernetes does it with maxSurge 1 and maxUnavailable 0.
Every schedule must be due at each of its times exactly once for read_committed readers, judged by arithmetic alone. The
longest delay from the time of a tick to the append of its last due record is printed, and limited.
"""

import json
import os
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from redis import Redis

from clocksvc import Reporter, Schedules
from clocksvc.dev.child_server import LOOPBACK, free_ports
from tests import http_client
from tests.system.installation import Installation, create_topic, wall_ms
from tests.waiting import eventually

pytestmark = pytest.mark.servers

CLOCK = "rolling"
PARTITIONS = 8
SCHEDULES = 20_000
INTERVAL_S = 10
STEADY_S = 15.0
KILLS = int(os.environ.get("SCHEDULER_KILLS", "20"))
LIMITS_S = {
    "rolling restart": 2.0,
    "leases lost": 2.0,
    "SIGKILL": 10.0,
    "each stopped before the new one starts": 2.0,
    "blue-green": 2.0,
    "a single replica restarted": 15.0,
    "kills": 60.0,
}
"""By how much the longest delay in each phase may exceed the one without any event, which depends on the machine. After
a SIGKILL the lease must expire, and the partitions are loaded."""


class Schedulers:
    """Replicas of `clocksvc scheduler`, each with a port of its own."""

    def __init__(self, installed: Installation) -> None:
        self._installed = installed
        self._urls: dict[str, str] = {}

    def start(self, name: str, *, ready: bool = True) -> float:
        """Start a replica, and return the seconds until it is ready, if `ready`."""
        port = free_ports(1)[0]
        self._urls[name] = f"http://{LOOPBACK}:{port}"
        began = time.monotonic()
        self._installed.start(name, "clocksvc.cli.main", "scheduler", "--port", str(port))
        if ready:
            self.wait_ready(name)
        return time.monotonic() - began

    def wait_ready(self, name: str) -> None:
        """Wait until a replica has loaded its partitions."""
        eventually(lambda: self._is_ready(name), within=60, what=f"{name} to be ready")

    def stop(self, name: str) -> float:
        """SIGTERM; returns the seconds until the process has ended."""
        began = time.monotonic()
        assert self._installed.end(name, within=60) == 0
        return time.monotonic() - began

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._installed.kill(name)

    def _is_ready(self, name: str) -> bool:
        return http_client.get(f"{self._urls[name]}/readyz", timeout=2).status_code == 200


@contextmanager
def reporting(installed: Installation) -> Iterator[None]:
    """The clock's consumer: all partitions are processed up to the present, ten times a second."""
    stopping = threading.Event()

    def report() -> None:
        with Reporter(installed.report_url, CLOCK, group="g", topic=f"{installed.prefix}-t") as reporter:
            while not stopping.wait(0.1):
                reporter.observe(0, wall_ms())
                reporter.flush()

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(10.0)


def wait(seconds: float) -> None:
    """Let the schedulers work."""
    until_ms = wall_ms() + seconds * 1000
    eventually(lambda: wall_ms() >= until_ms, within=seconds + 5, what="the time to pass")


def read_due(bootstrap: str, topic: str) -> tuple[dict[str, list[int]], dict[int, float]]:
    """The due times (s) of each schedule in the order of their records, and the longest delay (s) of each tick."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "isolation.level": "read_committed"}
    )
    ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in range(PARTITIONS)}
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    due: dict[str, list[int]] = defaultdict(list)
    delays: dict[int, float] = {}
    reached = dict.fromkeys(ends, 0)
    deadline = time.monotonic() + 120
    while any(reached[number] < end for number, end in ends.items()):
        assert time.monotonic() < deadline, f"the topic of due records can't be read to its end: {reached} of {ends}"
        for message in consumer.consume(1_000, 0.5):
            assert message.error() is None, message.error()
            headers: dict[str, bytes] = dict(message.headers() or [])  # type: ignore[arg-type]
            if "clocksvc-type" in headers:
                continue
            tick_s = seconds(headers["clocksvc-tick"])
            due[str(message.key(), "utf-8")].append(seconds(headers["clocksvc-due"]))  # type: ignore[arg-type]
            delays[tick_s] = max(delays.get(tick_s, 0.0), message.timestamp()[1] / 1000 - tick_s)
        reached = {one.partition: max(one.offset, 0) for one in consumer.position(consumer.assignment())}
    consumer.close()
    return due, delays


def seconds(value: bytes) -> int:
    """The epoch of a time in RFC 3339."""
    return int(datetime.fromisoformat(value.decode()).timestamp())


def lose_leases(redis_url: str, prefix: str) -> None:
    """Delete the announcements and leases of the schedulers."""
    with Redis.from_url(redis_url) as redis:
        lost = [key for name in ("schedulers", "partition-leases") for key in redis.keys(f"{prefix}:*:{CLOCK}:{name}")]
        assert redis.delete(*lost) == 2


def kill_often(schedulers: Schedulers, names: list[str], redis_url: str, prefix: str) -> None:
    """Replace one of the replicas at random, mostly by SIGKILL, also while it loads. Sometimes empty the store."""
    chance = random.Random(1)
    for number in range(KILLS):
        wait(chance.choice([0.5, 1.0, 2.0, 4.0, 7.0]))
        victim = names.pop(chance.randrange(len(names)))
        if chance.random() < 0.75:
            schedulers.kill(victim)
        else:
            schedulers.wait_ready(victim)
            schedulers.stop(victim)
        if chance.random() < 0.3:
            with Redis.from_url(redis_url) as redis:
                redis.delete(*redis.keys(f"{prefix}:*"))
        names.append(f"after-{number}")
        schedulers.start(names[-1], ready=False)


def test_schedulers_are_replaced_without_a_gap(bootstrap: str, redis_url: str, key_prefix: str, tmp_path: Path) -> None:
    """Nothing is lost, nothing is twice, and nothing is later than the limit of its phase."""
    create_topic(bootstrap, f"{key_prefix}-t", 1)
    schedules = {"partitions": PARTITIONS}
    clocks = {CLOCK: {"topics": [f"{key_prefix}-t"], "group": "g", "interval": "1s", "schedules": schedules}}
    phases: dict[str, tuple[int, int]] = {}
    with Installation(tmp_path, bootstrap, redis_url, key_prefix, clocks) as installed:
        installed.start_replica()
        schedulers = Schedulers(installed)
        for name in ("a", "b", "c"):
            schedulers.start(name)
        with reporting(installed):
            created = datetime.now(UTC).isoformat()
            body = {"interval": f"{INTERVAL_S}s", "task": "uptime.check", "payload": {"x": "y" * 150}}
            with Schedules(kafka=bootstrap, clock=CLOCK) as writer:
                items = ((f"s-{number:06}", {**body, "created_at": created}) for number in range(SCHEDULES))
                assert writer.put_many(items) == SCHEDULES
            written_ms = wall_ms()
            wait(5.0)

            with phase(phases, "steady"):
                wait(STEADY_S)
            moves = []
            with phase(phases, "rolling restart"):
                for old, new in (("a", "d"), ("b", "e"), ("c", "f")):
                    moves.append((round(schedulers.start(new), 2), round(schedulers.stop(old), 2)))
            with phase(phases, "leases lost"):
                for _ in range(5):
                    lose_leases(redis_url, key_prefix)
                    wait(3.0)
            with phase(phases, "SIGKILL"):
                schedulers.kill("d")
                wait(STEADY_S)
            with phase(phases, "each stopped before the new one starts"):
                for old, new in (("e", "g"), ("f", "h")):
                    schedulers.stop(old)
                    schedulers.start(new)
            with phase(phases, "blue-green"):
                for new in ("i", "j"):
                    schedulers.start(new)
                with ThreadPoolExecutor() as pool:
                    list(pool.map(schedulers.stop, ("g", "h")))
                wait(3.0)
            schedulers.stop("i")
            with phase(phases, "a single replica restarted"):
                schedulers.stop("j")
                schedulers.start("k")
                wait(STEADY_S)
            for new in ("l", "m"):
                schedulers.start(new)
            with phase(phases, "kills"):
                kill_often(schedulers, ["k", "l", "m"], redis_url, key_prefix)
                wait(STEADY_S)
            installed.check_alive()
            ended_ms = wall_ms()
            wait(3.0)
        due, delays = read_due(bootstrap, f"{CLOCK}-due")
    judge(due, written_ms / 1000 + 2 * INTERVAL_S, ended_ms / 1000 - INTERVAL_S)
    longest = {
        name: round(max(delay for tick_s, delay in delays.items() if began_ms <= tick_s * 1000 < end_ms), 2)
        for name, (began_ms, end_ms) in phases.items()
    }
    due_records = sum(len(times) for times in due.values())
    print(json.dumps({"due": due_records, "start and stop (s)": moves, "longest delay (s)": longest}))
    assert all(longest[name] <= longest["steady"] + limit_s for name, limit_s in LIMITS_S.items()), longest


@contextmanager
def phase(phases: dict[str, tuple[int, int]], name: str) -> Iterator[None]:
    """Note when a phase began and ended (ms)."""
    began_ms = wall_ms()
    yield
    phases[name] = began_ms, wall_ms()


def judge(due: dict[str, list[int]], since_s: float, until_s: float) -> None:
    """Each schedule is due every 10 s, exactly once, in order, and covers the time between two moments."""
    assert len(due) == SCHEDULES
    for name, times in due.items():
        assert all(later - earlier == INTERVAL_S for earlier, later in pairwise(times)), (name, times)
        assert times[0] <= since_s, (name, times)
        assert times[-1] >= until_s, (name, times)
