"""Where the feed's thread meets the event loop: each clock's changes as one asyncio event that all its clients share.

A client costs a cursor and a wait. A tick is written as JSON once, however many clients get it. Whatever may block
runs in threads that belong to one clock, so that one clock's trouble never delays another's.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi.sse import format_sse_event

from clocksvc.clock.tick import Tick
from clocksvc.service.clock_view import ClockView

T = TypeVar("T")

logger = logging.getLogger("clocksvc.api")

THREADS = 16
_KEPT_TEXTS = 4_096


class ShutdownSignal:
    """Set, from any thread, when the service ends: everyone who waits then finishes."""

    def __init__(self) -> None:
        self._set = False
        self._wakers: list[Callable[[], None]] = []

    def set(self) -> None:
        """End all waits, now and from now on."""
        self._set = True
        for wake in self._wakers:
            wake()

    def is_set(self) -> bool:
        """Whether the service ends."""
        return self._set

    def on_set(self, wake: Callable[[], None]) -> None:
        """Call `wake` once it is set."""
        self._wakers.append(wake)


class AsyncClock:
    """One clock for the event loop. Only that loop's thread may call it, except where said.

    Attributes:
        streams: how many streams are open now.
        streams_dropped: how many were ended because their client took nothing. Any thread may read both.
    """

    def __init__(self, view: ClockView, closing: ShutdownSignal) -> None:
        self.view, self.feed = view, view.feed
        self.closing = closing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._limiter: anyio.CapacityLimiter | None = None
        self._texts: dict[int, tuple[Tick, str, bytes]] = {}
        self.streams = self.streams_dropped = 0
        self.feed.on_change(self._wake)
        closing.on_set(self._wake)

    def bind(self) -> None:
        """Belong to the running loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._changed, self._limiter = loop, asyncio.Event(), anyio.CapacityLimiter(THREADS)

    async def blocking(self, call: Callable[[], T]) -> T:
        """What a call that may block returns, from one of this clock's threads."""
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)

    def change(self) -> asyncio.Event:
        """Set at the next change. Take it, look at the clock, then wait for it: nothing is missed in between."""
        return self._changed

    async def wait(self, change: asyncio.Event, timeout_s: float) -> bool:
        """Whether the change came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await change.wait()
        except TimeoutError:
            return False
        return True

    async def newest(self, limit: int) -> list[Tick]:
        """As `Feed.newest`."""
        if self.feed.last is not None:
            return self.feed.newest(limit)
        return await self.blocking(lambda: self.feed.newest(limit))

    async def ticks_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        """As `Feed.ticks_after`."""
        ticks = self.feed.in_memory_after(cursor_ms, limit)
        if ticks is not None:
            return ticks
        return await self.blocking(lambda: self.feed.ticks_after(cursor_ms, limit))

    async def reached(self, until_ms: int) -> Tick | None:
        """As `Feed.reached`."""
        ticks = self.feed.in_memory_after(max(0, until_ms - 1), 1)
        if ticks is not None:
            return ticks[0] if ticks else None
        return await self.blocking(lambda: self.feed.reached(until_ms))

    def stream_dropped(self) -> None:
        """Count a stream that was ended because its client took nothing."""
        self.streams_dropped += 1
        logger.info("stream dropped: its client takes nothing", extra={"clock": self.view.spec.name})

    def as_json(self, tick: Tick) -> str:
        """The tick's wire form, written once."""
        return self._text(tick)[1]

    def as_event(self, tick: Tick) -> bytes:
        """The tick's server-sent event, written once."""
        return self._text(tick)[2]

    def _text(self, tick: Tick) -> tuple[Tick, str, bytes]:
        known = self._texts.get(tick.at_ms)
        if known is not None and known[0] == tick:
            return known
        text = json.dumps(tick.to_wire(), separators=(",", ":"))
        made = tick, text, format_sse_event(data_str=text, event="tick", id=str(tick.at_ms // 1000))
        if len(self._texts) >= _KEPT_TEXTS:
            del self._texts[next(iter(self._texts))]
        self._texts[tick.at_ms] = made
        return made

    def _wake(self) -> None:
        """From any thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(self._renew)
        except RuntimeError:
            # The loop was closed between the question and the call: nobody waits any more.
            return

    def _renew(self) -> None:
        before, self._changed = self._changed, asyncio.Event()
        before.set()
