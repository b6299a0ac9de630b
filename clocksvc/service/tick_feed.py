"""One clock's ticks as this replica shows them. The notice follower reads them for many subscribers.

`last` never goes back, even if the store does. While the store's stream does not continue the shown ticks, the feed is
`rebuilding`. The feed never returns ticks with a gap between them, and does not write to the store.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from clocksvc.clock.tick import Tick, cursor_too_old, first_chain_break
from clocksvc.errors import CursorTooOld, Rebuilding, StoreUnavailable, Unavailable
from clocksvc.interfaces.clock_reads import StreamTail
from clocksvc.interfaces.tick_stream import StreamBounds, TickStream
from clocksvc.interfaces.time import Time
from clocksvc.service.tick_buffer import TickBuffer, size_of

logger = logging.getLogger("clocksvc.feed")

BUFFER_SIZE = 2_000
BUFFER_BYTES = 64 * 2**20
"""The largest size of the ticks of all clocks in a process's memory. Each clock has the same share."""
READ_EVERY_S = 5.0
"""The longest time between two steps of a feed. Notices are hints, so a feed does not rely on them."""
RETRY_EVERY_S = 1.0
"""The longest time between two steps while the stream does not continue the shown ticks."""
STALLED_AFTER_S = 3 * READ_EVERY_S
_BATCH = 1_000
_MAX_BATCHES = 10
"""The number of batches that one step reads, so that a feed that is far behind does not delay the other feeds."""


class _Shown(NamedTuple):
    """What subscribers see."""

    last: Tick | None
    beginning_ms: int | None
    ready: bool
    rebuilding: bool
    store_ok: bool


class TickFeed:
    """Shows the store's stream of one clock. One thread calls `step` (see `NoticeFollower`); any thread may call the
    other methods.

    Attributes:
        clock: the clock's name.
        ready: True after the first successful read of the store.
        rebuilding: True if the stream is lost, ends before the last shown tick, does not continue this tick, or if its
            ticks are not restored yet.
        store_ok: True if the last read succeeded.
        beginning_ms: the time that is `previous` in the clock's first tick, or will be (`clocksvc init` set it). None
            if there is no such time, or if this feed has not followed the clock since before its first tick.

        buffer_bytes: about how many bytes the ticks in memory need at most.

    Args:
        buffer_size: the largest number of ticks in memory. The newest ticks are kept, at least one.
    """

    def __init__(
        self,
        clock: str,
        stream: TickStream,
        time: Time,
        *,
        buffer_size: int = BUFFER_SIZE,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.clock = clock
        self._stream = stream
        self._time = time
        self.buffer_bytes = buffer_bytes
        self._buffer_size = buffer_size
        self._buffer = TickBuffer(buffer_size, buffer_bytes)
        self._subscribers: list[Callable[[], None]] = []
        self._stepped_at: float | None = None
        self._empty_stream_confirmed = False
        self.ready = False
        self.rebuilding = False
        self.store_ok = True
        self.beginning_ms: int | None = None

    # -- shown ticks ------------------------------------------------------------------------------------------------

    @property
    def last(self) -> Tick | None:
        """The last shown tick, whose time is the global clock. It never goes back."""
        return self._buffer.last()

    @property
    def stalled(self) -> bool:
        """True if the last step began more than 15 s ago. Steps are more frequent, so the thread hangs."""
        return self._stepped_at is not None and self._time.monotonic() - self._stepped_at > STALLED_AFTER_S

    def newest(self, limit: int) -> list[Tick]:
        """Return the newest shown ticks, at most `limit`, ascending.

        Blocks for a read of the store if fewer are in memory. If the store then does not answer, or does not continue
        the ticks in memory, these are returned alone.

        Raises:
            StoreUnavailable: the store has not answered yet.
            Rebuilding: the stream in the store may be incomplete, so it is unknown whether the clock has a tick.
        """
        self._require_history()
        in_memory = self._buffer.newest(limit)
        if not in_memory or self.has_in_memory(limit):
            return in_memory
        try:
            stored = self._stream.newest_ticks(limit)
        except Unavailable:
            return in_memory
        older = [tick for tick in stored if tick.at_ms < in_memory[0].at_ms]
        found = [*older, *in_memory][-limit:]
        return found if first_chain_break(found[0].previous_ms, found) is None else in_memory

    def has_in_memory(self, limit: int) -> bool:
        """True if the newest ticks, at most `limit`, are in memory, so that `newest` does not block."""
        return self._buffer.has_newest(limit)

    def in_memory_after(self, cursor_ms: int, limit: int) -> list[Tick] | None:
        """Like `ticks_after`, but only from memory and without blocking; None if a required tick is not in memory."""
        return self._buffer.after(cursor_ms, limit)

    def ticks_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        """Return the shown ticks after a cursor, at most `limit`, ascending. No tick after the cursor is missing.

        Blocks for a read of the store if the cursor is before the ticks in memory.

        Raises:
            CursorTooOld: ticks after this cursor are no longer stored.
            Rebuilding: the store's stream does not continue up to the shown ticks, or is not restored yet.
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
        """Call `subscriber` in the thread that calls `step`, after each change. The subscriber must not block.

        Returns:
            A function that removes the subscriber.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    # -- following --------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Read the new ticks of the store. Blocks for at most a few times the store's timeout.

        Returns:
            The seconds until the next step is due. A notice of this clock makes it due at once.
        """
        before = self._shown()
        self._stepped_at = self._time.monotonic()
        try:
            last = self._buffer.last()
            complete = last is None or self._follow(last)
            if last is None:
                self._begin()
        except Unavailable:
            complete, self.store_ok = True, False
        else:
            self.store_ok = self.ready = True
        self._report_change(before)
        if not complete:
            return 0.0
        return READ_EVERY_S if self.store_ok and not self.rebuilding else RETRY_EVERY_S

    @property
    def cursor_ms(self) -> int | None:
        """The cursor for the `tail` of `accept`: the time of the last shown tick."""
        last = self._buffer.last()
        return None if last is None else last.at_ms

    def accept(self, tail: StreamTail, limit: int) -> bool:
        """Show the ticks of a tail that was read after `cursor_ms`, at most `limit` ticks. Does not block.

        Only the thread that calls `step` may call this.

        Returns:
            True if the feed has shown the whole stream. False if `step` must read it: there may be more ticks, or the
            stream does not continue the shown ticks.
        """
        before, last = self._shown(), self._buffer.last()
        self._stepped_at = self._time.monotonic()
        complete = self._begin_with(tail, limit) if last is None else self._continue_with(last, tail, limit)
        if complete:
            self.store_ok = self.ready = True
        self._report_change(before)
        return complete

    def mark_failed(self) -> None:
        """Record that the store was not read. Only the thread that calls `step` may call this."""
        before = self._shown()
        self.store_ok = False
        self._report_change(before)

    def _begin(self) -> None:
        bounds = self._stream.bounds()
        if bounds.last is None:
            self._show_empty(bounds)
        elif not self._show_history(self._stream.newest_ticks(self._history_size(bounds.last)), bounds.first):
            self.rebuilding = True

    def _begin_with(self, tail: StreamTail, limit: int) -> bool:
        if tail.last_ms is None:
            self._show_empty(tail)
            return True
        if self._empty_stream_confirmed and len(tail.ticks) == limit:
            return False  # the first tick of the clock may be missing
        return self._show_history(tail.ticks, next(iter(tail.ticks), None))

    def _show_empty(self, end: StreamBounds | StreamTail) -> None:
        self._empty_stream_confirmed = end.written and not end.restoring
        self.beginning_ms = end.base_ms if self._empty_stream_confirmed else None
        self.rebuilding = end.restoring

    def _show_history(self, history: Sequence[Tick], oldest: Tick | None) -> bool:
        """Show the first ticks. False if they are not a chain. `oldest` is the oldest tick of the stream."""
        if not history or first_chain_break(history[0].previous_ms, history) is not None:
            return False
        self.beginning_ms = oldest.previous_ms if oldest is not None and self._empty_stream_confirmed else None
        self._buffer.extend(history)
        self.rebuilding = False
        return True

    def _history_size(self, last: Tick) -> int:
        """Return how many of the newest ticks fit into the memory, if they are like the last one."""
        return max(1, min(self._buffer_size, self.buffer_bytes // size_of(last)))

    def _continue_with(self, last: Tick, tail: StreamTail, limit: int) -> bool:
        if tail.ticks and first_chain_break(last.at_ms, tail.ticks) is None:
            self._buffer.extend(tail.ticks)
            self.rebuilding = False
            return len(tail.ticks) < limit
        if tail.ticks and not tail.restoring:
            return False
        self._compare(last, tail, tail.ticks)
        return True

    def _follow(self, last: Tick) -> bool:
        """Show the ticks that continue the shown ones. Return False if there may be more."""
        for _ in range(_MAX_BATCHES):
            ticks = self._stream.ticks_after(last.at_ms, _BATCH)
            break_at = first_chain_break(last.at_ms, ticks)
            continuing = ticks if break_at is None else ticks[: ticks.index(break_at)]
            if not continuing:
                self._compare(last, self._stream.bounds(), ticks)
                return True
            self._buffer.extend(continuing)
            self.rebuilding = False
            if break_at is None and len(ticks) < _BATCH:
                return True
            last = continuing[-1]
        return False

    def _compare(self, last: Tick, end: StreamBounds | StreamTail, ticks: Sequence[Tick]) -> None:
        """Compare the stream with the last shown tick.

        Args:
            end: read together with `ticks`, or after them.
            ticks: the ticks after `last` in the stream, if any. The first one does not follow `last`.
        """
        if not end.written or end.end_ms is None or end.end_ms < last.at_ms:
            self.rebuilding = True
        elif end.end_ms == last.at_ms:
            self.rebuilding = False
        elif not ticks and end.last_ms is not None:
            return  # published between the two reads; the notice makes the next step due
        elif end.last_ms is None and not end.restoring:
            self.rebuilding = False  # `clocksvc init` began the chain again: the next tick is the first one after it
        elif end.restoring or not ticks or not self._skip_trimmed_gap(last, ticks[0]):
            self.rebuilding = True

    def _skip_trimmed_gap(self, last: Tick, following: Tick) -> bool:
        """Continue after a gap if the store has dropped all ticks up to the last shown tick. Otherwise return False."""
        if following.previous_ms is not None and following.previous_ms < last.at_ms:
            return False
        history = self._stream.newest_ticks(self._history_size(following))
        bounds = self._stream.bounds()
        if not history or bounds.restoring or bounds.first is None or bounds.first.at_ms <= last.at_ms:
            return False
        if history[0].at_ms <= last.at_ms or first_chain_break(history[0].previous_ms, history) is not None:
            return False
        logger.warning(
            "feed skips ticks that are no longer in the store",
            extra={"clock": self.clock, "last_tick_ms": last.at_ms, "oldest_ms": bounds.first.at_ms},
        )
        self._buffer.reset(history)
        self.rebuilding = False
        return True

    # -- ticks that are not in memory -------------------------------------------------------------------------------

    def _require_history(self) -> None:
        if self._buffer.last() is not None or (self._empty_stream_confirmed and not self.rebuilding):
            return
        if not self.ready and not self.store_ok:
            raise StoreUnavailable
        if not self.ready or self.rebuilding:
            raise Rebuilding
        bounds = self._stream.bounds()
        if not bounds.written or bounds.restoring or bounds.last is not None:
            raise Rebuilding
        self.beginning_ms = bounds.base_ms

    def _read_stored_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        shown = self._buffer.last()
        stored = self._stream.ticks_after(cursor_ms, limit)
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
        bounds, first = self._stream.bounds(), self._buffer.first()
        oldest = bounds.first
        if not bounds.written or bounds.restoring or oldest is None or first is None:
            return Rebuilding()
        if first.at_ms < oldest.at_ms:
            oldest = first
        if oldest.previous_ms is None or oldest.previous_ms <= cursor_ms:
            return Rebuilding()
        return cursor_too_old(cursor_ms, oldest)

    # -- changes ----------------------------------------------------------------------------------------------------

    def _shown(self) -> _Shown:
        return _Shown(self._buffer.last(), self.beginning_ms, self.ready, self.rebuilding, self.store_ok)

    def _report_change(self, before: _Shown) -> None:
        now = self._shown()
        if now == before:
            return
        if (now.rebuilding, now.store_ok) != (before.rebuilding, before.store_ok):
            state = {"rebuilding": self.rebuilding, "store_ok": self.store_ok}
            logger.log(
                logging.WARNING if self.rebuilding or not self.store_ok else logging.INFO,
                "feed changed",
                extra={"clock": self.clock, **state},
            )
        for subscriber in tuple(self._subscribers):
            subscriber()


def _follows(cursor_ms: int, stored: Sequence[Tick]) -> bool:
    """True if there is no gap between the ticks, and none between the cursor and the first tick."""
    if not stored or first_chain_break(stored[0].previous_ms, stored) is not None:
        return False
    return stored[0].previous_ms is None or stored[0].previous_ms <= cursor_ms
