"""One partition of a clock's schedules in one replica: it loads, follows as a standby, and works as the owner.

All work is done in `step`, by one thread. At each tick, the owner asks for the end of its partition of schedules, reads
to it, decides what is due, and appends this with its position to its partition of due records, in one transaction.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from clocksvc.client.consumer.compacted_table import CompactedTable
from clocksvc.errors import (
    Fenced,
    OffsetGap,
    OpenTransaction,
    OutcomeUnknown,
    RecordRejected,
    StoreMismatch,
    TableUnavailable,
    Unavailable,
    UnreadableRecord,
)
from clocksvc.interfaces.compacted_topic import CompactedTopic, TableRecord
from clocksvc.interfaces.due_log import DueLog
from clocksvc.interfaces.due_sink import DueSink
from clocksvc.interfaces.schedule_topics import SchedulesSpec, partition_of
from clocksvc.interfaces.schedule_writer import ScheduleWriter
from clocksvc.interfaces.tick_source import TickSource
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.scheduler.owner_calls import OwnerCalls
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats
from clocksvc.scheduler.term import OwnerTerm, TickFigures
from clocksvc.schedules.entry import Entry, read_entry

T = TypeVar("T")

logger = logging.getLogger("clocksvc.scheduler")

POLL_S = 0.1
"""How long a step waits for records while the partition is loaded, and how often it is followed afterwards."""

IDLE_LOADING_S = 0.005

BLOCKED_AFTER_S = 10.0
"""For how long a partition that is loaded may get no further before transactions of owners are ended."""

_EXPECTED = (
    *(Unavailable, Fenced, OutcomeUnknown, OffsetGap, OpenTransaction),
    *(RecordRejected, UnreadableRecord, StoreMismatch),
)


class SchedulePartition:
    """One partition. One thread calls `step` and, at last, `close`; all other members can be used from any thread.

    Attributes:
        number: the number of the partition.
        wake: set when there is work before the time that `step` has returned, such as a new tick.

    Args:
        spec: the clock's schedules.
        number: the number of the partition.
        schedules: opens the topic of schedules for the table. It is called in the constructor, and after an unexpected
            error.
        due_log: the partition of due records.
        sink: where due records go instead; the due log then has positions and missed runs only. None for the due log.
        writer: writes the partition of schedules.
        ticks: the clock's ticks.
        on_state: called in the thread of `step` after `state` or `lost` has changed. It must not block.
        backoff: delays after errors.
    """

    def __init__(
        self,
        spec: SchedulesSpec,
        number: int,
        *,
        schedules: Callable[[], CompactedTopic],
        due_log: DueLog,
        writer: ScheduleWriter,
        ticks: TickSource,
        time: Time,
        sink: DueSink | None = None,
        on_state: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
    ) -> None:
        self.number = number
        self.wake = threading.Event()
        self._spec, self._schedules, self._due_log, self._writer = spec, schedules, due_log, writer
        self._ticks, self._time, self._on_state, self._sink = ticks, time, on_state, sink
        self._backoff, self._lines = backoff or Backoff(CONNECTION), RepeatedLines(logger)
        self._lock = threading.Lock()
        self._state = PartitionState.LOADING
        self._wanted = self._lost = False
        self._acquisition = 0
        self._calls = OwnerCalls()
        self._term: OwnerTerm | None = None
        self._owned: OwnedPartition | None = None
        self._term_acquisition = 0
        self._rejected: set[bytes | None] = set()
        self._retry_at = float("-inf")
        self._figures = TickFigures()
        self._terms = self._fenced = 0
        self._loaded_upto, self._loaded_upto_since = -1, time.monotonic()
        self._problem: str | None = None
        self._table = self._open_table()
        self._unsubscribe = ticks.subscribe(spec.clock, self.wake.set)

    # -- any thread ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> PartitionState:
        """The present state."""
        return self._state

    @property
    def stats(self) -> PartitionStats:
        """A snapshot of the figures."""
        table, figures, term = self._table, self._figures, self._term
        counts, progress = table.counts, table.progress.partitions
        return PartitionStats(
            state=self._state,
            records=counts.records,
            offset=progress[0].position if progress else 0,
            end=progress[0].end if progress else 0,
            schedules=len(table),
            unreadable=len(table.unreadable),
            position_ms=None if term is None else term.position_ms,
            ticks=figures.ticks,
            due_last_tick=figures.due_last_tick,
            due=figures.due,
            due_per_minute=None if term is None else term.due_per_minute,
            missed=figures.missed,
            decide_s=figures.decide_s,
            produce_s=figures.produce_s,
            commit_s=figures.commit_s,
            terms=self._terms,
            fenced=self._fenced,
            problem=self._problem or table.state.problem,
        )

    @property
    def lost(self) -> bool:
        """True if another owner has fenced this one since the last `acquire`. `acquire` begins a new attempt."""
        return self._lost

    def acquire(self) -> None:
        """Become the owner, once loaded: the thread fences the previous owner. Returns at once. Idempotent.

        After an error with an unknown outcome, the thread fences again by itself. After another owner has fenced this
        one, the partition is a standby until `acquire` is called again.
        """
        with self._lock:
            self._wanted, self._lost = True, False
            self._acquisition += 1
        self.wake.set()

    def release(self) -> None:
        """Become a standby at the next step. Returns at once. Idempotent."""
        with self._lock:
            self._wanted = False
        self.wake.set()

    def call(self, function: Callable[[OwnedPartition], T]) -> "Future[T]":
        """Run a function in the partition's thread while it is the owner. Returns at once.

        Ticks come first. The future has the function's result or exception, or NotOwner if this replica is not the
        owner, or loses the partition before the function begins.
        """
        future = self._calls.add(function)
        self.wake.set()
        return future

    # -- the thread ---------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Do what is next: load, follow, take over, handle ticks, and run functions of `call`.

        Blocks for as long as Kafka needs, usually for milliseconds, and for a few seconds if it does not answer. A
        takeover of a million schedules takes about a second. It raises nothing that is expected: `stats` has the
        problem, and the next step tries again.

        Returns:
            How many seconds the next step can wait, unless `wake` is set.
        """
        try:
            return self._step()
        except Exception:
            # The table may lack a change. Nothing may be decided with it.
            self._end_term()
            old, self._table = self._table, self._open_table()
            self._set_state(PartitionState.LOADING)
            old.close()
            old.free()
            raise

    def close(self) -> None:
        """Close connections, and free the table. Functions that were not run get NotOwner."""
        self._unsubscribe()
        self._end_term()
        self._due_log.close()
        self._writer.close()
        self._table.close()
        self._table.free()

    def _step(self) -> float:
        read = self._follow()
        if self._state is PartitionState.LOADING:
            self._unblock_loading()
            return 0.0 if read else IDLE_LOADING_S
        busy = False
        if not self._wanted:
            self._end_term()
            self._problem = None
        elif self._time.monotonic() >= self._retry_at:
            try:
                busy = self._work()
            except _EXPECTED as error:
                self._failed(error)
        if self._owned is not None:
            try:
                busy |= self._calls.run(self._owned, self._time)
            except Fenced as error:
                self._failed(error)
        return 0.0 if busy else POLL_S

    def _follow(self) -> bool:
        """Let the table read. Returns True if there were records."""
        table, records = self._table, self._table.counts.records
        if self._state is not PartitionState.LOADING:
            table.step(0.0)
        else:
            table.step(POLL_S)
            if table.ready:
                self._set_state(PartitionState.LOADED)
        if table.counts.change_errors:
            raise RuntimeError(f"a change of a schedule failed, see the log of {self._spec.topic}")
        return table.counts.records > records

    def _unblock_loading(self) -> None:
        """End transactions of owners if nothing more can be read although the end is not reached."""
        progress, now = self._table.progress.partitions, self._time.monotonic()
        upto = progress[0].position if progress else -1
        if upto != self._loaded_upto or not progress or not progress[0].left or self._table.state.problem is not None:
            self._loaded_upto, self._loaded_upto_since = upto, now
        elif now - self._loaded_upto_since >= BLOCKED_AFTER_S:
            try:
                self._end_transactions()
            except _EXPECTED as error:
                self._failed(error)
            self._loaded_upto_since = self._time.monotonic()

    def _end_transactions(self) -> None:
        """End transactions in the topic of schedules that an owner has left open, or that brokers have forgotten.

        Nothing after them can be read. Brokers abort an open transaction after its timeout, but a forgotten one never.
        """
        self._writer.end_term()
        self._writer.fence(lambda: None)

    def _work(self) -> bool:
        """Take over, or handle the next ticks. Returns True if there may be more to do."""
        if self._term is None:
            with self._lock:
                self._term_acquisition = self._acquisition
            self._begin_term()
        assert self._term is not None
        try:
            busy = self._term.handle_ticks()
        except TableUnavailable:
            self._end_transactions()
            raise
        self._backoff.reset()
        self._lines.clear()
        self._problem = None
        self._rejected.clear()
        return busy

    def _begin_term(self) -> None:
        clock, number = self._spec.clock, self.number
        term = self._term = OwnerTerm(
            clock,
            number,
            self._table,
            self._due_log,
            self._ticks,
            self._time,
            self._figures,
            self._rejected,
            self._sink,
        )
        try:
            term.begin()
        except BaseException:
            self._end_term()
            raise
        self._owned = OwnedPartition(clock, number, self._table, self._writer, self._due_log, term, self._time)
        self._terms += 1
        self._calls.open()
        self._set_state(PartitionState.OWNER)

    def _failed(self, error: Exception) -> None:
        term = self._term
        if isinstance(error, RecordRejected):
            self._rejected.update(error.keys)
        if isinstance(error, Fenced):
            self._fenced += 1
            self._end_term()
            with self._lock:
                if self._acquisition == self._term_acquisition:
                    self._wanted, self._lost = False, True
            self._on_state()
            logger.warning("%s: another owner has fenced this one: %s", self, error)
            return
        if term is not None and term.failed:
            self._end_term()
        self._problem = str(error)
        self._retry_at = self._time.monotonic() + self._backoff.next()
        state = (type(error), without_numbers(str(error)))
        self._lines.log(self._time.monotonic(), logging.WARNING, str(state), "%s", f"{self}: {error}")

    def _end_term(self) -> None:
        if self._term is None:
            return
        self._term = self._owned = None
        self._calls.close()
        self._due_log.close()
        self._writer.end_term()
        if self._state is PartitionState.OWNER:
            self._set_state(PartitionState.LOADED)

    def _set_state(self, state: PartitionState) -> None:
        self._state = state
        self._on_state()

    def _open_table(self) -> CompactedTable[Entry]:
        return CompactedTable(
            self._spec.topic,
            decode=self._decode,
            partitions=[self.number],
            on_change=self._changed,
            initial_changes=False,
            pause_collector=True,
            source=self._schedules,
            time=self._time,
            start=False,
        )

    def _changed(self, key: bytes, old: Entry | None, new: Entry | None) -> None:
        if self._term is not None:
            self._term.change(key, old, new)
        if self._owned is not None:
            self._owned.change(key, old, new)

    def _decode(self, record: TableRecord) -> Entry:
        key = record.key()
        right = partition_of(key, self._spec.partitions)
        if right != self.number:
            # It would be due here and, once the service or the outbox writes it, in its own partition, too.
            raise UnreadableRecord(
                f"its key belongs to partition {right} (crc32(id) % {self._spec.partitions}, librdkafka's partitioner "
                "`consistent`): the program that wrote it uses another partitioner"
            )
        return read_entry(key, record.value())

    def __str__(self) -> str:
        return f"partition {self.number} of the schedules of clock {self._spec.clock}"
