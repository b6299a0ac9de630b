"""How much memory a leader needs to restore the history of a store that was flushed."""

import tracemalloc
from collections.abc import Sequence

import pytest

from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.clock.log_record import ClockState, LogEntry, Record, encode_message
from clocksvc.clock.log_state import snapshot_messages
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.tick_log import KeepAlive
from tests.faulty.clock import FaultyClock
from tests.faulty.store import FaultyStore
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.unit.leader.clocks import another_leader

OWNER = LogOwner(Installation("memory", "memory"), "a1")
FIRST_MS = 1_795_348_800_000


def entry(number: int) -> LogEntry:
    """The entry of one tick, counted from 1, of a clock of 1 s."""
    at_ms = FIRST_MS + number * 1000
    previous_ms = at_ms - 1000 if number > 1 else None
    tick = Tick("clock", at_ms, previous_ms, 1000, at_ms)
    return LogEntry(number - 1, encode_message(Record("clock", ClockState(at_ms, at_ms), tick)))


class LongTickLog(FaultyTickLog):
    """A tick log that begins with many ticks, none of which it keeps in memory, and then has a snapshot."""

    def __init__(self, count: int, log: FaultyLog) -> None:
        super().__init__(log)
        self._count = log.end = count
        newest = {"clock": entry(count).message}
        log.commit(snapshot_messages(OWNER, newest, count, complete=True))

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        ticks = [entry(offset + 1) for offset in range(start, min(end, self._count))]
        return [*ticks, *super().read(start, end, keep_alive)]

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        return 0


class OutsideStore(FaultyStore):
    """A store that keeps its ticks outside of this process."""

    staged, restored = 0, False

    def stage(self, token: str, ticks: Sequence[Tick], *, first: bool) -> None:
        """Don't keep the ticks."""
        self.staged = len(ticks) + (0 if first else self.staged)

    def finish_restoring(self, token: str) -> bool:
        self.restored = True
        return True


def peak_bytes(count: int) -> int:
    """The most memory that a leader has allocated at once until the history is restored, with this many ticks."""
    clock = FaultyClock(interval_seconds=1, now=(FIRST_MS + count * 1000) / 1000)
    store = OutsideStore("clock", clock.time, server=clock.store_server)
    leader = another_leader(clock, "leader", ticklog=LongTickLog(count, clock.log), store=store)
    tracemalloc.start()
    try:
        for _ in range(100):
            leader.step()
            if store.restored:
                assert store.staged == count
                return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    pytest.fail("the history is not restored")


def test_a_restoration_takes_bounded_memory() -> None:
    """Eight times as many ticks do not need twice the memory: they are restored 1,000 at a time."""
    assert peak_bytes(9_600) < 2 * peak_bytes(1_200)
