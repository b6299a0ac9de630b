"""From the ticks that came to what has to be sent, in order. Pure: no I/O, no reading of time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.schedule import (
    CatchUp,
    Entry,
)


@dataclass(frozen=True, slots=True)
class Due:
    """An entry is due at `at_ms`, which `tick` is the first to reach. `expired`: too long ago to be sent."""

    entry: Entry
    at_ms: int
    tick: Tick
    expired: bool = False


def plan(
    entries: Sequence[Entry], since_ms: Mapping[str, int], after_ms: int | None, ticks: Sequence[Tick], now_ms: int
) -> list[tuple[Tick, list[Due]]]:
    """For each tick, in order, what is due at it.

    Args:
        since_ms: for each entry, the tick before which it did not exist.
        after_ms: the tick up to which all was sent; None before the first: then a tick covers its own interval.
        ticks: those after it, ascending.
        now_ms: the wall clock's time, for `max_age_ms`.
    """
    found: list[tuple[Tick, list[Due]]] = []
    for tick in ticks:
        begin_ms = tick.at_ms - tick.interval_ms if after_ms is None else after_ms
        due = [one for entry in entries for one in _due(entry, max(begin_ms, since_ms[entry.name]), tick, now_ms)]
        found.append((tick, sorted(due, key=lambda one: one.at_ms)))
        after_ms = tick.at_ms
    return _collapsed(found)


def _due(entry: Entry, after_ms: int, tick: Tick, now_ms: int) -> Iterable[Due]:
    oldest_ms = None if entry.max_age_ms is None else now_ms - entry.max_age_ms
    for at_ms in entry.schedule.due(after_ms, tick.at_ms):
        yield Due(entry, at_ms, tick, expired=oldest_ms is not None and at_ms < oldest_ms)


def _collapsed(found: list[tuple[Tick, list[Due]]]) -> list[tuple[Tick, list[Due]]]:
    """Of each entry that wants only the last one of several, that one."""
    last = {one.entry.name: one for _, due in found for one in due if one.entry.catch_up is CatchUp.LAST}
    return [
        (tick, [one for one in due if one.entry.catch_up is CatchUp.ALL or last[one.entry.name] is one])
        for tick, due in found
    ]
