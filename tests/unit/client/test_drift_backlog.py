"""A backlog of hours on partitions of different speed, in simulated time: two consumers with the real loop of a
BufferedConsumer, real reporters and the real leader. `max_drift` keeps the partitions together, and does not make the
catch-up slower."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from clocksvc import Reporter
from clocksvc.client.consumer.batches import BatchLimits
from clocksvc.client.consumer.flush_threads import FinishedFlush
from clocksvc.client.consumer.loop import ConsumerLoop, LoopParts
from clocksvc.client.consumer.plan import LoopOptions, MachineOptions
from clocksvc.client.consumer.processing import InlineProcessing
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.consumer_group import GroupListener
from clocksvc.testing import InMemoryClock, ManualTime
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS, TOPIC

pytestmark = pytest.mark.core

PARTITIONS = 32
BACKLOG_MS = 180 * MINUTE_MS
BEGIN_MS = NOW_MS - BACKLOG_MS
MAX_DRIFT_MS = 20 * MINUTE_MS
CAPACITY = 1_200
"""How many records a second a consumer can process."""
FETCHED = 4
"""How many records of a partition are fetched in advance. A pause drops them."""
STALL_S = 2.0
"""How long partition 0 returns no records, again and again. For the same time it returns as many as are processed. So
it falls behind, and is then the slowest partition with the fastest reading."""


class Record(NamedTuple):
    """A record as confluent-kafka returns it."""

    number: int
    at: int
    timestamp_ms: int

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.timestamp_ms

    def headers(self) -> None:
        return None

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"0123456789"

    def __len__(self) -> int:
        return 10


@dataclass
class Log:
    """A partition: its records, how fast the broker returns them, and how far its consumer is."""

    records: list[Record]
    records_a_second: float
    position: int = 0
    committed: int = 0
    fetched: float = 0.0
    paused: bool = False
    flushed: list[int] = field(default_factory=list)

    @property
    def read_ms(self) -> int:
        """The timestamp of the last record that was read."""
        return self.records[max(0, self.position - 1)].timestamp_ms


def backlog() -> list[Log]:
    """The first half of the partitions has 1 to 2 records a minute, the others have 6 to 10. 50 to 200 records a second
    are fetched."""
    rng, logs = random.Random(1), []
    for number in range(PARTITIONS):
        each_ms = MINUTE_MS // (rng.randint(1, 2) if number < PARTITIONS // 2 else rng.randint(6, 10))
        times = range(BEGIN_MS + rng.randrange(each_ms), NOW_MS, each_ms)
        records = [Record(number, at, timestamp_ms) for at, timestamp_ms in enumerate(times)]
        logs.append(Log(records, CAPACITY if number == 0 else rng.uniform(50, 200)))
    return logs


class SimulatedGroup:
    """One member, which fetches and processes records at limited speeds. Only `time` passes when it blocks."""

    def __init__(self, logs: Mapping[int, Log], time: ManualTime) -> None:
        self._logs, self._time = logs, time
        self._order = list(logs)
        self._listener: GroupListener

    def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        self._listener = listener
        listener.assigned([Partition(TOPIC, number) for number in self._logs])

    def consume(self, count: int, timeout_s: float) -> Sequence[Record]:
        records: list[Record] = []
        for number in self._order:
            log = self._logs[number]
            taken = 0 if log.paused else min(int(log.fetched), count - len(records))
            records += log.records[log.position : log.position + taken]
            log.position += taken
            log.fetched -= taken
        self._order = self._order[5:] + self._order[:5]
        seconds = len(records) / CAPACITY if records else timeout_s
        for log in self._logs.values():
            stalls = log is self._logs.get(0) and self._time.monotonic() % (2 * STALL_S) > STALL_S
            if not (log.paused or stalls):
                left = len(log.records) - log.position
                log.fetched = min(log.fetched + log.records_a_second * seconds, FETCHED, left)
        self._time.advance(seconds)
        return records

    def commit(self, offsets: Mapping[Partition, int], *, wait: bool) -> None:
        for partition, offset in offsets.items():
            self._logs[partition.number].committed = offset
        self._listener.committed(offsets)

    def pause(self, partitions: Iterable[Partition]) -> None:
        for _, number in partitions:
            self._logs[number].paused, self._logs[number].fetched = True, 0.0

    def resume(self, partitions: Iterable[Partition]) -> None:
        for _, number in partitions:
            self._logs[number].paused = False

    def close(self) -> None:
        """Nothing to leave."""


class SimulatedFlushes:
    """Flushes that last `flush_s` each, at the same time as the consumer reads."""

    def __init__(self, time: ManualTime, flush_s: float) -> None:
        self._time, self._flush_s = time, flush_s
        self._running: list[tuple[float, FinishedFlush]] = []

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        self._running.append((self._time.monotonic() + self._flush_s, FinishedFlush(flush_id, call(), None)))

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        now = self._time.monotonic()
        end = min((at for at, _ in self._running), default=now + timeout_s)
        self._time.advance(min(max(0.0, end - now), timeout_s))
        done = [flush for at, flush in self._running if at <= self._time.monotonic()]
        self._running = [(at, flush) for at, flush in self._running if at > self._time.monotonic()]
        return done

    def stack(self, flush_id: int) -> str:
        return ""

    def close(self) -> None:
        """No thread to end."""


OPTIONS = LoopOptions(
    machine=MachineOptions(
        batch=BatchLimits(500, 2**20, 0.1),
        buffer_records=5_000,
        buffer_bytes=2**20,
        slots=1,
        retry=RetryPolicy(),
        dead_letters=False,
        commit_interval_s=0.1,
    ),
    revoke_timeout_s=1,
    drain_timeout_s=1,
    stuck_after_s=60,
)


class Member:
    """A consumer with some partitions, and its reporter. Each member has a time of its own."""

    def __init__(self, logs: Mapping[int, Log], clock: InMemoryClock, flush_s: float) -> None:
        self.time = ManualTime(NOW_MS / 1000)
        self.reporter = Reporter(
            "memory://", "clock", group="group", topic=TOPIC, sink=clock.store, time=self.time, start=False
        )

        def flush(batch: Sequence[Record]) -> None:
            for record in batch:
                logs[record.number].flushed.append(record.at)

        parts = LoopParts(
            group=SimulatedGroup(logs, self.time),
            processing=InlineProcessing(lambda record: record),
            executor=SimulatedFlushes(self.time, flush_s),
            dead_letters=None,
            reporter=self.reporter,
            time=self.time,
            rng=random.Random(1),
        )
        self.loop = ConsumerLoop(flush, None, OPTIONS, parts)
        self.loop.subscribe([TOPIC])


class CaughtUp(NamedTuple):
    """A catch-up that has ended.

    Attributes:
        seconds: how long it lasted.
        read_before_ms: how far the consumers have read before the first tick. Nothing can be paused until then.
        read_spread_ms: how far they have read beyond the global clock afterwards, at most.
        spread_ms: the largest distance of two partition clocks in the store afterwards.
        longest_s: the longest time between two different ticks.
        logs: the partitions.
        pauses: how often a partition was paused, because it was ahead.
    """

    seconds: float
    read_before_ms: int
    read_spread_ms: int
    spread_ms: int
    longest_s: float
    logs: list[Log]
    pauses: int


def catch_up(max_drift_ms: int | None, flush_s: float) -> CaughtUp:
    """Process the backlog. The first member has all partitions with few records a minute, which are fast."""
    clock = InMemoryClock(
        topic=TOPIC, partitions=PARTITIONS, max_drift_seconds=None if max_drift_ms is None else max_drift_ms / 1000
    )
    clock.settle()
    logs = backlog()
    halves = range(PARTITIONS // 2), range(PARTITIONS // 2, PARTITIONS)
    members = [Member({number: logs[number] for number in half}, clock, flush_s) for half in halves]
    read_spread_ms, spread_ms, due_at, longest_s = 0, 0, 0.0, 0.0
    ticked, ticked_at, before_ms = BEGIN_MS, 0.0, BEGIN_MS
    while any(log.committed < len(log.records) for log in logs):
        member = min(members, key=lambda member: member.time.monotonic())
        member.loop.step()
        now = member.time.monotonic()
        if now < due_at:
            continue
        due_at = now + 0.02
        clock.time.advance(max(0.0, now - clock.time.monotonic()))
        for each in members:
            each.reporter.step()
        clock.settle()
        last = clock.store.bounds().last
        if last is None:
            ticked_at, before_ms = now, max(log.read_ms for log in logs)
            continue
        if last.at_ms >= before_ms:
            read_spread_ms = max(read_spread_ms, max(log.read_ms for log in logs) - last.at_ms)
            raw_ms = [found.raw_ms for found in clock.store.partitions(None, PARTITIONS) if found.raw_ms is not None]
            spread_ms = max(spread_ms, max(raw_ms) - min(raw_ms))
        if last.at_ms > ticked:
            longest_s, ticked, ticked_at = max(longest_s, now - ticked_at), last.at_ms, now
    pauses = sum(member.loop.stats.pauses_total.get("ahead", 0) for member in members)
    seconds = max(member.time.monotonic() for member in members)
    return CaughtUp(seconds, before_ms - BEGIN_MS, read_spread_ms, spread_ms, longest_s, logs, pauses)


@pytest.mark.parametrize("flush_s", [0.0, 0.3])
def test_max_drift_keeps_partitions_together_and_does_not_slow_the_catch_up(flush_s: float) -> None:
    """At most what one call returns is read beyond `max_drift`: 4 minutes. The partitions are not further apart either.
    At least 90 % of the records a second, although partitions are paused again and again. The clock never waits for a
    paused partition: it ticks as soon as partition 0 returns records. No record is left out."""
    unbounded, bounded = catch_up(None, flush_s), catch_up(MAX_DRIFT_MS, flush_s)

    assert unbounded.pauses == 0
    assert unbounded.spread_ms > 100 * MINUTE_MS
    assert bounded.pauses > 100
    assert bounded.read_spread_ms <= MAX_DRIFT_MS + FETCHED * MINUTE_MS
    assert bounded.spread_ms <= MAX_DRIFT_MS + FETCHED * MINUTE_MS
    assert bounded.seconds <= unbounded.seconds / 0.9
    assert bounded.longest_s < STALL_S + 0.5
    for log in bounded.logs:
        assert log.flushed == list(range(len(log.records)))
