"""The broker that leads a log's partition is stopped, deposed and resumed, in a cluster of three.

When it is resumed, it answers a waiting request with an end of the log that lacks acknowledged records. A new leader of
the log recovers from this answer. No tick is lost, committed twice or out of order.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.log_consumers import LogConsumers
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.interfaces.recovering_writer import RecoveringWriter
from tests.interfaces.tick_log_examples import LOG, minutes
from tests.interfaces.tick_log_implementations import KEEP_MS, KafkaTickLogImplementation
from tests.system.outages.rounds.brokers import Cluster, cluster
from tests.waiting import eventually

pytestmark = pytest.mark.path

SECONDS = float(os.environ.get("SOAK_SECONDS", "20"))
FAST = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
"""A broker that is stopped is deposed after 3 s, instead of 9 s."""
DEPOSED_WITHIN_S = 30.0


class Log:
    """A log in the cluster, its committed ticks, and its processes."""

    def __init__(self, brokers: Cluster) -> None:
        self._brokers = brokers
        self._consumers: list[LogConsumers] = []
        self._implementation = KafkaTickLogImplementation(brokers.bootstrap)
        self.process().ensure_topic(ignore)
        eventually(lambda: self.in_sync() and self.leader(), within=60.0, what="all replicas in sync")

    def in_sync(self) -> bool:
        """True if all replicas are in sync."""
        return self._brokers.in_sync()

    def end(self) -> int:
        """The end of the log."""
        return self._implementation.end()

    def process(self) -> KafkaTickLog:
        """A process with the timeouts and the consumers of production."""
        topic, settings = self._implementation.topic, self._implementation.settings
        consumers = LogConsumers.of_many_logs(settings)
        self._consumers.append(consumers)
        log = KafkaTickLog(topic, LOG, settings, SystemTime(), KEEP_MS, consumers=consumers)
        self._implementation._processes.append(log)
        return log

    def leader(self, ask: range | list[int] = range(1, 4)) -> int | None:
        """The broker that leads the partition."""
        return self._brokers.leader_of(self._implementation.topic, LOG, ask)

    @contextmanager
    def deposed(self, node: int) -> Iterator[None]:
        """Stop a broker until the others have deposed it. It is resumed at the end, or by the body."""
        server = self._brokers.nodes[node]
        others = [other for other in self._brokers.nodes if other != node]
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            eventually(
                lambda: self.leader(others) not in (None, node),
                within=DEPOSED_WITHIN_S,
                what="another partition leader",
            )
            yield
        finally:
            self.resume(node)

    def resume(self, node: int) -> None:
        """Resume a broker that is stopped."""
        pid = self._brokers.nodes[node].pid
        assert pid is not None
        os.kill(pid, signal.SIGCONT)

    def ticks(self) -> list[int]:
        """The minutes of all committed ticks."""
        return minutes(self._implementation.seen())

    def close(self) -> None:
        """Close all processes."""
        self._implementation.free()
        for consumers in self._consumers:
            consumers.close()


@pytest.fixture
def log() -> Iterator[Log]:
    """A log in a cluster of its own."""
    with cluster(FAST) as brokers:
        made = Log(brokers)
        yield made
        made.close()


def take_over(log: Log, old: RecoveringWriter, rng: random.Random) -> tuple[RecoveringWriter, bool]:
    """Depose the partition leader while `old` leads the log, and let another process take over while it is resumed.

    Returns the new writer, and True if the first answer that it got was a stale end.
    """
    new, node = RecoveringWriter(log.process()), log.leader()
    assert node is not None
    for _ in range(rng.randrange(5, 30)):
        old.append(rng.randrange(1, 5))
    new.log.stable_bounds(ignore)  # its client now knows the partition leader, and is connected to it
    is_stale = False
    with log.deposed(node):
        eventually(lambda: old.append(5), within=60.0, what="the log to continue with two brokers")
        end = log.end()
        new.acknowledged, new.written = old.acknowledged, old.written
        resume = threading.Timer(rng.uniform(0.1, 0.6), log.resume, [node])
        resume.start()
        if rng.random() < 0.5:
            is_stale = new.log.stable_bounds(ignore).end < end
        new.append(4)
        resume.join()
    eventually(lambda: new.append(2), within=60.0, what="the new leader to continue")
    return new, is_stale


def test_a_deposed_partition_leader_loses_no_tick(log: Log) -> None:
    """Processes lead the log in turn. Runs for SOAK_SECONDS, 20 unless set."""
    rng, until = random.Random(), time.monotonic() + SECONDS
    rounds = stale_ends = stale_logs = 0
    errors: Counter[str] = Counter()
    ticks = RecoveringWriter(log.process())
    while time.monotonic() < until or not rounds:
        before = ticks
        ticks, is_stale = take_over(log, before, rng)
        before.log.close()
        rounds, stale_ends, stale_logs = rounds + 1, stale_ends + is_stale, stale_logs + ticks.stale
        errors += before.errors
        eventually(log.in_sync, within=60.0, what="all replicas in sync")
    print(f"{rounds} deposed leaders, {stale_ends} stale ends, {stale_logs} recoveries from one, ", end="")
    print(f"{ticks.acknowledged} ticks, errors {dict(errors)}")

    assert log.ticks() == list(range(1, ticks.acknowledged + 1))
    assert rounds < 10 or stale_logs


def ignore() -> None:
    """A `keep_alive` that does nothing."""
