"""Computes which schedules are due at which tick. This module does no I/O and reads no clock."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.schedule import CatchUp, Schedule


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due time of a schedule.

    Attributes:
        tick: the first tick at or after the due time.
        expired: True if the due time is older than the schedule's `max_age_ms`. It is then not sent.
    """

    schedule: Schedule
    due_ms: int
    tick: Tick
    expired: bool = False


def due_tasks(
    schedules: Sequence[Schedule],
    since_ms: Mapping[str, int],
    after_ms: int | None,
    ticks: Sequence[Tick],
    now_ms: int,
    beginnings: Collection[int] = (),
) -> list[tuple[Tick, list[Occurrence]]]:
    """Return each tick, in order, with the occurrences to be sent at this tick, sorted by due time.

    Args:
        since_ms: for each schedule's name, the time after which the schedule can be due.
        after_ms: the tick up to which everything was sent. None before the clock's first tick; the first tick then
            covers its own interval.
        ticks: the ticks after `after_ms`, ascending.
        now_ms: the time of the wall clock, for `max_age_ms`.
        beginnings: the times of ticks before which `clocksvc init` began the chain again. What was due in the skipped
            time is not sent.
    """
    found: list[tuple[Tick, list[Occurrence]]] = []
    for tick in ticks:
        begin_ms = tick.at_ms - tick.interval_ms if after_ms is None else after_ms
        if tick.at_ms in beginnings:
            begin_ms = max(begin_ms, tick.previous_ms or 0)
        due = [
            occurrence
            for schedule in schedules
            for occurrence in _occurrences(schedule, max(begin_ms, since_ms[schedule.name]), tick, now_ms)
        ]
        found.append((tick, sorted(due, key=lambda occurrence: occurrence.due_ms)))
        after_ms = tick.at_ms
    return _catch_up(found)


def _occurrences(schedule: Schedule, after_ms: int, tick: Tick, now_ms: int) -> Iterator[Occurrence]:
    oldest_ms = None if schedule.max_age_ms is None else now_ms - schedule.max_age_ms
    for due_ms in schedule.recurrence.due(after_ms, tick.at_ms):
        yield Occurrence(schedule, due_ms, tick, expired=oldest_ms is not None and due_ms < oldest_ms)


def _catch_up(found: list[tuple[Tick, list[Occurrence]]]) -> list[tuple[Tick, list[Occurrence]]]:
    """Keep only the last occurrence of each schedule with `CatchUp.LAST`."""
    last = {one.schedule.name: one for _, due in found for one in due if one.schedule.catch_up is CatchUp.LAST}
    return [
        (tick, [one for one in due if one.schedule.catch_up is CatchUp.ALL or last[one.schedule.name] is one])
        for tick, due in found
    ]
