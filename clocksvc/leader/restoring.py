"""Restores the history of clocks whose stream was lost with the store, while the clocks go on.

One pass reads the log forward, 1,000 offsets at a time, and stages the ticks of all clocks that need their history. At
the end of the log, the staged ticks of a clock replace its stream. Memory does not depend on the length of the history.
"""

import logging
from dataclasses import dataclass, field

from clocksvc.clock.log_record import TICK, LogEntry, decode_message
from clocksvc.clock.tick import Tick
from clocksvc.errors import TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.term import Term

logger = logging.getLogger("clocksvc.leader")

CHUNK = 1_000
CLOCK_SKEW_MS = 60_000
"""How far the brokers' clocks may be behind the clock of the leader that emitted a tick."""
RETRY_S = 5.0
"""The delay before the next pass, if the log can't be read or if staged ticks do not end where their stream ends."""


@dataclass
class _Staged:
    """The staged ticks of one clock: when the oldest one must have been emitted, and the last one."""

    emitted_after_ms: int
    last_ms: int | None = None
    begun: bool = False


@dataclass
class Restoration:
    """The restoration of a log's clocks during one term. `waiting` are the clocks for the next pass."""

    waiting: set[str] = field(default_factory=set)
    _staged: dict[str, _Staged] = field(default_factory=dict)
    _offset: int = 0
    _retry_at: float = float("-inf")

    def is_due(self, now: float) -> bool:
        """True if there is something to restore at a monotonic time."""
        return bool(self._staged) or (bool(self.waiting) and now >= self._retry_at)

    def add(self, clock: str) -> None:
        """Restore a clock with the next pass. Its staged ticks of the present pass are dropped."""
        self._staged.pop(clock, None)
        self.waiting.add(clock)

    def includes(self, clock: str) -> bool:
        """True if a clock is being restored, or waits for the next pass."""
        return clock in self.waiting or clock in self._staged

    def drop(self, clock: str) -> None:
        """Don't restore a clock any more."""
        self._staged.pop(clock, None)
        self.waiting.discard(clock)

    def advance(self, parts: LeaderDependencies, term: Term, keep_alive: KeepAlive) -> None:
        """Restore one chunk. Call this only when all committed ticks are published.

        If the log can't be read, the pass begins again later. Live ticks don't need old records.

        Raises:
            ClocksvcError: as the store and `keep_alive` raise it. The pass begins again.
        """
        try:
            self._advance(parts, term, keep_alive)
        except TickLogUnavailable as error:
            logger.warning("history can't be read", extra={"log": parts.log, "detail": str(error)})
            self._interrupt()
            self._retry_at = parts.time.monotonic() + RETRY_S
        except BaseException:
            self._interrupt()
            raise

    def _interrupt(self) -> None:
        self.waiting |= set(self._staged)
        self._staged.clear()

    def _advance(self, parts: LeaderDependencies, term: Term, keep_alive: KeepAlive) -> None:
        if not self._staged:
            self._begin(parts, term, keep_alive)
        upto = min(self._offset + CHUNK, term.end)
        if self._offset < upto:
            for clock, ticks in self._ticks(parts.ticklog.read(self._offset, upto, keep_alive)).items():
                self._stage(term, clock, ticks)
            self._offset = upto
        if upto == term.end:
            self._finish(term, parts.time.monotonic())

    def _begin(self, parts: LeaderDependencies, term: Term, keep_alive: KeepAlive) -> None:
        # If the leader's clock is ahead, recent ticks would seem to be too old.
        now_ms = min(parts.time.now_ms(), parts.stores[min(self.waiting)].now_ms())
        for name in sorted(self.waiting):
            recent_ms, last_ms = parts.specs[name].recent_ticks_ms, term.clocks[name].state.last_emitted_ms
            # The last tick is always kept, however old it is.
            self._staged[name] = _Staged(min(now_ms - recent_ms, now_ms if last_ms is None else last_ms))
        self.waiting = set()
        oldest_ms = min(staged.emitted_after_ms for staged in self._staged.values())
        self._offset = parts.ticklog.offset_at(max(0, oldest_ms - CLOCK_SKEW_MS), keep_alive)
        logger.info("history is being restored", extra={"log": parts.log, "clocks": sorted(self._staged)})

    def _ticks(self, entries: list[LogEntry]) -> dict[str, list[Tick]]:
        ticks: dict[str, list[Tick]] = {}
        for _, message in entries:
            clock = (message.key or b"").decode(errors="replace")
            if message.type != TICK or clock not in self._staged:
                continue
            try:
                tick = decode_message(message).tick
            except UnreadableRecord:
                continue
            if tick is not None and tick.emitted_at_ms >= self._staged[clock].emitted_after_ms:
                ticks.setdefault(clock, []).append(tick)
        return ticks

    def _stage(self, term: Term, clock: str, ticks: list[Tick]) -> None:
        """Stage ticks. After a gap in the chain, only the ticks after the gap are kept."""
        staged, store = self._staged[clock], term.clocks[clock].store
        begin = 0
        for index, tick in enumerate(ticks):
            if tick.previous_ms != staged.last_ms:
                begin, staged.begun = index, False
            staged.last_ms = tick.at_ms
        store.stage(term.token, ticks[begin:], first=not staged.begun)
        staged.begun = True

    def _finish(self, term: Term, now: float) -> None:
        for clock in list(self._staged):
            staged, last_ms = self._staged.pop(clock), term.clocks[clock].state.last_tick_ms
            store = term.clocks[clock].store
            if not staged.begun or staged.last_ms != last_ms:
                # There is no history that leads to the clock's last tick: it is too old, or `init` set another time.
                store.stage(term.token, [], first=True)
            if store.finish_restoring(term.token):
                logger.info("history restored", extra={"clock": clock})
            else:
                self.waiting.add(clock)
                self._retry_at = now + RETRY_S
