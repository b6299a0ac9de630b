"""Deliberate defects of the scheduler: each is a small patch that a seed must find.

`torn_ticks_decided_again`, `open_transaction_stays` and `given_up_alone` were real ones, which seeds have found.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

from clocksvc.client.consumer.compacted_table import CompactedTable
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.schedulers import SchedulerAnnouncement
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.scheduler import commands, due_appender, term
from clocksvc.scheduler.commands import Precondition
from clocksvc.scheduler.due_appender import DueAppender
from clocksvc.scheduler.due_positions import read_due_log
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.scheduler.ownership import Action, Outlook, OwnPartition
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.replica import SchedulerReplica
from clocksvc.scheduler.term import OwnerTerm
from clocksvc.schedules import cron, entry, recurrence, wheel
from clocksvc.schedules.due_log import DueLogReader, tick_records
from clocksvc.schedules.entry import Entry, Task, read_task
from clocksvc.schedules.wheel import DueAtTick, ScheduleWheel
from tests.seed_runs.defect import Defects, Patched

DEFECTS = Defects()
defect = DEFECTS.define


# -- a term of an owner -----------------------------------------------------------------------------------------------


class _NotRead:
    """A table whose end is never awaited."""

    def __init__(self, table: CompactedTable[Entry]) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def read_to_end(self, *_: object) -> int:
        return 0


@defect("the owner decides without reading the schedules to their end", "deleted", "lost", "content", "not due")
def end_not_read() -> Patched:
    init = OwnerTerm.__init__

    def with_table(self: OwnerTerm, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self._table = cast(Any, _NotRead(self._table))

    return patch.object(OwnerTerm, "__init__", with_table)


@defect("a new owner sends again what was committed without its position", "twice", "order")
def sent_ids_ignored() -> Patched:
    def unsent(_: DueLogReader, records: Iterable[DueLogRecord], __: int) -> list[DueLogRecord]:
        return list(records)

    return patch.object(DueLogReader, "unsent", unsent)


@defect("a new owner begins at the newest tick instead of the position", "lost")
def begins_at_newest_tick() -> Patched:
    begin_at = OwnerTerm._begin_at

    def begin(self: OwnerTerm, position_ms: int) -> None:
        begin_at(self, max(position_ms, self._ticks.newest(self._clock) or 0))

    return patch.object(OwnerTerm, "_begin_at", begin)


@defect("a new owner reads what was sent before it fences the owner before", "twice", "order", "dead", "back")
def read_before_fence() -> Patched:
    begin = OwnerTerm.begin
    before: dict[int, DueLogReader] = {}

    def begin_late(self: OwnerTerm) -> None:
        before[id(self._due_log)] = read_due_log(self._due_log, self._due_log.stable_bounds(_ignore), _ignore)
        begin(self)

    def read_early(due_log: Any, *_: object) -> DueLogReader:
        return before[id(due_log)]

    return _both(patch.object(OwnerTerm, "begin", begin_late), patch.object(term, "read_due_log", read_early))


@defect("a new owner decides again at all ticks of a torn transaction", "order", "twice", "missed")
def torn_ticks_decided_again() -> Patched:
    decide = OwnerTerm._decide

    def again(self: OwnerTerm, at_ms: int, interval_ms: int, newest_ms: int) -> None:
        upto_ms, self._reader.sent_upto_ms = self._reader.sent_upto_ms, -1
        ids = set(self._reader.sent_ids)
        decide(self, at_ms, interval_ms, newest_ms)
        self._reader.sent_upto_ms = upto_ms
        self._reader.sent_ids = ids if at_ms < upto_ms else self._reader.sent_ids

    def unsent(self: DueLogReader, records: Iterable[DueLogRecord], _: int) -> Iterator[DueLogRecord]:
        return (one for one in records if dict(one.headers)["clocksvc-id"].decode() not in self.sent_ids)

    return _both(patch.object(OwnerTerm, "_decide", again), patch.object(DueLogReader, "unsent", unsent))


@defect("the position is committed before its due records", "order", "lost")
def position_first() -> Patched:
    commit = DueAppender.commit

    def separate(self: DueAppender, tick_ms: int) -> None:
        records, self._records = self._records, []
        commit(self, tick_ms)
        if records:
            self._records = records
            self._append(None)

    return patch.object(DueAppender, "commit", separate)


@defect("without a position in a topic with older records, an owner begins at the newest tick", "lost")
def lost_position_ignored() -> Patched:
    return patch.object(OwnerTerm, "_first_position", lambda self, _: self._ticks.newest(self._clock))


@defect("an open transaction in the topic of schedules is not ended", "dead")
def open_transaction_stays() -> Patched:
    return patch.object(SchedulePartition, "_end_transactions", lambda _: None)


@defect("what was due at ticks that init skipped is sent", "tick")
def skipped_ticks_sent() -> Patched:
    handle = OwnerTerm._handle

    def without_gap(self: OwnerTerm, one: TickWithOffset, newest_ms: int) -> None:
        assert self._wheel is not None
        tick = replace(one.tick, previous_ms=min(one.tick.previous_ms or 0, self._wheel.position_ms))
        handle(self, one._replace(tick=tick), newest_ms)

    return patch.object(OwnerTerm, "_handle", without_gap)


@defect("the position is that of the newest tick that is known", "lost", "order", "missed")
def position_ahead() -> Patched:
    commit = OwnerTerm._commit_at

    def ahead(self: OwnerTerm, position_ms: int) -> None:
        commit(self, max(position_ms, self._ticks.newest(self._clock) or 0))

    return patch.object(OwnerTerm, "_commit_at", ahead)


@defect("missed runs are not recorded", "lost")
def missed_runs_dropped() -> Patched:
    def due_only(clock: str, found: DueAtTick, tick_ms: int) -> Iterator[DueLogRecord]:
        return tick_records(clock, found._replace(missed=[]), tick_ms)

    return patch.object(term, "tick_records", due_only)


@defect("a new owner does not know the newest missed run", "missed")
def chain_broken() -> Patched:
    return patch.object(due_appender, "chained", lambda record, _: record)


# -- the wheel --------------------------------------------------------------------------------------------------------


@defect("a schedule stays in the wheel after it was deleted or changed", "deleted", "not due", "twice", "content")
def removed_stays() -> Patched:
    return patch.object(ScheduleWheel, "remove", lambda *_: None)


@defect("a new schedule is due at once, for times before its creation", "creation", "not due")
def creation_ignored() -> Patched:
    def old(found: Entry) -> Task:
        return read_task(found)._replace(created_ms=0)

    return patch.object(wheel, "read_task", old)


@defect("a paused schedule is due", "not due")
def pause_ignored() -> Patched:
    limits = entry._limits

    def without_pause(found: Any) -> Any:
        found.paused = False
        return limits(found)

    return patch.object(entry, "_limits", without_pause)


@defect("with `catch_up: last`, all missed runs are sent", "superseded")
def all_caught_up() -> Patched:
    advance = ScheduleWheel.advance

    def alone(self: ScheduleWheel, tick_ms: int, interval_ms: int, _: int, now_ms: int) -> DueAtTick:
        return advance(self, tick_ms, interval_ms, tick_ms, now_ms)

    return patch.object(ScheduleWheel, "advance", alone)


@defect("`max_age` is compared with the clock's time", "expired")
def age_by_the_clock() -> Patched:
    advance = ScheduleWheel.advance

    def by_tick(self: ScheduleWheel, tick_ms: int, interval_ms: int, newest_ms: int, _: int) -> DueAtTick:
        return advance(self, tick_ms, interval_ms, newest_ms, tick_ms)

    return patch.object(ScheduleWheel, "advance", by_tick)


@defect("the offset of an interval does not depend on the id", "not due", "lost")
def no_offset() -> Patched:
    return patch.object(recurrence, "offset_of", lambda *_: 0)


@defect("a repeated hour counts twice", "not due", "tick")
def repeated_hour_twice() -> Patched:
    return patch.object(cron.Cron, "_run_before_change", lambda *_: None)


# -- commands ---------------------------------------------------------------------------------------------------------


@defect("the owner ignores If-Match", "overwritten")
def precondition_ignored() -> Patched:
    return patch.object(Precondition, "check", lambda *_: None)


@defect("the owner answers without reading the schedules to their end", "stale", "overwritten", "answer", "created")
def command_without_reading() -> Patched:
    return patch.object(OwnedPartition, "read_to_end", lambda _: None)


@defect("a changed schedule gets a new time of creation", "created")
def creation_not_kept() -> Patched:
    return patch.object(commands, "read_created_ms", lambda _: 1_000)


# -- ownership --------------------------------------------------------------------------------------------------------


@defect("a standby does not acquire a free lease", "dead")
def lease_never_acquired() -> Patched:
    decide = Outlook.decide

    def idle(self: Outlook, partition: int, own: OwnPartition | None) -> Action:
        action = decide(self, partition, own)
        return Action.NONE if action is Action.ACQUIRE and own is not None and own.free_s > 0 else action

    return patch.object(Outlook, "decide", idle)


@defect("a replica with a problem gives a partition up, although no other replica is healthy", "dead")
def given_up_alone() -> Patched:
    return patch.object(SchedulerReplica, "_left_to_others", property(lambda self: frozenset(self._failing)))


@defect("a replica that leaves does not announce it, and ends at once", "late")
def leaves_unannounced() -> Patched:
    announcement = SchedulerReplica._announcement

    def silent(self: SchedulerReplica[Any], *args: Any) -> SchedulerAnnouncement:
        return replace(announcement(self, *args), leaving=False)

    def end(self: SchedulerReplica[Any]) -> None:
        self._left.set()

    return _both(
        patch.object(SchedulerReplica, "_announcement", silent),
        _both(
            patch.object(SchedulerReplica, "_should_end", lambda self: self._leaving.is_set()),
            patch.object(SchedulerReplica, "_end", end),
        ),
    )


def _ignore() -> None:
    return None


@contextmanager
def _both(*patches: Patched) -> Iterator[None]:
    first, second = patches
    with first, second:
        yield
