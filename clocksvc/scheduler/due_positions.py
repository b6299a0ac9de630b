"""Finds the newest position in a partition of due records, and what was sent after it."""

from collections.abc import Sequence

from clocksvc.clock.log_record import TYPE_HEADER
from clocksvc.interfaces.due_log import DueLog, DueLogEntry
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from clocksvc.schedules.due_log import POSITION, DueLogReader, Position, read_position

FIRST_CHUNK, LARGEST_CHUNK = 1_000, 50_000
"""How many offsets are read at once. Usually the position is the last record."""
CHUNK_BYTES = 64 * 2**20
"""About how many bytes of values are read at once. Payloads have up to 64 KiB, and each read has a time limit: if a
large tick was interrupted, one read of all its records would never end in time."""


def newest_position(due_log: DueLog, bounds: LogBounds, keep_alive: KeepAlive) -> Position | None:
    """Return the newest position; None if there is none.

    Raises:
        UnreadableRecord: this version can't read it.
        DueLogUnavailable: no answer.
    """
    found = _find(due_log, bounds, keep_alive)
    return None if found is None else read_position(found.value or b"")


def read_due_log(due_log: DueLog, bounds: LogBounds, keep_alive: KeepAlive) -> DueLogReader:
    """Read from the newest position to the end, in bounded memory. Call this after the fence.

    Raises:
        UnreadableRecord: this version can't read the position. The owner must not begin.
        DueLogUnavailable: no answer.
    """
    found = _find(due_log, bounds, keep_alive)
    reader = DueLogReader()
    start, size = bounds.first if found is None else found.offset, FIRST_CHUNK
    while start < bounds.end:
        entries = due_log.read(start, min(start + size, bounds.end), keep_alive)
        for entry in entries:
            reader.read(entry.offset, entry.value or b"", entry.headers)
        start, size = start + size, _next_size(size, entries)
    return reader


def _find(due_log: DueLog, bounds: LogBounds, keep_alive: KeepAlive) -> DueLogEntry | None:
    """Return the newest record of a position. Reads backwards, because Kafka keeps due records for days."""
    end, size = bounds.end, FIRST_CHUNK
    while end > bounds.first:
        start = max(bounds.first, end - size)
        entries = due_log.read(start, end, keep_alive)
        for entry in reversed(entries):
            if (TYPE_HEADER, POSITION.encode()) in entry.headers:
                return entry
        end, size = start, _next_size(size, entries)
    return None


def _next_size(size: int, entries: Sequence[DueLogEntry]) -> int:
    """Return how many offsets are read after a chunk of this size with these records."""
    read = sum(len(one.value or b"") for one in entries)
    return max(FIRST_CHUNK, min(size * 4, LARGEST_CHUNK, CHUNK_BYTES * size // max(1, read)))
