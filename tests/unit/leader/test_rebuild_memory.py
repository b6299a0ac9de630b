"""How much memory a leader needs to rebuild a store that was flushed."""

import tracemalloc
from collections.abc import Iterator, Sequence

import pytest

from clocksvc.clock.log_record import ClockState, Record
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.tick_log import KeepAlive, Tail
from clocksvc.leader.leader import Phase
from tests.faulty.clock import FaultyClock
from tests.faulty.store import FaultyStore
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.unit.leader.clocks import another_leader

FIRST_MS = 1_795_348_800_000


def record(number: int) -> Record:
    """The record of one tick, counted from 1, of a clock of 1 s."""
    at_ms = FIRST_MS + number * 1000
    previous_ms = at_ms - 1000 if number > 1 else None
    return Record("clock", ClockState(at_ms, at_ms), Tick("clock", at_ms, previous_ms, 1000, at_ms))


class LongTickLog(FaultyTickLog):
    """A tick log of many ticks, none of which it keeps in memory."""

    def __init__(self, count: int) -> None:
        super().__init__(FaultyLog(), "clock")
        self._count = count

    def tail(self, waiting: KeepAlive) -> Tail:
        return Tail(record(self._count), 0)

    def backwards(self, waiting: KeepAlive) -> Iterator[Record]:
        return map(record, range(self._count, 0, -1))


class OutsideStore(FaultyStore):
    """A store that keeps its ticks outside of this process."""

    def rebuild(self, token: str, ticks: Sequence[Tick], last_ms: int | None) -> None:
        """Don't keep the ticks."""


def peak_bytes(count: int) -> int:
    """The most memory that a leader has allocated at once until it leads, with this many ticks in the tick log."""
    clock = FaultyClock(interval_seconds=1, now=(FIRST_MS + count * 1000) / 1000)
    clock.store = OutsideStore("clock", clock.time)
    leader = another_leader(clock, "leader", ticklog=LongTickLog(count))
    tracemalloc.start()
    try:
        for _ in range(10):
            leader.step()
            if leader.phase is Phase.LEADING:
                return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    pytest.fail("the leader does not lead")


def test_a_rebuild_takes_bounded_memory() -> None:
    """Eight times as many ticks do not need twice the memory: they are restored 1,000 at a time."""
    assert peak_bytes(32_000) < 2 * peak_bytes(4_000)
