"""Consumers of a FaultyLog: they don't read while it is unavailable, nor beyond an open transaction."""

from collections.abc import Sequence

from clocksvc.clock.log_record import LogEntry
from clocksvc.errors import TickLogUnavailable
from clocksvc.memory.tick_consumer import MemoryGroup, MemoryTickConsumer
from tests.faulty.tick_log import FaultyLog, FaultyTickLog


class FaultyTickConsumer(MemoryTickConsumer):
    """A `TickConsumer` of a group over a FaultyLog."""

    def __init__(self, group: MemoryGroup, log: FaultyLog) -> None:
        super().__init__(group, FaultyTickLog(log))
        self._faulty = log

    def _read(self, start: int) -> Sequence[LogEntry]:
        if self._faulty.unavailable:
            raise TickLogUnavailable
        return super()._read(start)
