"""Schedulers while they, the broker and the contents of Redis are killed: `make soak`. It takes minutes.

An hour of event time passes in ticks of a minute. All the while schedules are created and deleted in Kafka. At the end
each schedule must have been due at each of its times exactly once for read_committed readers, by an arithmetic of its
own, and none after a deletion that was acknowledged before the tick.
"""

import json
import os
import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition
from redis import Redis, RedisError

from clocksvc import Schedules
from clocksvc.clock.log_record import ClockState, Record, encode_message
from clocksvc.clock.logs import log_of
from clocksvc.clock.tick import Tick
from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_log import KafkaTickLog
from tests import http_client
from tests.process import Process, module
from tests.waiting import eventually

pytestmark = pytest.mark.servers

CLOCK, TICK_LOG, PARTITIONS, REPLICAS = "storm", "storm-ticks", 4, 3
MINUTE_S, TICKS = 60, 60
SCHEDULES = int(os.environ.get("STORM_SCHEDULES", "20000"))
KILLS = int(os.environ.get("STORM_KILLS", "20"))
INTERVALS_S = (60, 120, 300, 600, 1800, 3600)
CHANGES_A_SECOND = 500
BEGIN_S = 1_795_348_800
"""An hour before the end of event time. A whole hour, so that all intervals are aligned."""


@dataclass
class Span:
    """When a request was sent and acknowledged, in monotonic seconds; `acked` is None if no answer came."""

    sent: float
    acked: float | None = None


@dataclass
class Expected:
    """What the test has written about one schedule."""

    every_s: int
    created_s: int
    put: Span
    deleted: Span | None = None

    def due_times(self, name: str, end_s: int) -> Iterator[int]:
        """All of its due times, by the definition in docs/schedules.md."""
        offset_s = (zlib.crc32(name.encode()) * self.every_s) >> 32
        instant_s = (self.created_s - MINUTE_S) // self.every_s * self.every_s + offset_s
        while (due_s := -(-instant_s // MINUTE_S) * MINUTE_S) <= end_s:
            if due_s > self.created_s:
                yield due_s
            instant_s += self.every_s


class Leader:
    """Commits the ticks, and survives a broker that is killed."""

    def __init__(self, bootstrap: str) -> None:
        self._settings = {"bootstrap.servers": bootstrap}
        self._log: KafkaTickLog | None = None
        self._end = 0
        self.last_s = BEGIN_S
        self.spans: dict[int, Span] = {}

    def tick(self) -> None:
        """Commit the next tick; returns after the commit."""
        at_s = self.last_s + MINUTE_S
        tick = Tick(CLOCK, at_s * 1000, self.last_s * 1000, MINUTE_S * 1000, at_s * 1000)
        message = encode_message(Record(CLOCK, ClockState(last_tick_ms=at_s * 1000), tick))
        span = self.spans[at_s] = Span(time.monotonic())

        def committed() -> bool:
            if self._log is None:
                self._fence()
            assert self._log is not None
            if self._newest_s() != at_s:
                try:
                    self._end = self._log.append([message], self._end, _wait)
                except ClocksvcError:
                    self._log = None
                    raise
            return True

        eventually(committed, within=120, what="a tick to be committed")
        span.acked = time.monotonic()
        self.last_s = at_s

    def _fence(self) -> None:
        log = KafkaTickLog(TICK_LOG, log_of(CLOCK), self._settings, SystemTime(), 30 * 86_400_000)
        log.ensure_topic(_wait)
        log.fence(_wait)
        self._end = log.bounds(_wait).end
        self._log = log

    def _newest_s(self) -> int | None:
        assert self._log is not None
        for _, message in reversed(self._log.read(max(0, self._end - 4), self._end, _wait)):
            return int(json.loads(message.value or b"{}")["timestamp_seconds"])
        return None


def _wait() -> None:
    return None


class Writer:
    """Creates and deletes schedules in Kafka in a thread. An id is never used again."""

    def __init__(self, bootstrap: str, leader: Leader) -> None:
        self.expected: dict[str, Expected] = {}
        self._bootstrap, self._leader = bootstrap, leader
        self._rng = random.Random(1)
        self._living: list[str] = []
        self._stop = threading.Event()
        self.failures = 0

    def first(self) -> None:
        """Write the schedules that exist from the beginning."""
        with Schedules(kafka=self._bootstrap, clock=CLOCK, timeout=120) as schedules:
            self._write(schedules, [self._new("first", number) for number in range(SCHEDULES)], [])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Change schedules during the block."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        yield
        self._stop.set()
        thread.join(180)
        assert not thread.is_alive()

    def _run(self) -> None:
        number = 0
        with Schedules(kafka=self._bootstrap, clock=CLOCK, timeout=60) as schedules:
            while not self._stop.wait(0.2):
                count = CHANGES_A_SECOND // 10
                names = [self._new("later", number + one) for one in range(count)]
                number += count
                gone = [self._living.pop(self._rng.randrange(len(self._living))) for _ in range(count)]
                with suppress(ClocksvcError):
                    self._write(schedules, names, gone)

    def _new(self, kind: str, number: int) -> str:
        name = f"{kind}-{number}"
        every_s = INTERVALS_S[number % len(INTERVALS_S)]
        self.expected[name] = Expected(every_s, self._leader.last_s, Span(0.0))
        self._living.append(name)
        return name

    def _write(self, schedules: Schedules, names: list[str], gone: list[str]) -> None:
        now = time.monotonic()
        for name in names:
            self.expected[name].put = Span(now)
        for name in gone:
            self.expected[name].deleted = Span(now)
        items = [(name, self._body(self.expected[name])) for name in names]
        try:
            schedules.put_many([*items, *((name, None) for name in gone)])
        except ClocksvcError:
            self.failures += 1
            raise
        acked = time.monotonic()
        for name in names:
            self.expected[name].put.acked = acked
        for name in gone:
            deleted = self.expected[name].deleted
            assert deleted is not None
            deleted.acked = acked

    @staticmethod
    def _body(one: Expected) -> dict[str, object]:
        created = datetime.fromtimestamp(one.created_s, UTC).isoformat()
        return {"interval": f"{one.every_s}s", "task": "uptime.check", "payload": {"n": 1}, "created_at": created}


@dataclass
class Replicas:
    """The schedulers, as processes."""

    config: Path
    running: dict[int, Process] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    started: int = 0

    def start(self) -> None:
        """Start one more."""
        number, self.started = self.started, self.started + 1
        self.ports[number] = free_ports(1)[0]
        command = module("clocksvc.cli.main", "scheduler", "--port", str(self.ports[number]))
        log = self.config.with_name(f"scheduler-{number}.log")
        self.running[number] = Process(command, log, environ={"CLOCKSVC_CONFIG": str(self.config)})

    def replace(self, rng: random.Random, end: Callable[[Process], object]) -> None:
        """End one of them, and start another."""
        number = rng.choice(list(self.running))
        end(self.running.pop(number))
        self.start()

    def ready(self) -> bool:
        """Whether all of them are ready."""
        return all(self._is_ready(number) for number in self.running)

    def _is_ready(self, number: int) -> bool:
        url = f"http://{LOOPBACK}:{self.ports[number]}/readyz"
        return http_client.get(url, timeout=5).status_code == 200

    def close(self) -> None:
        """Kill all."""
        for process in self.running.values():
            process.kill()


def read_due(bootstrap: str) -> Counter[tuple[str, int]]:
    """How often each schedule was due at each time, for a reader of committed records."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "judge", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.partition.eof": True, "enable.auto.commit": False})
    consumer.assign([TopicPartition(f"{CLOCK}-due", number, 0) for number in range(PARTITIONS)])
    found: Counter[tuple[str, int]] = Counter()
    ended: set[int] = set()
    while len(ended) < PARTITIONS:
        for message in consumer.consume(1_000, 10):
            if message.error() is not None:
                ended.add(cast(int, message.partition()))
                continue
            headers = dict(cast("list[tuple[str, bytes]]", message.headers() or []))
            if "clocksvc-type" not in headers:
                due_s = int(datetime.fromisoformat(headers["clocksvc-due"].decode()).timestamp())
                found[cast(bytes, message.key()).decode(), due_s] += 1
    consumer.close()
    return found


def judge(found: Counter[tuple[str, int]], expected: dict[str, Expected], ticks: dict[int, Span]) -> dict[str, int]:
    """Compare with what must and may have been due. Returns how much happened; asserts that nothing is wrong."""
    end_s = max(ticks)
    wrong: list[str] = [f"{key} {count} times" for key, count in found.items() if count > 1]
    allowed: set[tuple[str, int]] = set()
    required = 0
    for name, one in expected.items():
        for due_s in one.due_times(name, end_s):
            tick = ticks[due_s]
            assert tick.acked is not None
            gone = one.deleted
            if gone is not None and gone.acked is not None and gone.acked < tick.sent:
                if (name, due_s) in found:
                    wrong.append(f"{name} for {due_s} after its deletion")
                continue
            allowed.add((name, due_s))
            if gone is None and one.put.acked is not None and one.put.acked < tick.sent:
                required += 1
                if (name, due_s) not in found:
                    wrong.append(f"{name} for {due_s} is lost")
    wrong += [f"{key} is not one of its times" for key in found if key not in allowed][:100]
    counts = {"due": sum(found.values()), "required": required, "schedules": len(expected), "wrong": len(wrong)}
    assert not wrong, (counts, wrong[:20])
    return counts


@pytest.mark.timeout(0)
def test_each_due_time_comes_exactly_once(tmp_path: Path) -> None:
    """Through kills of schedulers and of the broker, flushes, and rolling restarts."""
    rng = random.Random(7)
    with ExitStack() as stack:
        kafka, valkey = stack.enter_context(KafkaServer()), stack.enter_context(ValkeyServer())
        kafka.wait_ready()
        valkey.wait_ready()
        config = tmp_path / "clocksvc.yaml"
        clock = {"topics": ["x"], "group": "g", "interval": f"{MINUTE_S}s", "schedules": {"partitions": PARTITIONS}}
        config.write_text(
            yaml.safe_dump(
                {
                    "redis": {"url": valkey.url},
                    "kafka": {"bootstrap.servers": kafka.bootstrap},
                    "tick_log": {"topic": TICK_LOG},
                    "clocks": {CLOCK: clock},
                }
            )
        )
        leader = Leader(kafka.bootstrap)
        leader.tick()
        replicas = Replicas(config)
        stack.callback(replicas.close)
        for _ in range(REPLICAS):
            replicas.start()
        eventually(replicas.ready, within=60, what="all schedulers to be ready")
        owned = eventually(lambda: positions(kafka.bootstrap) == PARTITIONS, within=60, what="owners with a position")
        assert owned
        writer = Writer(kafka.bootstrap, leader)
        writer.first()
        counts: Counter[str] = Counter()
        began = time.monotonic()
        with writer.writing():
            for number in range(TICKS):
                leader.tick()
                for _ in range(KILLS * (number + 1) // TICKS - KILLS * number // TICKS):
                    storm(rng, replicas, kafka, valkey, counts)
        took_s = time.monotonic() - began
        leader.tick()
        final_s = leader.last_s
        eventually(
            lambda: positions(kafka.bootstrap, final_s) == PARTITIONS, within=120, what="all ticks to be handled"
        )
        found = read_due(kafka.bootstrap)
    result = judge(found, writer.expected, {at_s: span for at_s, span in leader.spans.items() if at_s > BEGIN_S})
    print(json.dumps({**result, **counts, "failed_writes": writer.failures, "seconds": round(took_s, 1)}))


def storm(
    rng: random.Random, replicas: Replicas, kafka: KafkaServer, valkey: ValkeyServer, counts: Counter[str]
) -> None:
    """One fault, and now and then a second one before the first one is over."""
    number = counts["killed"]
    replicas.replace(rng, lambda process: process.kill())
    counts["killed"] += 1
    if number % 5 == 4:
        kafka.kill()
        kafka.restart()
        counts["brokers"] += 1
    if number % 10 == 9:
        with suppress(RedisError), Redis.from_url(valkey.url) as redis:
            redis.flushall()
            counts["flushed"] += 1
    if number % 7 == 6:
        replicas.replace(rng, lambda process: process.end(within=60))
        counts["ended"] += 1
    if rng.random() < 0.5:
        with suppress(AssertionError):
            eventually(replicas.ready, within=20, what="all schedulers to be ready")


def positions(bootstrap: str, at_s: int | None = None) -> int:
    """How many partitions have a committed position, at this time or later."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "judge", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.partition.eof": True, "enable.auto.commit": False, "log_level": 0})
    found = 0
    for number in range(PARTITIONS):
        partition = TopicPartition(f"{CLOCK}-due", number)
        _, end = consumer.get_watermark_offsets(partition, timeout=10, cached=False)
        consumer.assign([TopicPartition(f"{CLOCK}-due", number, max(0, end - 50))])
        while (message := consumer.poll(10)) is not None and message.error() is None:
            headers = dict(cast("list[tuple[str, bytes]]", message.headers() or []))
            if headers.get("clocksvc-type") == b"position":
                tick_s = int(datetime.fromisoformat(headers["clocksvc-tick"].decode()).timestamp())
                if at_s is None or tick_s >= at_s:
                    found += 1
                    break
    consumer.close()
    return found
