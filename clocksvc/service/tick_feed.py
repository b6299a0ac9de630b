"""One clock's ticks as this replica has seen them: one blocking read of the store, many subscribers.

What was shown once stays shown: `last` never goes back, whatever the store says. A feed says `rebuilding` rather than
guess, and gives no ticks with a gap between them. It writes nothing.
"""

import logging
from collections.abc import Callable, Sequence

from clocksvc.clock.tick import Tick, first_chain_break
from clocksvc.errors import CursorTooOld, Rebuilding, StoreUnavailable, Unavailable
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import FEED, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service.tick_buffer import Ring

logger = logging.getLogger("clocksvc.feed")

KEEP = 2_000
STALLED_AFTER_S = 15.0


class Feed:
    """Follows the store's stream of one clock. One thread steps it (`thread`), any thread reads it.

    Attributes:
        ready: it has read the store at least once.
        rebuilding: the stream is gone, ends below what was shown, or does not continue it.
        store_ok: the last read was answered, and could be understood.
    """

    def __init__(self, clock: str, store: Store, time: Time, *, keep: int = KEEP) -> None:
        self._clock = clock
        self._store = store
        self._time = time
        self._keep = keep
        self._ring = Ring(keep)
        self._subscribers: list[Callable[[], None]] = []
        self._backoff = Backoff(FEED)
        self._stepped_at: float | None = None
        self._broken = False
        self._sure = False
        self.ready = False
        self.rebuilding = False
        self.store_ok = True

    # -- what was shown ---------------------------------------------------------------------------------------------

    @property
    def last(self) -> Tick | None:
        """The last tick shown: the global clock. Never goes back."""
        return self._ring.last()

    @property
    def stalled(self) -> bool:
        """Nobody has stepped this feed for much longer than a read may take."""
        return self._stepped_at is not None and self._time.monotonic() - self._stepped_at > STALLED_AFTER_S

    def newest(self, limit: int) -> list[Tick]:
        """The newest ticks shown, ascending, at most `limit` of the `keep` in memory. Without any it may block.

        Raises:
            Rebuilding, StoreUnavailable: nothing has been read yet, or it is not known whether there was ever a tick.
        """
        self._check_begun()
        return self._ring.newest(limit)

    def in_memory_after(self, cursor_ms: int, limit: int) -> list[Tick] | None:
        """As `ticks_after` where the ticks in memory are enough to answer, without blocking; else None."""
        return self._ring.after(cursor_ms, limit)

    def ticks_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        """The ticks shown after a cursor, ascending, at most `limit`, the chain whole from the cursor on.

        A cursor outside the ticks in memory costs a read of the store.

        Raises:
            CursorTooOld: ticks after this cursor are no longer kept.
            Rebuilding: the store's stream does not reach what was shown.
            StoreUnavailable: the store is needed and does not answer.
        """
        self._check_begun()
        if self._ring.last() is None:
            return []
        in_memory = self._ring.after(cursor_ms, limit)
        return self._read_stored_after(cursor_ms, limit) if in_memory is None else in_memory

    def reached(self, until_ms: int) -> Tick | None:
        """The first tick at or after a time, or the oldest known after that; None when the clock is not there yet."""
        last = self._ring.last()
        if last is None or last.at_ms < until_ms:
            return None
        try:
            return self.ticks_after(max(0, until_ms - 1), 1)[0]
        except (CursorTooOld, Rebuilding, StoreUnavailable):
            return self._ring.first()

    def on_change(self, subscriber: Callable[[], None]) -> Callable[[], None]:
        """Call back from the feed's thread, after each change of what it shows or says; returns what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    # -- following --------------------------------------------------------------------------------------------------

    def thread(self) -> WorkerThread:
        """A thread that steps this feed until it is stopped."""
        return WorkerThread(
            f"feed-{self._clock}",
            self._step_and_back_off,
            log=logger,
            extra={"clock": self._clock},
            on_crash=self._mark_unread,
        )

    def _step_and_back_off(self) -> float:
        self.step()
        if self._broken or not self.store_ok:
            return self._backoff.next()
        self._backoff.reset()
        return 0.0

    def _mark_unread(self) -> None:
        self.store_ok = False

    def step(self, timeout_s: float = 1.0) -> None:
        """One read of the store, which blocks for `timeout_s` at most while there is nothing new."""
        before = self._shown()
        self._stepped_at = self._time.monotonic()
        self._broken = False
        try:
            last = self._ring.last()
            if last is None:
                self._begin(timeout_s)
            else:
                self._follow(last, timeout_s)
        except Unavailable:
            self.store_ok = False
        else:
            self.store_ok = self.ready = True
        self._tell(before)

    def _begin(self, timeout_s: float) -> None:
        # Following begins at the last tick of the history: the cursor is fixed before anything later is published,
        # so that none can be missed between the two reads.
        sure = self._a_leader_was_here()
        if self.ready and not self._store.follow(0, timeout_s):
            self.rebuilding, self._sure = False, sure
            return
        history = self._store.newest_ticks(self._keep)
        self._sure = sure
        if history and first_chain_break(history[0].previous_ms, history) is not None:
            self._stay_back()
            return
        self._ring.extend(history)
        self.rebuilding = False

    def _a_leader_was_here(self) -> bool:
        """Whether a stream that is empty after this says that there is no tick: after a flush a leader makes the stream
        anew before it writes the roster."""
        seen = self._store.snapshot()
        return seen.known + seen.unknown + seen.excluded > 0

    def _follow(self, last: Tick, timeout_s: float) -> None:
        ticks = self._store.follow(last.at_ms, timeout_s)
        if not ticks:
            self._compare(last, self._store.last_tick())
            return
        broken = first_chain_break(last.at_ms, ticks)
        whole = ticks if broken is None else ticks[: ticks.index(broken)]
        if whole:
            self._ring.extend(whole)
            self.rebuilding = False
        elif not self._begins_later(last, ticks[0]):
            self._stay_back()

    def _compare(self, last: Tick, stream_end: Tick | None) -> None:
        if stream_end is None or stream_end.at_ms < last.at_ms:
            self.rebuilding = True
        elif stream_end.at_ms == last.at_ms:
            self.rebuilding = False

    def _begins_later(self, last: Tick, following: Tick) -> bool:
        """Start the ring anew where the stream was trimmed beyond what was shown; False where it contradicts that."""
        if following.previous_ms is not None and following.previous_ms < last.at_ms:
            return False
        oldest = self._store.first_tick()
        history = self._store.newest_ticks(self._keep)
        if oldest is None or oldest.at_ms <= last.at_ms or not history:
            return False
        if history[0].at_ms <= last.at_ms or first_chain_break(history[0].previous_ms, history) is not None:
            return False
        logger.warning(
            "feed begins anew after a gap",
            extra={"clock": self._clock, "last_tick_ms": last.at_ms, "oldest_ms": oldest.at_ms},
        )
        self._ring.restart(history)
        self.rebuilding = False
        return True

    def _stay_back(self) -> None:
        self.rebuilding = self._broken = True

    # -- reading beyond memory --------------------------------------------------------------------------------------

    def _check_begun(self) -> None:
        if self._ring.last() is not None:
            return
        if not self.ready and not self.store_ok:
            raise StoreUnavailable
        if not self.ready or self.rebuilding or not (self._sure or self._has_no_tick()):
            raise Rebuilding

    def _has_no_tick(self) -> bool:
        return self._a_leader_was_here() and self._store.last_tick() is None

    def _read_stored_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        shown = self._ring.last()
        kept = self._store.ticks_after(cursor_ms, limit)
        if not _follows(cursor_ms, kept):
            raise self._cursor_error(cursor_ms)
        reaches = len(kept) == limit or (shown is not None and kept[-1].at_ms >= shown.at_ms)
        if not reaches or not self._agrees(kept):
            raise Rebuilding
        last = self._ring.last()
        return [tick for tick in kept if last is not None and tick.at_ms <= last.at_ms]

    def _agrees(self, kept: Sequence[Tick]) -> bool:
        """Whether ticks of the store lead up to those in memory, where they reach them."""
        first = self._ring.first()
        if first is None or kept[-1].at_ms < first.at_ms:
            return True
        joined = next(tick for tick in kept if tick.at_ms >= first.at_ms)
        return (joined.at_ms, joined.previous_ms) == (first.at_ms, first.previous_ms)

    def _cursor_error(self, cursor_ms: int) -> CursorTooOld | Rebuilding:
        oldest, first = self._store.first_tick(), self._ring.first()
        if oldest is None or first is None:
            return Rebuilding()
        if first.at_ms < oldest.at_ms:
            oldest = first
        if oldest.previous_ms is None or oldest.previous_ms <= cursor_ms:
            return Rebuilding()
        return CursorTooOld(cursor_ms, oldest.at_ms, oldest.previous_ms)

    # -- telling ----------------------------------------------------------------------------------------------------

    def _shown(self) -> tuple[Tick | None, bool, bool, bool]:
        return self._ring.last(), self.ready, self.rebuilding, self.store_ok

    def _tell(self, before: tuple[Tick | None, bool, bool, bool]) -> None:
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


def _follows(cursor_ms: int, kept: Sequence[Tick]) -> bool:
    """Whether ticks are whole and nothing is missing between a cursor and the first of them."""
    if not kept or first_chain_break(kept[0].previous_ms, kept) is not None:
        return False
    return kept[0].previous_ms is None or kept[0].previous_ms <= cursor_ms
