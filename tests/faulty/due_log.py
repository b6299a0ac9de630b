"""A partition of due records in memory with the faults of Kafka: see `fenced_log.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

from clocksvc.errors import DueLogUnavailable
from clocksvc.interfaces.due_log import Appended, DueLogEntry, DueLogRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.due_log import SharedDueLog
from tests.faulty.fenced_log import FaultyFencedLog, FaultySharedLog


@dataclass
class FaultySharedDueLog(FaultySharedLog[DueLogRecord], SharedDueLog):
    """The partition, as all processes see it, with transactions that can stay open."""


class FaultyDueLog(FaultyFencedLog[DueLogRecord]):
    """A `DueLog` over a FaultySharedDueLog, for one process."""

    no_answer = DueLogUnavailable
    _log: FaultySharedDueLog

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[DueLogEntry]:
        return [DueLogEntry(at, one.key, one.value, [*one.headers]) for at, one in self._read(start, end, keep_alive)]

    def retention_ms(self, keep_alive: KeepAlive) -> int | None:
        self._ask("retention_ms", keep_alive)
        return self._log.retention_ms

    def append(
        self, records: Sequence[DueLogRecord], position: DueLogRecord | None, end: int, keep_alive: KeepAlive
    ) -> Appended:
        return Appended(self._append([*records, *([] if position is None else [position])], end, keep_alive))
