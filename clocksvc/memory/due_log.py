"""A partition of due records in memory."""

from collections.abc import Sequence

from clocksvc.interfaces.due_log import Appended, DueLogEntry, DueLogRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.fenced_log import MemoryFencedLog, SharedLog


class SharedDueLog(SharedLog[DueLogRecord]):
    """The partition, as all processes see it.

    Attributes:
        retention_ms: what `DueLog.retention_ms` returns.
    """

    retention_ms: int | None = 7 * 86_400_000

    def committed(self, start: int = 0, end: int | None = None) -> list[DueLogEntry]:
        """Return the committed records from offset `start` to before offset `end`, ascending."""
        return [DueLogEntry(offset, one.key, one.value, [*one.headers]) for offset, one in self.records(start, end)]


class MemoryDueLog(MemoryFencedLog[DueLogRecord]):
    """A `DueLog` over a SharedDueLog, for one process."""

    _log: SharedDueLog

    def __init__(self, log: SharedDueLog) -> None:
        super().__init__(log)

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[DueLogEntry]:
        return self._log.committed(start, end)

    def retention_ms(self, keep_alive: KeepAlive) -> int | None:
        return self._log.retention_ms

    def append(
        self, records: Sequence[DueLogRecord], position: DueLogRecord | None, end: int, keep_alive: KeepAlive
    ) -> Appended:
        return Appended(self._append([*records, *([] if position is None else [position])], end, keep_alive))
