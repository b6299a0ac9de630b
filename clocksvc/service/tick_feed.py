"""One clock's ticks as this replica shows them. One blocking read of the store serves many subscribers.

`last` never goes back, even if the store does. While the store's stream does not continue the shown ticks, the feed is
`rebuilding`. The feed never returns ticks with a gap between them, and does not write to the store.
"""

import logging
from collections.abc import Callable, Sequence

from clocksvc.clock.tick import Tick, first_chain_break
from clocksvc.errors import CursorTooOld, Rebuilding, StoreUnavailable, Unavailable
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import FEED, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service.tick_buffer import TickBuffer

logger = logging.getLogger("clocksvc.feed")

BUFFER_SIZE = 2_000
STALLED_AFTER_S = 15.0


class TickFeed:
    """Follows the store's stream of one clock. One thread calls `step` (see `thread`); any thread may call the others.

    Attributes:
        ready: True after the first successful read of the store.
        rebuilding: True if the stream is empty, ends before the last shown tick, or does not continue this tick.
        store_ok: True if the last read succeeded.

    Args:
        buffer_size: the largest number of ticks in memory. The newest ticks are kept.
    """

    def __init__(self, clock: str, store: Store, time: Time, *, buffer_size: int = BUFFER_SIZE) -> None:
        self._clock = clock
        self._store = store
        self._time = time
        self._buffer_size = buffer_size
        self._buffer = TickBuffer(buffer_size)
        self._subscribers: list[Callable[[], None]] = []
        self._backoff = Backoff(FEED)
        self._stepped_at: float | None = None
        self._chain_broken = False
        self._empty_stream_confirmed = False
        self.ready = False
        self.rebuilding = False
        self.store_ok = True

    # -- shown ticks ------------------------------------------------------------------------------------------------

    @property
    def last(self) -> Tick | None:
        """The last shown tick, whose time is the global clock. It never goes back."""
        return self._buffer.last()

    @property
    def stalled(self) -> bool:
        """True if the last step began more than 15 s ago. A read ends earlier, so the thread hangs."""
        return self._stepped_at is not None and self._time.monotonic() - self._stepped_at > STALLED_AFTER_S

    def newest(self, limit: int) -> list[Tick]:
        """Return the newest shown ticks that are in memory, at most `limit`, ascending.

        Blocks for a read of the store if there is no tick in memory; otherwise does not block.

        Raises:
            StoreUnavailable: the store has not answered yet.
            Rebuilding: the stream in the store may be incomplete, so it is unknown whether the clock has a tick.
        """
        self._require_history()
        return self._buffer.newest(limit)

    def in_memory_after(self, cursor_ms: int, limit: int) -> list[Tick] | None:
        """Like `ticks_after`, but only from memory and without blocking; None if a required tick is not in memory."""
        return self._buffer.after(cursor_ms, limit)

    def ticks_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        """Return the shown ticks after a cursor, at most `limit`, ascending. No tick after the cursor is missing.

        Blocks for a read of the store if the cursor is before the ticks in memory.

        Raises:
            CursorTooOld: ticks after this cursor are no longer stored.
            Rebuilding: the store's stream does not continue up to the shown ticks.
            StoreUnavailable: the ticks are not in memory, and the store does not answer.
        """
        self._require_history()
        if self._buffer.last() is None:
            return []
        in_memory = self._buffer.after(cursor_ms, limit)
        return self._read_stored_after(cursor_ms, limit) if in_memory is None else in_memory

    def reached(self, until_ms: int) -> Tick | None:
        """Return the first tick at or after a time. If this tick can't be read, return the oldest tick in memory.

        Returns:
            None if the clock has not reached the time.
        """
        last = self._buffer.last()
        if last is None or last.at_ms < until_ms:
            return None
        try:
            return self.ticks_after(max(0, until_ms - 1), 1)[0]
        except (CursorTooOld, Rebuilding, StoreUnavailable):
            return self._buffer.first()

    def on_change(self, subscriber: Callable[[], None]) -> Callable[[], None]:
        """Call `subscriber` in the feed's thread after each change. The subscriber must not block.

        Returns:
            A function that removes the subscriber.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    # -- following --------------------------------------------------------------------------------------------------

    def thread(self) -> WorkerThread:
        """Return a thread that calls `step` of this feed until it is stopped."""
        return WorkerThread(
            f"feed-{self._clock}",
            self._step_and_back_off,
            log=logger,
            extra={"clock": self._clock},
            on_crash=self._mark_failed,
        )

    def _step_and_back_off(self) -> float:
        self.step()
        if self._chain_broken or not self.store_ok:
            return self._backoff.next()
        self._backoff.reset()
        return 0.0

    def _mark_failed(self) -> None:
        self.store_ok = False

    def step(self, timeout_s: float = 1.0) -> None:
        """Read the store once. If there is nothing new, this blocks for at most `timeout_s`."""
        before = self._shown()
        self._stepped_at = self._time.monotonic()
        self._chain_broken = False
        try:
            last = self._buffer.last()
            if last is None:
                self._begin(timeout_s)
            else:
                self._follow(last, timeout_s)
        except Unavailable:
            self.store_ok = False
        else:
            self.store_ok = self.ready = True
        self._report_change(before)

    def _begin(self, timeout_s: float) -> None:
        # The next read begins after the last tick of this history, so no tick between the two reads is missed.
        confirmed = self._store_has_roster()
        if self.ready and not self._store.follow(0, timeout_s):
            self.rebuilding, self._empty_stream_confirmed = False, confirmed
            return
        history = self._store.newest_ticks(self._buffer_size)
        self._empty_stream_confirmed = confirmed
        if history and first_chain_break(history[0].previous_ms, history) is not None:
            self._mark_rebuilding()
            return
        self._buffer.extend(history)
        self.rebuilding = False

    def _store_has_roster(self) -> bool:
        """True if the store has a roster.

        Leaders rebuild the stream before they write the roster. If there is a roster, a stream that is read after this
        call and is empty really has no ticks.
        """
        seen = self._store.snapshot()
        return seen.known + seen.unknown + seen.excluded > 0

    def _follow(self, last: Tick, timeout_s: float) -> None:
        ticks = self._store.follow(last.at_ms, timeout_s)
        if not ticks:
            self._compare(last, self._store.last_tick())
            return
        break_at = first_chain_break(last.at_ms, ticks)
        continuing = ticks if break_at is None else ticks[: ticks.index(break_at)]
        if continuing:
            self._buffer.extend(continuing)
            self.rebuilding = False
        elif not self._skip_trimmed_gap(last, ticks[0]):
            self._mark_rebuilding()

    def _compare(self, last: Tick, stream_end: Tick | None) -> None:
        if stream_end is None or stream_end.at_ms < last.at_ms:
            self.rebuilding = True
        elif stream_end.at_ms == last.at_ms:
            self.rebuilding = False

    def _skip_trimmed_gap(self, last: Tick, following: Tick) -> bool:
        """Continue after a gap if the store has dropped all ticks up to the last shown tick. Otherwise return False."""
        if following.previous_ms is not None and following.previous_ms < last.at_ms:
            return False
        oldest = self._store.first_tick()
        history = self._store.newest_ticks(self._buffer_size)
        if oldest is None or oldest.at_ms <= last.at_ms or not history:
            return False
        if history[0].at_ms <= last.at_ms or first_chain_break(history[0].previous_ms, history) is not None:
            return False
        logger.warning(
            "feed skips ticks that are no longer in the store",
            extra={"clock": self._clock, "last_tick_ms": last.at_ms, "oldest_ms": oldest.at_ms},
        )
        self._buffer.reset(history)
        self.rebuilding = False
        return True

    def _mark_rebuilding(self) -> None:
        self.rebuilding = self._chain_broken = True

    # -- ticks that are not in memory -------------------------------------------------------------------------------

    def _require_history(self) -> None:
        if self._buffer.last() is not None:
            return
        if not self.ready and not self.store_ok:
            raise StoreUnavailable
        if not self.ready or self.rebuilding or not (self._empty_stream_confirmed or self._has_no_tick()):
            raise Rebuilding

    def _has_no_tick(self) -> bool:
        return self._store_has_roster() and self._store.last_tick() is None

    def _read_stored_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        shown = self._buffer.last()
        stored = self._store.ticks_after(cursor_ms, limit)
        if not _follows(cursor_ms, stored):
            raise self._cursor_error(cursor_ms)
        reaches = len(stored) == limit or (shown is not None and stored[-1].at_ms >= shown.at_ms)
        if not reaches or not self._agrees(stored):
            raise Rebuilding
        last = self._buffer.last()
        return [tick for tick in stored if last is not None and tick.at_ms <= last.at_ms]

    def _agrees(self, stored: Sequence[Tick]) -> bool:
        """True if ticks from the store end before the ticks in memory, or continue with them."""
        first = self._buffer.first()
        if first is None or stored[-1].at_ms < first.at_ms:
            return True
        joined = next(tick for tick in stored if tick.at_ms >= first.at_ms)
        return (joined.at_ms, joined.previous_ms) == (first.at_ms, first.previous_ms)

    def _cursor_error(self, cursor_ms: int) -> CursorTooOld | Rebuilding:
        oldest, first = self._store.first_tick(), self._buffer.first()
        if oldest is None or first is None:
            return Rebuilding()
        if first.at_ms < oldest.at_ms:
            oldest = first
        if oldest.previous_ms is None or oldest.previous_ms <= cursor_ms:
            return Rebuilding()
        return CursorTooOld(cursor_ms, oldest.at_ms, oldest.previous_ms)

    # -- changes ----------------------------------------------------------------------------------------------------

    def _shown(self) -> tuple[Tick | None, bool, bool, bool]:
        return self._buffer.last(), self.ready, self.rebuilding, self.store_ok

    def _report_change(self, before: tuple[Tick | None, bool, bool, bool]) -> None:
        now = self._shown()
        if now == before:
            return
        if now[2:] != before[2:]:
            state = {"rebuilding": self.rebuilding, "store_ok": self.store_ok}
            logger.log(
                logging.WARNING if self.rebuilding or not self.store_ok else logging.INFO,
                "feed changed",
                extra={"clock": self._clock, **state},
            )
        for subscriber in tuple(self._subscribers):
            subscriber()


def _follows(cursor_ms: int, stored: Sequence[Tick]) -> bool:
    """True if there is no gap between the ticks, and none between the cursor and the first tick."""
    if not stored or first_chain_break(stored[0].previous_ms, stored) is not None:
        return False
    return stored[0].previous_ms is None or stored[0].previous_ms <= cursor_ms
