"""Writes new ticks to the live streams of a clock: those that have every shown tick.

Each tick is encoded once, and written once to each connection, without a step of the stream's task. The task continues
if its client has not read all data yet, or if it needs ticks that are not in memory.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

from fastapi.sse import KEEPALIVE_COMMENT

from clocksvc.api.server import BodyPart, Connection
from clocksvc.clock.tick import Tick

PING_EVERY_S = 15.0
BATCH_SIZE = 100
"""How many ticks one write contains at most."""
WRITES_AT_ONCE = 200
"""How many connections are written before the event loop runs other tasks."""
_PING_CHECKS = 15
"""How often in `PING_EVERY_S` the streams are checked for due pings."""
_PING = BodyPart(KEEPALIVE_COMMENT)


class LiveStream:
    """A stream whose task waits in `LiveStreams.follow`.

    Attributes:
        cursor_ms: the time of the last tick that was written.
        ping_at: the time of the event loop at which the client gets a comment, if no tick is written before.
    """

    __slots__ = ("_connection", "_woken", "cursor_ms", "ping_at")

    def __init__(self, connection: Connection, cursor_ms: int, ping_at: float) -> None:
        self._connection = connection
        self._woken: asyncio.Future[None] | None = None
        self.cursor_ms, self.ping_at = cursor_ms, ping_at

    @property
    def is_waiting(self) -> bool:
        """True while the task waits. Then only `LiveStreams` writes to the client."""
        return self._woken is not None and not self._woken.done()

    async def wait(self) -> None:
        """Wait until the task must continue."""
        self._woken = asyncio.get_running_loop().create_future()
        await self._woken

    def wake(self) -> None:
        """End the wait, so that the task continues."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def write(self, part: BodyPart, now: float) -> bool:
        """Write to the client. Return False, and write nothing, if the client has not read all data yet."""
        written = self._connection.write(part)
        if written:
            self.ping_at = now + PING_EVERY_S
        return written


_Events = tuple[BodyPart, int]
"""The events after a cursor, and the time of the last tick in them."""


class LiveStreams:
    """The live streams of one clock. Only the thread of the event loop may use it.

    Args:
        read: returns the shown ticks after a cursor, at most a number of them; None if they are not in memory.
        encode: returns a tick as an event.
    """

    def __init__(self, read: Callable[[int, int], list[Tick] | None], encode: Callable[[Tick], bytes]) -> None:
        self._read, self._encode = read, encode
        self._streams: dict[LiveStream, None] = {}
        self._writing = self._changed = False
        self._ping_timer: asyncio.TimerHandle | None = None

    async def follow(self, stream: LiveStream) -> None:
        """Write new ticks to a stream that has every shown tick. Returns when its task must continue."""
        self._streams[stream] = None
        if self._ping_timer is None:
            self._set_ping_timer()
        try:
            await stream.wait()
        finally:
            del self._streams[stream]

    def wake_all(self) -> None:
        """End the waits of all streams, so that their tasks continue."""
        for stream in self._streams:
            stream.wake()

    def write_new_ticks(self) -> None:
        """Write new ticks to all streams: to the first `WRITES_AT_ONCE` now, to the others in later callbacks."""
        self._changed = True
        if not self._writing and self._streams:
            self._writing = True
            self._write_to_all()

    def _write_to_all(self) -> None:
        self._changed = False
        self._write_batch(iter(tuple(self._streams)), {})

    def _write_batch(self, streams: Iterator[LiveStream], events: dict[int, _Events | None]) -> None:
        loop = asyncio.get_running_loop()
        now, some = loop.time(), tuple(islice(streams, WRITES_AT_ONCE))
        for stream in some:
            if not stream.is_waiting:
                continue
            if stream.cursor_ms not in events:
                events[stream.cursor_ms] = self._events_after(stream.cursor_ms)
            found = events[stream.cursor_ms]
            if found is None or (found[1] > stream.cursor_ms and not stream.write(found[0], now)):
                stream.wake()
            else:
                stream.cursor_ms = found[1]
        if len(some) == WRITES_AT_ONCE:
            loop.call_soon(self._write_batch, streams, events)
        elif self._changed:
            loop.call_soon(self._write_to_all)
        else:
            self._writing = False

    def _events_after(self, cursor_ms: int) -> _Events | None:
        ticks = self._read(cursor_ms, BATCH_SIZE)
        if ticks is None:
            return None
        self._changed |= len(ticks) == BATCH_SIZE
        part = BodyPart(b"".join(self._encode(tick) for tick in ticks))
        return part, ticks[-1].at_ms if ticks else cursor_ms

    def _set_ping_timer(self) -> None:
        self._ping_timer = asyncio.get_running_loop().call_later(PING_EVERY_S / _PING_CHECKS, self._write_pings)

    def _write_pings(self) -> None:
        """Write a comment to each stream that is quiet. A client that has not read all data yet needs none."""
        now = asyncio.get_running_loop().time()
        for stream in self._streams:
            if stream.is_waiting and now >= stream.ping_at:
                stream.write(_PING, now)
        self._ping_timer = None
        if self._streams:
            self._set_ping_timer()
