"""One partition with a single writer, in memory: the partition, which all processes share, and what each process uses.

The tick log and the due log have this in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from clocksvc.errors import Fenced, OffsetGap
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from clocksvc.interfaces.time import SystemTime, Time

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class StoredOffset(Generic[M]):
    """One offset of a log. `message` is None for the marker that ends a transaction."""

    offset: int
    message: M | None
    appended_ms: int


@dataclass
class SharedLog(Generic[M]):
    """One partition, as all processes see it. Messages are stored encoded, as in Kafka.

    Attributes:
        time: the brokers' clock.
        exists: True once the topic was created.
        entries: all offsets that are kept, including markers, ascending.
        first_offset, end: the first offset of the log, and the offset after the last one.
        epoch: the epoch of the newest writer. Older writers are fenced.
    """

    time: Time = field(default_factory=SystemTime)
    exists: bool = False
    entries: list[StoredOffset[M]] = field(default_factory=list)
    first_offset: int = 0
    end: int = 0
    epoch: int = 0

    @property
    def last_stable_offset(self) -> int:
        """The offset at which readers of committed records stop."""
        return self.end

    def fence(self) -> int:
        """Fence all writers, and return the epoch of a new one."""
        self.epoch += 1
        return self.epoch

    def commit(self, messages: Sequence[M]) -> None:
        """Append messages and the marker of their transaction."""
        now_ms = self.time.now_ms()
        for message in (*messages, None):
            self.entries.append(StoredOffset(self.end, message, now_ms))
            self.end += 1

    def records(self, start: int = 0, end: int | None = None) -> list[tuple[int, M]]:
        """Return committed records with their offsets, from `start` to before `end`, ascending."""
        end = self.last_stable_offset if end is None else min(end, self.last_stable_offset)
        # An offset may be missing: compaction removes records.
        first = self._position(start)
        return [
            (entry.offset, entry.message)
            for entry in self.entries[first : self._position(end)]
            if entry.message is not None and self._is_committed(entry)
        ]

    def offset_at(self, timestamp_ms: int) -> int:
        """Return the first offset that was appended at or after a time; the last stable offset if there is none."""
        stable = self.last_stable_offset
        found = (entry.offset for entry in self.entries if entry.appended_ms >= timestamp_ms)
        return min(next(found, stable), stable)

    def _is_committed(self, entry: StoredOffset[M]) -> bool:
        return True

    def _position(self, offset: int) -> int:
        """Return the index of the first entry at or after an offset."""
        low, high = 0, len(self.entries)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.entries[middle].offset < offset else (low, middle)
        return low


class MemoryFencedLog(Generic[M]):
    """The partition for one process: what the interfaces of the tick log and of the due log have in common."""

    def __init__(self, log: SharedLog[M]) -> None:
        self._log = log
        self._epoch: int | None = None

    def fence(self, keep_alive: KeepAlive) -> None:
        """Become the only writer."""
        self._epoch = self._log.fence()

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the bounds up to the first open transaction."""
        return LogBounds(self._log.first_offset, self._log.last_stable_offset)

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the present bounds."""
        return self.stable_bounds(keep_alive)

    def close(self) -> None:
        """Nothing is open."""
        self._epoch = None

    def _read(self, start: int, end: int, keep_alive: KeepAlive) -> list[tuple[int, M]]:
        return self._log.records(start, end)

    def _append(self, messages: Sequence[M], end: int, keep_alive: KeepAlive) -> int:
        epoch, self._epoch = self._epoch, None
        if epoch is None or epoch != self._log.epoch:
            raise Fenced
        if end != self._log.end:
            raise OffsetGap
        if messages:
            self._log.commit(messages)
        self._epoch = epoch
        return self._log.end
