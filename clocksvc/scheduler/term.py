"""One term of a partition's owner: takes over with a fence, and handles ticks until an error or a release.

A decision about a tick can't be undone. So if an append fails, the term has ended: the next one fences again, reads
from the newest position what was sent, and has a new wheel.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from clocksvc.client.consumer.compacted_table import CompactedTable
from clocksvc.clock import boundary
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.interfaces.due_log import DueLog
from clocksvc.interfaces.due_sink import DueSink
from clocksvc.interfaces.tick_consumer import MAX_CLOCK_SKEW_MS, TickWithOffset
from clocksvc.interfaces.tick_log import LogBounds
from clocksvc.interfaces.tick_source import TickSource
from clocksvc.interfaces.time import Time
from clocksvc.scheduler.due_appender import DueAppender
from clocksvc.scheduler.due_positions import newest_position, read_due_log
from clocksvc.scheduler.recent_due import RecentDue
from clocksvc.schedules.due_log import DueLogReader, tick_records
from clocksvc.schedules.entry import Entry
from clocksvc.schedules.wheel import DueAtTick, Missed, Reason, ScheduleWheel

logger = logging.getLogger("clocksvc.scheduler")

MAX_TICKS = 100
"""How many ticks of a backlog are handled in one step."""
MAX_STEP_S = 5.0
"""A step begins no further tick of a backlog after this time, for example because a task queue is slow."""
COMMIT_RECORDS = 5_000
"""In a backlog, the records of several ticks share a transaction of about this size."""
READ_TIMEOUT_S = 3.0
"""How long the owner waits for the end of its schedules. An open transaction of an owner that died can hide it."""
REFRESH_S = 3_600.0
"""The position is written again after this time without a tick, because Kafka deletes old records."""


@dataclass
class TickFigures:
    """Totals of the ticks of one partition. Counted over all terms of a replica; for attributes see PartitionStats."""

    ticks: int = 0
    due_last_tick: int = 0
    due: int = 0
    missed: int = 0
    decide_s: float = 0.0
    produce_s: float = 0.0
    commit_s: float = 0.0

    def add(self, committed: "TickFigures") -> None:
        """Add what was committed."""
        self.ticks += committed.ticks
        self.due += committed.due
        self.missed += committed.missed
        self.due_last_tick = committed.due_last_tick or self.due_last_tick


class OwnerTerm:
    """One term. It is not used again after an error of `begin`, or once `failed` is true. Not thread-safe.

    Args:
        clock: the clock's name.
        number: the number of the partition.
        table: the schedules of the partition, loaded. The caller reports its changes to `change`.
        rejected: keys of due records that brokers rejected in the previous term. They are recorded as missed runs.
        sink: where due records go instead of the due log.
        keep_alive: called about once a second while this object waits for Kafka.
    """

    def __init__(
        self,
        clock: str,
        number: int,
        table: CompactedTable[Entry],
        due_log: DueLog,
        ticks: TickSource,
        time: Time,
        figures: TickFigures,
        rejected: Collection[bytes | None] = (),
        sink: DueSink | None = None,
        keep_alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock, self._number, self._table = clock, number, table
        self._due_log, self._ticks, self._time = due_log, ticks, time
        self._figures, self._rejected, self._keep_alive = figures, frozenset(rejected), keep_alive
        self._sink = sink
        self._wheel: ScheduleWheel | None = None
        self._reader = DueLogReader()
        self._appender: DueAppender | None = None
        self._position_ms: int | None = None
        self._decided = TickFigures()
        self._recent = RecentDue()
        self._due_per_minute: float | None = None
        self._refresh_at = 0.0

    @property
    def due_per_minute(self) -> float | None:
        """How many due records were sent for each minute of the clock: see RecentDue. Any thread."""
        return self._due_per_minute

    @property
    def position_ms(self) -> int | None:
        """The tick up to which everything is committed; None before the clock's first tick."""
        return self._position_ms

    @property
    def newest_missed(self) -> int | None:
        """The offset of the newest record of a missed run."""
        return None if self._appender is None else self._appender.newest_missed

    @property
    def failed(self) -> bool:
        """True if an append failed. The term has ended."""
        return self._appender is not None and self._appender.failed

    def begin(self) -> None:
        """Take over: fence the previous owner, read what it has sent, and create the wheel.

        The wheel is created before the fence, because this takes a second for a million schedules, and the previous
        owner works meanwhile. The rest takes as long as Kafka needs, usually less than a second.

        Raises:
            Fenced, OpenTransaction, UnreadableRecord, and the errors of TickSource and of `DueLog.append`.
        """
        before = newest_position(self._due_log, self._due_log.stable_bounds(self._keep_alive), self._keep_alive)
        if before is not None and before.tick_ms is not None:
            self._create_wheel(before.tick_ms)
        self._due_log.fence(self._keep_alive)
        bounds = self._due_log.bounds(self._keep_alive)
        self._reader = read_due_log(self._due_log, bounds, self._keep_alive)
        self._appender = DueAppender(
            self._clock, self._due_log, bounds.end, self._reader.newest_missed, self._keep_alive, self._sink
        )
        position = self._reader.position
        begin_ms = self._first_position(bounds) if position is None else position.tick_ms
        if begin_ms is not None:
            self._begin_at(begin_ms)

    def change(self, key: bytes, old: Entry | None, new: Entry | None) -> None:
        """A schedule was changed in the table."""
        if self._wheel is not None:
            self._wheel.change(key, old, new)

    def handle_ticks(self) -> bool:
        """Handle the next ticks that are known: append what is due, and commit the position.

        Returns:
            True if there may be more of them.

        Raises:
            TableUnavailable, and the errors of TickSource: nothing has changed, call again later.
            The errors of `DueLog.append` and of `DueSink.send`: the term has ended.
        """
        if self._position_ms is None and not self._begin_at_first_tick():
            # Without a position, an owner that begins after the clock's first tick would not send what is due at it.
            self._refresh()
            return False
        assert self._position_ms is not None
        assert self._appender is not None
        found = self._ticks.after(self._clock, self._position_ms, MAX_TICKS)
        if not found:
            self._refresh()
            return False
        began, figures, appender = self._time.monotonic(), self._figures, self._appender
        due, produced_s, committed_s = figures.due, appender.produce_s, appender.commit_s
        # Everything that was acknowledged before these ticks counts.
        self._table.read_to_end(self._number, READ_TIMEOUT_S)
        newest_ms = max(found[-1].tick.at_ms, self._ticks.newest(self._clock) or 0)
        handled = 0
        for one in found:
            self._handle(one, newest_ms)
            handled += 1
            if self._time.monotonic() - began >= MAX_STEP_S:
                break
        self._commit()
        if figures.due > due:
            figures.produce_s, figures.commit_s = appender.produce_s - produced_s, appender.commit_s - committed_s
            figures.decide_s = self._time.monotonic() - began - figures.produce_s - figures.commit_s
        return handled < len(found) or handled == MAX_TICKS

    # -- where to begin -----------------------------------------------------------------------------------------------

    def _first_position(self, bounds: LogBounds) -> int | None:
        """Return where to begin without a position; None to begin at the next tick, which is the clock's first one."""
        newest_ms = self._ticks.newest(self._clock)
        if bounds.first == 0:
            return newest_ms
        retention_ms = self._due_log.retention_ms(self._keep_alive)
        removed_ms = self._time.now_ms()
        if retention_ms is not None:
            removed_ms = min(removed_ms, removed_ms - retention_ms + MAX_CLOCK_SKEW_MS)
        following = self._ticks.after(self._clock, removed_ms, 1)
        begin_ms = _before(following[0]) if following else newest_ms
        logger.error(
            "partition %d of %s: Kafka has removed the position from the topic of due records. Records that it removed "
            "can be of ticks up to %s, so what is due begins after %s; earlier due times that were not sent are lost",
            self._number,
            f"the schedules of clock {self._clock}",
            to_rfc3339(removed_ms),
            "the clock's first tick" if begin_ms is None else to_rfc3339(begin_ms),
        )
        return begin_ms

    def _begin_at_first_tick(self) -> bool:
        first = self._ticks.after(self._clock, 0, 1)
        if first:
            self._begin_at(first[0].tick.at_ms - first[0].tick.interval_ms)
        return bool(first)

    def _begin_at(self, position_ms: int) -> None:
        if self._wheel is None or self._wheel.position_ms > position_ms:
            self._create_wheel(position_ms)
        else:
            # The previous owner has handled these ticks. Due times are whole seconds.
            self._wheel.advance(position_ms, 1000, position_ms, self._time.now_ms())
        self._position_ms = position_ms
        if not self._reader.sent_ids:
            # It must not be behind records of later ticks: an owner reads from the newest position.
            self._commit_at(position_ms)

    def _create_wheel(self, position_ms: int) -> ScheduleWheel:
        wheel = self._wheel = ScheduleWheel(position_ms)
        wheel.add(entry for _, entry in self._table.items(self._number))
        return wheel

    # -- ticks --------------------------------------------------------------------------------------------------------

    def _handle(self, one: TickWithOffset, newest_ms: int) -> None:
        tick, wheel = one.tick, self._wheel
        assert wheel is not None
        previous_ms = wheel.position_ms if tick.previous_ms is None else tick.previous_ms
        if previous_ms <= wheel.position_ms:
            self._decide(tick.at_ms, tick.interval_ms, newest_ms)
            return
        where = f"partition {self._number} of the schedules of clock {self._clock}"
        gap = (where, to_rfc3339(wheel.position_ms), to_rfc3339(previous_ms))
        if one.begins:
            logger.warning("%s: clocksvc init skipped the ticks after %s and up to %s: nothing is due at them", *gap)
            self._create_wheel(previous_ms)
            self._decide(tick.at_ms, tick.interval_ms, newest_ms)
            return
        logger.warning(
            "%s: the ticks after %s and up to %s were removed from the tick log; what was due at them is sent now", *gap
        )
        first_ms = boundary.next_boundary(wheel.position_ms, tick.interval_ms)
        for at_ms in range(first_ms, tick.at_ms + 1, tick.interval_ms):
            self._decide(at_ms, tick.interval_ms, newest_ms)

    def _decide(self, at_ms: int, interval_ms: int, newest_ms: int) -> None:
        assert self._wheel is not None
        assert self._appender is not None
        self._decided.ticks += 1
        if at_ms < self._reader.sent_upto_ms:
            # The previous owner has appended all records of this tick: those of a later one are there. A schedule that
            # was changed since could be due at this tick, and its record would be behind one of a later tick.
            self._wheel.advance(at_ms, interval_ms, at_ms, self._time.now_ms())
            return
        found = self._wheel.advance(at_ms, interval_ms, newest_ms, self._time.now_ms())
        if not (found.due or found.missed):
            return
        records = tick_records(self._clock, self._without_rejected(found), at_ms)
        due, missed = self._appender.add(self._reader.unsent(records, at_ms))
        self._decided.due += due
        self._decided.missed += missed
        self._decided.due_last_tick = due or self._decided.due_last_tick
        if self._appender.pending >= COMMIT_RECORDS:
            self._commit()

    def _without_rejected(self, found: DueAtTick) -> DueAtTick:
        """Replace due records that brokers reject: otherwise nothing of the partition could be sent any more."""
        if not self._rejected:
            return found
        due = [one for one in found.due if one.key not in self._rejected]
        missed = [
            Missed(one.due_ms, one.due_ms, one.key, 1, Reason.REJECTED)
            for one in found.due
            if one.key in self._rejected
        ]
        for one in missed:
            logger.error(
                "the due record of schedule %s of clock %s at %s is recorded as missed: brokers reject it",
                *(one.key.decode(), self._clock, to_rfc3339(one.first_ms)),
            )
        return DueAtTick(due, [*found.missed, *missed])

    def _commit(self) -> None:
        assert self._wheel is not None
        # It must not be behind records of later ticks: an owner reads from the newest position.
        if self._wheel.position_ms != self._position_ms and self._wheel.position_ms >= self._reader.sent_upto_ms:
            self._commit_at(self._wheel.position_ms)
            self._rejected = frozenset()

    def _commit_at(self, position_ms: int | None) -> None:
        assert self._appender is not None
        self._appender.commit(position_ms)
        if self._position_ms is not None and position_ms is not None and position_ms > self._position_ms:
            self._recent.add(self._position_ms, position_ms, self._decided.due)
            self._due_per_minute = self._recent.per_minute()
        self._position_ms = position_ms
        self._figures.add(self._decided)
        self._decided = TickFigures()
        self._refresh_at = self._time.monotonic() + REFRESH_S

    def _refresh(self) -> None:
        if self._time.monotonic() >= self._refresh_at and not self._reader.sent_ids:
            self._commit_at(self._position_ms)


def _before(one: TickWithOffset) -> int:
    return one.tick.at_ms - one.tick.interval_ms if one.tick.previous_ms is None else one.tick.previous_ms
