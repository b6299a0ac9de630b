"""The consumer's loop with threads: flushes that hang, and health."""

import logging
import random
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clocksvc import Reporter
from clocksvc.client.consumer.flush_threads import FinishedFlush, FlushExecutor, FlushThreads
from clocksvc.client.consumer.health import TOUCH_INTERVAL_S, HealthFile
from clocksvc.client.consumer.loop import BUSY_WAIT_S, CHECK_INTERVAL_S, MOST_RECORDS_AHEAD, ConsumerLoop, LoopParts
from clocksvc.client.consumer.plan import LoopOptions
from clocksvc.client.consumer.processing import InlineProcessing, Processed, Run
from clocksvc.client.message import KafkaMessage, TopicPartition
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.consumer_group import GroupListener
from clocksvc.interfaces.time import Time
from clocksvc.testing import InMemoryClock, ManualTime
from tests.unit.client.consumer.records import ORDERS, Record, machine_options
from tests.waiting import eventually

pytestmark = pytest.mark.core


class OneRecord:
    """A group that assigns a partition and returns one record."""

    def __init__(self) -> None:
        self.records: list[Any] = [Record(0)]
        self.waits: list[float] = []
        self.listener: GroupListener

    def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        self.listener = listener
        listener.assigned([ORDERS])

    def consume(self, count: int, timeout_s: float) -> Sequence[Any]:
        self.waits.append(timeout_s)
        found, self.records = self.records[:count], self.records[count:]
        return found

    def commit(self, offsets: Mapping[Partition, int], *, wait: bool) -> None:
        self.listener.committed(offsets)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Nothing is fetched."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Nothing is fetched."""

    def close(self) -> None:
        self.listener.revoked([ORDERS])


def loop_parts(time: Time, executor: FlushExecutor, **others: Any) -> LoopParts[Any]:
    """Parts of a loop without Kafka, dead letters and a reporter, unless `others` has them."""
    parts: LoopParts[Any] = LoopParts(
        group=OneRecord(),
        processing=InlineProcessing(lambda message: message),
        executor=executor,
        dead_letters=None,
        reporter=None,
        time=time,
        rng=random.Random(1),
    )
    return replace(parts, **others)


def test_a_flush_that_hangs_is_named_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    """The ERROR has the line where it hangs. Health and gauge show it until the flush ends."""
    released, time = threading.Event(), ManualTime()

    def waits_for_the_database(batch: list[Any]) -> None:
        released.wait(30)

    threads = FlushThreads(1)
    parts = loop_parts(time, threads)
    options = LoopOptions(machine=machine_options(records=1), revoke_timeout_s=1, drain_timeout_s=1, stuck_after_s=60)
    loop: ConsumerLoop[Any] = ConsumerLoop(waits_for_the_database, None, options, parts)
    loop.subscribe(["orders"])
    loop.step()
    loop.step()
    eventually(lambda: threads.stack(1), what="the flush runs")
    time.advance(59)
    loop.step()
    assert loop.health().healthy

    time.advance(CHECK_INTERVAL_S)
    with caplog.at_level(logging.ERROR):
        loop.step()

    (line,) = caplog.messages
    assert line.startswith("a flush of 1 items has run for 60 s. Its stack:\n")
    assert "in waits_for_the_database\n    released.wait(30)" in line
    assert loop.health().problems == ("a flush has run for 60 s",)
    assert loop.stats.stuck_flushes == 1
    released.set()

    def healthy_again() -> bool:
        time.advance(CHECK_INTERVAL_S)
        loop.step()
        return loop.health().healthy

    eventually(healthy_again)
    loop.close()


class SlowExecutor:
    """Flushes run until the test ends. Remembers how long the loop waits for them."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.passes: Callable[[float], object] = lambda seconds: None

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        """Never run."""

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        self.waits.append(timeout_s)
        self.passes(timeout_s)
        return ()

    def stack(self, flush_id: int) -> str:
        return ""

    def close(self) -> None:
        """Nothing runs."""


def test_while_a_batch_waits_for_a_flush_the_loop_waits_for_it_too() -> None:
    """Otherwise it would wait for records for 20 ms after each flush, and flush only 50 batches a second."""
    group, executor = OneRecord(), SlowExecutor()
    parts = loop_parts(ManualTime(), executor, group=group)
    machine = machine_options(records=1, slots=1, commit_interval_s=0)
    options = LoopOptions(machine=machine, revoke_timeout_s=1, drain_timeout_s=1, stuck_after_s=60)
    loop: ConsumerLoop[Any] = ConsumerLoop(list, None, options, parts)
    loop.subscribe(["orders"])
    group.records = [Record(0)]
    loop.step()
    loop.step()
    assert (group.waits[-1], executor.waits[-1]) == (BUSY_WAIT_S, 0.0)
    group.records = [Record(1)]
    loop.step()

    loop.step()

    assert (group.waits[-1], executor.waits[-1]) == (0.0, BUSY_WAIT_S)


def test_a_revocation_during_the_drain_does_not_extend_it() -> None:
    """A flush hangs. The process must end before it is killed."""
    time, executor = ManualTime(), SlowExecutor()
    parts = loop_parts(time, executor)
    options = LoopOptions(machine=machine_options(), revoke_timeout_s=10, drain_timeout_s=20, stuck_after_s=60)
    loop: ConsumerLoop[Any] = ConsumerLoop(list, None, options, parts)
    loop.subscribe(["orders"])
    loop.step()
    loop.drain()
    time.advance(18)
    before, executor.passes = time.monotonic(), time.advance

    loop.revoked([ORDERS])

    assert time.monotonic() - before == pytest.approx(2)


class InlineExecutor(SlowExecutor):
    """Flushes run at once."""

    def __init__(self) -> None:
        super().__init__()
        self._done: list[FinishedFlush] = []

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        self._done.append(FinishedFlush(flush_id, call(), None))

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        found, self._done = self._done, []
        return found


def test_a_timestamp_far_in_the_future_does_not_hide_the_others_of_its_commit() -> None:
    """It is rejected. If each commit had such a record, and a late one, the clock would never advance."""
    clock = InMemoryClock(topic="orders", now="2026-11-22T12:30:00Z")
    reporter = Reporter(
        "memory://", "clock", group="group", topic="orders", sink=clock.store, time=clock.time, start=False
    )
    clock.settle()
    reporter.step()
    group = OneRecord()
    parts = loop_parts(clock.time, InlineExecutor(), group=group, reporter=reporter)
    options = LoopOptions(machine=machine_options(records=2), revoke_timeout_s=1, drain_timeout_s=1, stuck_after_s=60)
    loop: ConsumerLoop[Any] = ConsumerLoop(list, None, options, parts)
    loop.subscribe(["orders"])
    now_ms, offset = clock.time.now_ms(), 0

    for minute in (-20, -19, -18):
        times = [now_ms - 3_600_000, now_ms + 86_400_000, now_ms + minute * 60_000, now_ms + 86_400_000]
        group.records = [Record(offset + index, timestamp_ms=at_ms) for index, at_ms in enumerate(times)]
        offset += len(times)
        for _ in range(4):
            loop.step()
            clock.time.advance(0.5)
            reporter.step()
            clock.settle()

    assert clock.ticks()[-1].at_ms == now_ms - 18 * 60_000
    loop.close()
    reporter.close()


@pytest.mark.parametrize(("bounds", "used"), [((4, 1_000), 0.5), ((100, 16), 1.25)])
def test_a_slow_sink_is_seen_in_the_used_part_of_the_buffer(bounds: tuple[int, int], used: float) -> None:
    """Of records or of bytes, whichever is higher. Two records of 10 bytes wait for flushes."""
    group, time = OneRecord(), ManualTime()
    group.records = [Record(0, b"ten bytes."), Record(1, b"ten bytes.")]
    parts = loop_parts(time, SlowExecutor(), group=group)
    machine = machine_options(records=1, buffer_records=bounds[0], buffer_bytes=bounds[1])
    options = LoopOptions(machine=machine, revoke_timeout_s=1, drain_timeout_s=1, stuck_after_s=60)
    loop: ConsumerLoop[Any] = ConsumerLoop(list, None, options, parts)
    loop.subscribe(["orders"])
    loop.step()
    time.advance(CHECK_INTERVAL_S)
    loop.step()

    assert (loop.stats.buffered_records, loop.stats.buffered_bytes) == (2, 20)
    assert loop.stats.buffer_used_ratio == used


class AheadReporter:
    """A reporter for which a partition of another consumer is ahead. Remembers the read positions."""

    def __init__(self) -> None:
        self.partitions: list[Partition] = [Partition("orders", 9)]
        self.read: Mapping[tuple[str, int], int] = {}

    def observe_message(self, message: KafkaMessage) -> None:
        """Nothing to report."""

    def on_assign(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Nothing to report."""

    on_revoke = on_lost = on_assign

    def ahead(self, read: Mapping[tuple[str, int], int]) -> Collection[Partition]:
        self.read = dict(read)
        return self.partitions


class SlowProcessing:
    """Processes that have not finished yet."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    @property
    def records(self) -> int:
        return sum(len(run.records) for run in self.runs)

    def has_runs_of(self, partitions: Collection[Partition]) -> bool:
        return bool(self.runs)

    def submit(self, run: Run) -> None:
        self.runs.append(run)

    def finished(self, timeout_s: float) -> Sequence[Processed[Any]]:
        return ()

    def close(self) -> None:
        """Nothing runs."""


def test_while_partitions_are_ahead_one_call_returns_few_records_and_records_in_processes_count() -> None:
    """What one call returns can exceed `max_drift`. Records count for it from the time when they were read."""
    group, reporter = OneRecord(), AheadReporter()
    parts = loop_parts(ManualTime(), SlowExecutor(), group=group, processing=SlowProcessing(), reporter=reporter)
    machine = machine_options(buffer_records=10_000, buffer_bytes=2**20)
    options = LoopOptions(machine=machine, revoke_timeout_s=1, drain_timeout_s=1, stuck_after_s=60)
    loop: ConsumerLoop[Any] = ConsumerLoop(list, None, options, parts)
    loop.subscribe(["orders"])
    group.records = [Record(offset) for offset in range(5_000)]

    loop.step()

    assert len(group.records) == 5_000 - MOST_RECORDS_AHEAD

    reporter.partitions = []
    loop.step()

    assert len(group.records) < 5_000 - 2 * MOST_RECORDS_AHEAD
    assert reporter.read == {ORDERS: 10 * (MOST_RECORDS_AHEAD - 1)}


def test_the_loop_itself_can_be_stuck() -> None:
    """`health` is called by another thread, for example while `process` hangs."""
    time = ManualTime()
    parts = loop_parts(time, FlushThreads(1))
    options = LoopOptions(machine=machine_options(), revoke_timeout_s=1, drain_timeout_s=1, stuck_after_s=60)
    loop: ConsumerLoop[Any] = ConsumerLoop(list, None, options, parts)

    time.advance(61)

    assert loop.health().problems == ("the consumer's loop has been blocked for 61 s",)


def test_the_health_file_is_touched_every_five_seconds(tmp_path: Path) -> None:
    """And removed at the end."""
    path = tmp_path / "healthy"
    file = HealthFile(path)

    file.touch(100.0)
    path.unlink()
    file.touch(100.0 + TOUCH_INTERVAL_S - 0.1)
    assert not path.exists()
    file.touch(100.0 + TOUCH_INTERVAL_S)
    assert path.exists()

    file.remove()
    assert not path.exists()
