"""A tick log in memory: the log, which all processes share, and a writer and reader for each process."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.errors import Fenced, OffsetGap, TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from clocksvc.interfaces.time import SystemTime, Time


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """One offset of a log. `message` is None for the marker that ends a transaction."""

    offset: int
    message: Message | None
    appended_ms: int


@dataclass
class MemoryLog:
    """One log, as all processes see it. Messages are stored encoded, as in Kafka.

    Attributes:
        time: the brokers' clock.
        exists: True after `ensure_topic` has created the topic.
        entries: all offsets that are kept, including markers, ascending.
        first_offset, end: the first offset of the log, and the offset after the last one.
        epoch: the epoch of the newest writer. Older writers are fenced.
    """

    time: Time = field(default_factory=SystemTime)
    exists: bool = False
    entries: list[StoredOffset] = field(default_factory=list)
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

    def commit(self, messages: Sequence[Message]) -> None:
        """Append messages and the marker of their transaction."""
        now_ms = self.time.now_ms()
        for message in (*messages, None):
            self.entries.append(StoredOffset(self.end, message, now_ms))
            self.end += 1

    def committed(self, start: int = 0, end: int | None = None) -> list[LogEntry]:
        """Return the committed records from offset `start` to before offset `end`, ascending."""
        end = self.last_stable_offset if end is None else min(end, self.last_stable_offset)
        # An offset may be missing: compaction removes records.
        first = self._position(start)
        return [
            LogEntry(entry.offset, entry.message)
            for entry in self.entries[first : self._position(end)]
            if entry.message is not None and self._is_committed(entry)
        ]

    def offset_at(self, timestamp_ms: int) -> int:
        """Return the first offset that was appended at or after a time; the last stable offset if there is none."""
        stable = self.last_stable_offset
        found = (entry.offset for entry in self.entries if entry.appended_ms >= timestamp_ms)
        return min(next(found, stable), stable)

    def _is_committed(self, entry: StoredOffset) -> bool:
        return True

    def _position(self, offset: int) -> int:
        """Return the index of the first entry at or after an offset."""
        low, high = 0, len(self.entries)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.entries[middle].offset < offset else (low, middle)
        return low


class MemoryTickLog:
    """A `TickLog` over a MemoryLog, for one process."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._epoch: int | None = None

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        self._log.exists = True

    def fence(self, keep_alive: KeepAlive) -> None:
        self._epoch = self._log.fence()

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        self._check_exists()
        return LogBounds(self._log.first_offset, self._log.last_stable_offset)

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        return self.stable_bounds(keep_alive)

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        self._check_exists()
        return self._log.committed(start, end)

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        self._check_exists()
        return self._log.offset_at(timestamp_ms)

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        epoch, self._epoch = self._epoch, None
        if epoch is None or epoch != self._log.epoch:
            raise Fenced
        if end != self._log.end:
            raise OffsetGap
        if messages:
            self._log.commit(messages)
        self._epoch = epoch
        return self._log.end

    def close(self) -> None:
        self._epoch = None

    def _check_exists(self) -> None:
        if not self._log.exists:
            raise TickLogUnavailable
