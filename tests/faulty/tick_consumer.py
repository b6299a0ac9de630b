"""Consumers of a FaultyLog: they don't read while it is unavailable, nor beyond an open transaction."""

from clocksvc.errors import OpenTransaction, TickLogUnavailable
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.tick_consumer import MemoryGroup, MemoryTickConsumer
from tests.faulty.tick_log import FaultyLog


class FaultyTickConsumer(MemoryTickConsumer):
    """A `TickConsumer` of a group over a FaultyLog."""

    def __init__(self, group: MemoryGroup, log: FaultyLog) -> None:
        super().__init__(group)
        self._log = log

    def last_tick_ms(self, keep_alive: KeepAlive) -> int | None:
        if self._log.unavailable:
            raise TickLogUnavailable
        if self._log.last_stable_offset < self._log.end:
            raise OpenTransaction
        return super().last_tick_ms(keep_alive)

    def _read(self, start: int) -> list[TickWithOffset]:
        if self._log.unavailable:
            raise TickLogUnavailable
        return super()._read(start)
