"""Makes a clock usable in the event loop. All clients of a clock wait for the same asyncio event.

The event is set when the clock's feed, which runs in a thread, has changed. Each tick is encoded once for all clients.
The clocks of a log share threads for blocking calls. They are on one Redis server, so a server that hangs delays only
its own clocks. Requests to the leader, which wait for seconds, have other threads than reads.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi.sse import format_sse_event

from clocksvc.api.live_streams import LiveStreams
from clocksvc.clock.logs import group_by_log
from clocksvc.clock.tick import Tick
from clocksvc.service.clock_view import ClockView

T = TypeVar("T")

logger = logging.getLogger("clocksvc.api")

READ_THREADS, REQUEST_THREADS = 8, 4
"""The largest numbers of threads for the clocks of a log: for calls to the store, and for requests to the leader."""
_MAX_ENCODED_TICKS, _MIN_ENCODED_TICKS = 4_096, 16
_MAX_ENCODED_TICKS_IN_ALL = 16_384
"""The largest number of encoded ticks of all clocks in memory, of a KB each. Each clock has the same share."""


class ShutdownSignal:
    """Signals that the service shuts down. Long polls and streams then end. Thread-safe."""

    def __init__(self) -> None:
        self._set = False
        self._callbacks: list[Callable[[], None]] = []

    def set(self) -> None:
        """Set the signal. Current waits end now, and later waits end at once."""
        self._set = True
        for callback in self._callbacks:
            callback()

    def is_set(self) -> bool:
        """True if the service shuts down."""
        return self._set

    def on_set(self, callback: Callable[[], None]) -> None:
        """Register a function that `set` will call. It runs in the thread that calls `set`."""
        self._callbacks.append(callback)


class LoopThreads:
    """At most `count` threads for blocking calls of the running event loop. Only the loop's thread may call `run`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` in one of the threads, and return its result. Waits while all threads are in use."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._limiter = loop, anyio.CapacityLimiter(self._count)
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)


class AsyncClock:
    """One clock, for use in the event loop. Only the loop's thread may call its methods.

    Attributes:
        live_streams: the open streams that have every shown tick.
        streams: the number of open streams. Any thread may read it.
        streams_dropped: the number of streams closed because the client stopped reading. Any thread may read it.

    Args:
        reads, requests: the threads for calls to the store, and for requests to the leader.
        encoded_ticks: the largest number of encoded ticks in memory.
    """

    def __init__(
        self, view: ClockView, closing: ShutdownSignal, reads: LoopThreads, requests: LoopThreads, encoded_ticks: int
    ) -> None:
        self.view, self.feed = view, view.feed
        self.closing = closing
        self._reads, self._requests = reads, requests
        self._encoded_ticks = encoded_ticks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._encoded: dict[int, tuple[Tick, str, bytes]] = {}
        self.live_streams = LiveStreams(self.feed.in_memory_after, self.as_event)
        self.streams = self.streams_dropped = 0
        self.feed.on_change(self._notify)
        closing.on_set(self._notify)

    def bind(self) -> None:
        """Use the running event loop from now on."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._changed = loop, asyncio.Event()

    async def run_blocking(self, call: Callable[[], T]) -> T:
        """Run `call`, which may block, in one of the threads of the clock's log. Return its result."""
        return await self._reads.run(call)

    async def run_request(self, call: Callable[[], T]) -> T:
        """Like `run_blocking`, for calls that send a request to the leader and wait for its result."""
        return await self._requests.run(call)

    def change(self) -> asyncio.Event:
        """Return an event that is set at the next change. To miss no change, get the event before you read the
        clock."""
        return self._changed

    async def wait(self, change: asyncio.Event, timeout_s: float) -> bool:
        """Wait until the event `change` is set. Return False if it is not set within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await change.wait()
        except TimeoutError:
            return False
        return True

    async def newest(self, limit: int) -> list[Tick]:
        """Like `TickFeed.newest`, but does not block the event loop."""
        if self.feed.has_in_memory(limit):
            return self.feed.newest(limit)
        return await self.run_blocking(lambda: self.feed.newest(limit))

    async def ticks_after(self, cursor_ms: int, limit: int) -> list[Tick]:
        """Like `TickFeed.ticks_after`, but does not block the event loop."""
        ticks = self.feed.in_memory_after(cursor_ms, limit)
        if ticks is not None:
            return ticks
        return await self.run_blocking(lambda: self.feed.ticks_after(cursor_ms, limit))

    async def reached(self, until_ms: int) -> Tick | None:
        """Like `TickFeed.reached`, but does not block the event loop."""
        ticks = self.feed.in_memory_after(max(0, until_ms - 1), 1)
        if ticks is not None:
            return ticks[0] if ticks else None
        return await self.run_blocking(lambda: self.feed.reached(until_ms))

    def is_at_end(self, cursor_ms: int) -> bool:
        """Return whether a cursor is the time of the last shown tick."""
        return self.feed.last is not None and self.feed.last.at_ms == cursor_ms

    @contextmanager
    def counted_stream(self) -> Iterator[None]:
        """Count an open stream during the block."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def stream_dropped(self) -> None:
        """Count a stream that was closed because its client stopped reading."""
        self.streams_dropped += 1
        logger.info("stream dropped: the client stopped reading", extra={"clock": self.view.spec.name})

    def as_json(self, tick: Tick) -> str:
        """Return the tick as JSON."""
        return self._encode(tick)[1]

    def as_event(self, tick: Tick) -> bytes:
        """Return the tick as a server-sent event."""
        return self._encode(tick)[2]

    def _encode(self, tick: Tick) -> tuple[Tick, str, bytes]:
        cached = self._encoded.get(tick.at_ms)
        if cached is not None and cached[0] == tick:
            return cached
        text = json.dumps(tick.to_wire(), separators=(",", ":"))
        encoded = tick, text, format_sse_event(data_str=text, event="tick", id=str(tick.at_ms // 1000))
        if len(self._encoded) >= self._encoded_ticks:
            del self._encoded[next(iter(self._encoded))]
        self._encoded[tick.at_ms] = encoded
        return encoded

    def _notify(self) -> None:
        """Set the event. Any thread may call this."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(self._set_changed)
        except RuntimeError:
            # The loop was closed after the check, so no client waits any more.
            return

    def _set_changed(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self.closing.is_set():
            self.live_streams.wake_all()
        else:
            self.live_streams.write_new_ticks()


def async_clocks(views: Mapping[str, ClockView], closing: ShutdownSignal) -> dict[str, AsyncClock]:
    """Return all clocks of a process for use in the event loop."""
    share = min(_MAX_ENCODED_TICKS, max(_MIN_ENCODED_TICKS, _MAX_ENCODED_TICKS_IN_ALL // max(1, len(views))))
    clocks: dict[str, AsyncClock] = {}
    for names in group_by_log(views).values():
        reads, requests = LoopThreads(READ_THREADS), LoopThreads(REQUEST_THREADS)
        clocks |= {name: AsyncClock(views[name], closing, reads, requests, share) for name in names}
    return clocks
