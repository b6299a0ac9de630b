"""Which schedules are due at which tick. A tick costs as much as is due at it, however many schedules there are.

Each schedule is in the slot of its next instant. A slot is first a minute and, once ticks come near it, a second. When
an instant has passed, the schedule moves to the slot of its next one. A removed schedule is marked, and stays in its
slot until its time comes, or until too many are marked.

In a backlog, a schedule skips what is not sent in one step, and this is recorded once. After a takeover, what was not
reached yet can be recorded again, together with later due times. Limits are compared with due times at the interval of
the tick where this step is done.
"""

import heapq
from collections.abc import Iterable
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from clocksvc.clock import boundary
from clocksvc.schedules.cron import DAY_MS, MINUTE_MS
from clocksvc.schedules.entry import Entry, Limits, State, Task, read_task

LEAST_TO_SWEEP = 10_000

_SWEEP_FRACTION = 8
"""Removed schedules are swept out once they are more than an eighth of all: each removal pays for eight others."""


class Due(NamedTuple):
    """A schedule that is due at a tick."""

    due_ms: int
    key: bytes
    task: Task


class Reason(StrEnum):
    """Why due times were not sent.

    EXPIRED: they were older than the schedule's `max_age`. SUPERSEDED: a later one was due as well, and the schedule
    catches up with the last only. REJECTED: brokers reject the due record, for example because it is too large.
    """

    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"


class Missed(NamedTuple):
    """Due times of a schedule that are not sent: `runs` of them, from the first to the last."""

    first_ms: int
    last_ms: int
    key: bytes
    runs: int
    reason: Reason


class DueAtTick(NamedTuple):
    """What one tick decides, in the order of due times."""

    due: list[Due]
    missed: list[Missed]


class ScheduleWheel:
    """The schedules of a partition, by when they are due next. Not thread-safe.

    An entry is added once and removed once. A changed schedule is another entry: after `position_ms` it is due at the
    times of its new definition, so no due time is lost or sent twice if it changes between two ticks.

    Args:
        position_ms: the tick up to which everything was sent. Before the clock's first tick, create the wheel when this
            tick is known, with a position one interval before it.
    """

    def __init__(self, position_ms: int) -> None:
        self._position_ms = position_ms
        self._minutes: dict[int, list[Entry]] = {}
        self._seconds: dict[int, list[Entry]] = {}
        self._minute_order: list[int] = []
        self._second_order: list[int] = []
        self._near_ms = boundary.ceil(position_ms, MINUTE_MS)
        self._entries = self._removed = 0

    def __len__(self) -> int:
        """The number of schedules, with those that are paused or have ended."""
        return self._entries

    @property
    def position_ms(self) -> int:
        """The last tick that was handled."""
        return self._position_ms

    def add(self, entries: Iterable[Entry]) -> None:
        """Add schedules. A million of them take about a second if the garbage collector is off."""
        position_ms, minutes = self._position_ms, self._minutes
        for entry in entries:
            self._entries += 1
            limits, recurrence = entry.limits, entry.recurrence
            if limits is not None:
                self._add_limited(entry, limits)
                continue
            instant_ms = recurrence.first(entry.key, position_ms)
            slot = minutes.get(-(-instant_ms // MINUTE_MS)) if recurrence.by_minute else None
            if slot is None:
                self._insert(entry, instant_ms)
            else:
                slot.append(entry)
                entry.state = State.IN_SLOT

    def remove(self, entry: Entry) -> None:
        """Remove a schedule that was added. It is not due any more. Without effect if it was removed before."""
        if entry.state is State.REMOVED:
            return
        if entry.state is State.IN_SLOT:
            self._removed += 1
        entry.state = State.REMOVED
        self._entries -= 1
        if self._removed > max(LEAST_TO_SWEEP, self._entries // _SWEEP_FRACTION):
            self._sweep()

    def change(self, _: bytes, old: Entry | None, new: Entry | None) -> None:
        """Remove and add: the `on_change` of a CompactedTable whose values are entries."""
        if old is not None:
            self.remove(old)
        if new is not None:
            self.add((new,))

    def advance(self, tick_ms: int, interval_ms: int, newest_ms: int, now_ms: int) -> DueAtTick:
        """Handle the next tick: return what is due after the position and up to the tick, and move the position there.

        This can't be undone: keep the result until it is committed. For a tick up to the position, the result is empty.

        Args:
            interval_ms: the tick's interval.
            newest_ms: the newest tick that is known; `tick_ms` if there is no later one. For `catch_up: last`.
            now_ms: the wall clock, for `max_age`.
        """
        found = DueAtTick([], [])
        if tick_ms <= self._position_ms:
            return found
        self._spread(tick_ms)
        order, seconds = self._second_order, self._seconds
        while order and order[0] <= tick_ms:
            instant_ms = heapq.heappop(order)
            for entry in seconds.pop(instant_ms):
                if entry.state is State.REMOVED:
                    self._removed -= 1
                    continue
                entry.state = State.IDLE
                next_ms = _handle(entry, instant_ms, interval_ms, max(tick_ms, newest_ms), now_ms, found)
                if next_ms is not None:
                    self._insert(entry, next_ms)
        self._position_ms = tick_ms
        found.due.sort(key=itemgetter(0))
        found.missed.sort(key=itemgetter(0))
        return found

    def _add_limited(self, entry: Entry, limits: Limits) -> None:
        if limits.paused:
            return
        after_ms = self._position_ms
        if limits.starts_ms is not None:  # a due time is less than an interval after its instant
            after_ms = max(after_ms, limits.starts_ms - DAY_MS)
        self._insert(entry, entry.recurrence.first(entry.key, after_ms))

    def _insert(self, entry: Entry, instant_ms: int) -> None:
        if instant_ms > self._near_ms and entry.recurrence.by_minute:
            slots, order, number = self._minutes, self._minute_order, -(-instant_ms // MINUTE_MS)
        else:
            slots, order, number = self._seconds, self._second_order, instant_ms
        slot = slots.get(number)
        if slot is None:
            slots[number] = [entry]
            heapq.heappush(order, number)
        else:
            slot.append(entry)
        entry.state = State.IN_SLOT

    def _spread(self, tick_ms: int) -> None:
        """Move the schedules of the minutes up to a tick into the slots of seconds."""
        self._near_ms = max(self._near_ms, boundary.ceil(tick_ms, MINUTE_MS))
        last = self._near_ms // MINUTE_MS
        while self._minute_order and self._minute_order[0] <= last:
            minute = heapq.heappop(self._minute_order)
            before_ms = (minute - 1) * MINUTE_MS
            for entry in self._minutes.pop(minute):
                if entry.state is State.REMOVED:
                    self._removed -= 1
                else:
                    self._insert(entry, entry.recurrence.first(entry.key, before_ms))

    def _sweep(self) -> None:
        for slots in (self._minutes, self._seconds):
            for number, entries in slots.items():
                slots[number] = [entry for entry in entries if entry.state is not State.REMOVED]
        self._removed = 0


def _handle(
    entry: Entry, instant_ms: int, interval_ms: int, newest_ms: int, now_ms: int, found: DueAtTick
) -> int | None:
    """Add an instant to what was found. Return the schedule's next instant; None if it has ended."""
    recurrence, limits = entry.recurrence, entry.limits
    due_ms = recurrence.due_ms(instant_ms, interval_ms)
    if limits is not None:
        if limits.ends_ms is not None and due_ms >= limits.ends_ms:
            return None
        if limits.starts_ms is not None and due_ms < limits.starts_ms:
            return recurrence.following(instant_ms)
    task = read_task(entry)
    if due_ms <= task.created_ms:
        return recurrence.following(instant_ms)
    if limits is not None:
        next_ms = _skip(entry, limits, instant_ms, interval_ms, newest_ms, now_ms, found.missed)
        if next_ms is not None:
            return next_ms
    found.due.append(Due(due_ms, entry.key, task))
    return recurrence.following(instant_ms)


def _skip(
    entry: Entry,
    limits: Limits,
    instant_ms: int,
    interval_ms: int,
    newest_ms: int,
    now_ms: int,
    missed: list[Missed],
) -> int | None:
    """Skip instants up to the newest tick that are not sent. Return the next instant; None if this one is sent."""
    recurrence = entry.recurrence
    due_ms, upto_ms = recurrence.due_ms(instant_ms, interval_ms), newest_ms
    if limits.ends_ms is not None:
        upto_ms = min(upto_ms, recurrence.last_instant(limits.ends_ms - 1, interval_ms))
    if limits.max_age_ms is not None and due_ms < now_ms - limits.max_age_ms:
        upto_ms = min(upto_ms, recurrence.last_instant(now_ms - limits.max_age_ms - 1, interval_ms))
        last_ms, more = recurrence.last_upto(instant_ms, upto_ms)
        last_due_ms = recurrence.due_ms(last_ms, interval_ms)
        missed.append(Missed(due_ms, last_due_ms, entry.key, more + 1, Reason.EXPIRED))
        return recurrence.following(last_ms)
    if limits.only_last:
        sent_ms, count = recurrence.last_upto(instant_ms, upto_ms)
        if count:
            last_ms, _ = recurrence.last_upto(instant_ms, sent_ms - 1)
            last_due_ms = recurrence.due_ms(last_ms, interval_ms)
            missed.append(Missed(due_ms, last_due_ms, entry.key, count, Reason.SUPERSEDED))
            return sent_ms
    return None
