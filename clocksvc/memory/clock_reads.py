"""Reads many clocks of the in-memory store."""

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from clocksvc.clock.logs import group_by_log
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading, StreamTail
from clocksvc.memory.store_access import StoreAccess, StoreContent

T = TypeVar("T")


class MemoryClockReads:
    """`ClockReads` of all clocks of a store."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access
        self._time = access.time

    def read(self, clocks: Collection[str]) -> Mapping[str, ClockReading | StoreUnavailable]:
        def reading(content: StoreContent, clock: str) -> ClockReading:
            now_ms = self._time.now_ms()
            return ClockReading(
                content.snapshot(clock, now_ms),
                content.clock(clock).counters(now_ms),
                content.schedulers_of(clock).reading(now_ms),
            )

        return self._read(clocks, reading)

    def tails(self, after_ms: Mapping[str, int | None], limit: int) -> Mapping[str, StreamTail | StoreUnavailable]:
        def tail(content: StoreContent, clock: str) -> StreamTail:
            stored, after = content.clock(clock), after_ms[clock]
            newest = stored.ticks[max(0, len(stored.ticks) - limit) :]
            ticks = newest if after is None else [tick for tick in stored.ticks if tick.at_ms > after][:limit]
            bounds = stored.bounds()
            return StreamTail(tuple(ticks), stored.last_tick_ms(), bounds.base_ms, bounds.written, bounds.restoring)

        return self._read(after_ms, tail)

    def _read(self, clocks: Collection[str], read: Callable[[StoreContent, str], T]) -> dict[str, T | StoreUnavailable]:
        found: dict[str, T | StoreUnavailable] = {}
        for names in group_by_log(clocks).values():
            try:
                with self._access.answering() as content:
                    found |= {name: read(content, name) for name in names}
            except StoreUnavailable as error:
                found |= dict.fromkeys(names, error)
        return found
