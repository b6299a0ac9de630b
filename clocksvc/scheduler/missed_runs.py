"""Reads the records of missed runs from a partition of due records, newest first, by the offsets that chain them."""

from typing import NamedTuple

from clocksvc.clock.log_record import TYPE_HEADER
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.due_log import DueLog, DueLogEntry
from clocksvc.interfaces.task_queue import TICK_HEADER
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.schedules.due_log import MISSED, read_missed, read_previous
from clocksvc.schedules.wheel import Missed

CHUNK = 1_000
"""How many offsets are read at once. The records of one tick are next to each other."""
MAX_S = 0.5
"""A page ends after this time, because it delays the partition's ticks."""


class MissedRun(NamedTuple):
    """Due times of a schedule that were not sent, as they were recorded at a tick."""

    offset: int
    tick_ms: int
    missed: Missed


class MissedPage(NamedTuple):
    """Missed runs, newest first. `next` is the argument `before` for the page after this one; None at the end."""

    runs: list[MissedRun]
    next: int | None


def read_missed_runs(
    due_log: DueLog, newest: int | None, before: int | None, limit: int, time: Time, keep_alive: KeepAlive
) -> MissedPage:
    """Return a page of missed runs. The chain ends at the first record that Kafka still keeps.

    Args:
        newest: the offset of the newest record of a missed run.
        before: see `OwnedPartition.missed`.

    Raises:
        InvalidValue, DueLogUnavailable: see `OwnedPartition.missed`.
    """
    if before is not None and newest is not None and before > newest + 1:
        raise InvalidValue("before", before, _WANTED)
    first, _ = due_log.stable_bounds(keep_alive)
    deadline = time.monotonic() + MAX_S
    offset = newest if before is None else before - 1
    runs: list[MissedRun] = []
    chunk: dict[int, DueLogEntry] = {}
    while offset is not None and offset >= first:
        if len(runs) >= limit or time.monotonic() >= deadline:
            return MissedPage(runs, offset + 1)
        if offset not in chunk:
            begin = max(first, offset + 1 - CHUNK)
            chunk = {entry.offset: entry for entry in due_log.read(begin, offset + 1, keep_alive)}
        entry = chunk.get(offset)
        if entry is None or entry.key is None or (TYPE_HEADER, MISSED.encode()) not in entry.headers:
            raise InvalidValue("before", before, _WANTED)
        tick = dict(entry.headers).get(TICK_HEADER) or b""
        missed = read_missed(entry.key, entry.value or b"")
        runs.append(MissedRun(offset, parse_timestamp(TICK_HEADER, tick.decode()), missed))
        offset = read_previous(entry.headers)
    return MissedPage(runs, None)


_WANTED = "wanted what an earlier page of missed runs returned as next"
