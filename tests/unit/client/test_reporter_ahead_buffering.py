"""`Reporter.ahead` for consumers that buffer: also the slowest partition is paused while records of it are buffered
that are too far ahead, and no order of reading, processing and reporting makes the clock wait for a paused partition.
"""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc import Reporter
from clocksvc.client.drift import MAX_ASK_S, MOVING_S
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from clocksvc.testing import ManualTime
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS, TOPIC, AssignedPartition, FakeSink, SteppedReporter

pytestmark = pytest.mark.core

BEGIN_MS = NOW_MS - 10_000 * MINUTE_MS
DRIFT_MS = 10 * MINUTE_MS
PARAMETERS = ClockParameters("workers", (TOPIC,), MINUTE_MS, 0, MINUTE_MS, DRIFT_MS)
MOST_RECORDS = 3
"""How many records one call returns."""


def minute(number: float) -> int:
    """A time in minutes after BEGIN_MS."""
    return BEGIN_MS + round(number * MINUTE_MS)


class Consumer(SteppedReporter):
    """The consumer of partition 0 of a clock at minute 1, for which partition 0 holds it."""

    def __init__(self) -> None:
        super().__init__(FakeSink(PARAMETERS))
        for number in range(2):
            self.sink.last_tick_ms = self.sink.lowest_ms = minute(number)
            self.observe(minute(number))

    def ahead(self, **read: float) -> set[str]:
        """The names of partitions that are ahead, if records are buffered up to these minutes."""
        buffered = {(TOPIC, int(name[1:])): minute(number) for name, number in read.items()}
        return {f"p{partition.number}" for partition in self.reporter.ahead(buffered)}


def test_the_slowest_partition_is_paused_until_its_buffered_records_are_reported() -> None:
    """Also while the answer to the report is outstanding. Then it is near the global clock."""
    consumer = Consumer()
    assert consumer.ahead(p0=11) == set()
    assert consumer.ahead(p0=12) == {"p0"}

    consumer.reporter.observe(0, minute(5))
    assert consumer.ahead(p0=12) == {"p0"}
    consumer.reporter.observe(0, minute(12))
    assert consumer.ahead() == {"p0"}

    consumer.sink.last_tick_ms = consumer.sink.lowest_ms = minute(12)
    consumer.step()
    assert consumer.ahead() == set()


def test_a_part_of_the_buffered_records_can_be_enough() -> None:
    """The global clock follows what is reported of them."""
    consumer = Consumer()
    assert consumer.ahead(p0=12) == {"p0"}

    consumer.sink.last_tick_ms = consumer.sink.lowest_ms = minute(7)
    consumer.observe(minute(7))
    assert consumer.ahead(p0=12) == {"p0"}

    consumer.sink.last_tick_ms = consumer.sink.lowest_ms = minute(8)
    consumer.observe(minute(8))
    assert consumer.ahead(p0=12) == set()


def test_a_timestamp_that_the_store_rejects_does_not_keep_the_slowest_partition_paused() -> None:
    """Nothing is buffered any more, so only further records can move the clock."""
    consumer = Consumer()
    assert consumer.ahead(p0=60) == {"p0"}

    consumer.sink.outcome = lambda reading: Outcome.TOO_FAR_AHEAD
    consumer.observe(minute(60))

    assert consumer.ahead() == set()


def test_a_dropped_buffer_does_not_keep_a_partition_paused() -> None:
    """At a rebalance, the buffered records are read again later."""
    for leave in (Reporter.on_revoke, Reporter.on_lost, Reporter.on_assign):
        consumer = Consumer()
        assert consumer.ahead(p0=12) == {"p0"}

        leave(consumer.reporter, None, [AssignedPartition(0)])

        assert consumer.ahead() == set()


def test_a_new_partition_is_paused_only_until_its_first_records_are_observed() -> None:
    """The store may never accept it: it is unknown there, or the group is not the clock's."""
    consumer = Consumer()
    assert consumer.ahead(p1=60) == {"p1"}

    consumer.sink.outcome = lambda reading: Outcome.UNKNOWN
    consumer.observe(minute(60), partition=1)
    assert consumer.ahead() == set()
    assert consumer.ahead(p1=70) == set()

    consumer.sink.outcome = lambda reading: Outcome.ACCEPTED
    consumer.pass_time(1)
    assert consumer.ahead() == {"p1"}


class Clock(FakeSink):
    """A store and a leader: the clock follows the slowest of four partitions at once."""

    def __init__(self) -> None:
        super().__init__(PARAMETERS)
        self.raw_ms = [0] * 4

    def report(self, report: Report) -> ReportAnswer:
        for partition, timestamp_ms in report.timestamps:
            self.raw_ms[partition.number] = max(self.raw_ms[partition.number], timestamp_ms)
        self.lowest_ms = min(self.raw_ms) or None
        self.last_tick_ms = None if self.lowest_ms is None else self.lowest_ms // MINUTE_MS * MINUTE_MS
        return super().report(report)


class Group:
    """Two consumers, each with a reporter and two partitions, whose records are 1 to 6 minutes apart."""

    def __init__(self, gaps: list[list[int]]) -> None:
        self.clock, self.time = Clock(), ManualTime()
        self.minutes = [list(accumulate(each)) for each in gaps]
        self.position, self.done = [0] * 4, [0] * 4
        self.reporters = [
            Reporter("memory://", "clock", group="workers", topic=TOPIC, sink=self.clock, time=self.time, start=False)
            for _ in range(2)
        ]
        for number in range(-2, 1):  # so that both know that the clock advances
            for partition in range(4):
                self.reporters[partition // 2].observe(partition, minute(number))
            for consumer in range(2):
                self.report(consumer)

    def read(self, partition: int, count: int) -> None:
        """Read records, unless the partition is paused. Check how far they are ahead."""
        position, minutes = self.position[partition], self.minutes[partition]
        part = minutes[position : position + count]
        if not part or Partition(TOPIC, partition) in self.reporters[partition // 2].ahead(self.buffered(partition)):
            return
        self.position[partition] += len(part)
        before = minutes[position - 1] if position else 0
        assert self.clock.last_tick_ms is not None
        assert minute(before) - self.clock.last_tick_ms <= DRIFT_MS

    def buffered(self, partition: int) -> dict[tuple[str, int], int]:
        """The read positions of the partition's consumer."""
        first = partition // 2 * 2
        return {
            (TOPIC, each): minute(self.minutes[each][self.position[each] - 1])
            for each in (first, first + 1)
            if self.position[each] > self.done[each]
        }

    def process(self, partition: int) -> None:
        """Observe the oldest buffered record."""
        done = self.done[partition]
        if done < self.position[partition]:
            self.reporters[partition // 2].observe(partition, minute(self.minutes[partition][done]))
            self.done[partition] += 1

    def report(self, number: int) -> None:
        """Send what is due."""
        while self.reporters[number].step() <= 0:
            pass

    @property
    def ended(self) -> bool:
        """True if the clock has reached the end of the shortest partition."""
        return self.clock.lowest_ms == min(minute(minutes[-1]) for minutes in self.minutes)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 6), min_size=12, max_size=12), min_size=4, max_size=4),
    st.lists(st.tuples(st.sampled_from(["read", "read", "process", "report"]), st.integers(0, 3)), max_size=60),
)
def test_no_order_makes_the_clock_wait_for_a_paused_partition(
    gaps: list[list[int]], steps: list[tuple[str, int]]
) -> None:
    """No call returns records of a partition that is more than `max_drift` ahead already. And if consumers process what
    is buffered, the clock advances before partitions are read because nothing advances."""
    group = Group(gaps)
    for kind, partition in steps:
        if kind == "read":
            group.read(partition, MOST_RECORDS)
        elif kind == "process":
            group.process(partition)
        else:
            group.report(partition // 2)
        group.time.advance(0.02)
    clocks_ms = [raw_ms for raw_ms in group.clock.raw_ms if raw_ms]
    assert max(clocks_ms) - min(clocks_ms) <= DRIFT_MS + MOST_RECORDS * 6 * MINUTE_MS

    advanced_at = group.time.monotonic()
    while not group.ended:
        before_ms = group.clock.lowest_ms
        for partition in range(4):
            group.read(partition, 1)
            while group.done[partition] < group.position[partition]:
                group.process(partition)
        group.time.advance(MAX_ASK_S)
        for number in range(2):
            group.report(number)
        if group.clock.lowest_ms != before_ms:
            advanced_at = group.time.monotonic()
        assert group.time.monotonic() - advanced_at < MOVING_S - MAX_ASK_S
