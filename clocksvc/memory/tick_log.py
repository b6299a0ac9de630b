"""A tick log in memory: the log, which all processes share, and a writer and reader for each process."""

from collections.abc import Sequence

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from clocksvc.memory.fenced_log import MemoryFencedLog, SharedLog


class MemoryLog(SharedLog[Message]):
    """One log, as all processes see it. It exists after `ensure_topic`."""

    def committed(self, start: int = 0, end: int | None = None) -> list[LogEntry]:
        """Return the committed records from offset `start` to before offset `end`, ascending."""
        return [LogEntry(*found) for found in self.records(start, end)]


class MemoryTickLog(MemoryFencedLog[Message]):
    """A `TickLog` over a MemoryLog, for one process."""

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        self._log.exists = True

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        self._check_exists()
        return super().stable_bounds(keep_alive)

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        self._check_exists()
        return [LogEntry(*found) for found in self._read(start, end, keep_alive)]

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        self._check_exists()
        return self._log.offset_at(timestamp_ms)

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        return self._append(messages, end, keep_alive)

    def _check_exists(self) -> None:
        if not self._log.exists:
            raise TickLogUnavailable
