"""`/v1/clocks/{clock}/ticks/stream`: ticks as server-sent events. A client can resume after the last tick received."""

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from clocksvc.api import live_streams, problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.dependencies import AfterTime, AnyCaller, ReadClock, allow_parameters, is_head, time_argument
from clocksvc.api.live_streams import LiveStream
from clocksvc.api.open_streams import OpenStreams
from clocksvc.api.problems import Problem, documented
from clocksvc.api.server import CONNECTION, ON_DROP, Connection, until_lost
from clocksvc.api.tokens import Caller
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import CursorTooOld, InvalidValue, Rebuilding, StoreUnavailable
from clocksvc.service.public_state import state_to_wire

router = APIRouter(tags=["ticks"])

NO_BUFFERING = {"X-Accel-Buffering": "no"}
RETRY_EVERY_S = 1.0
"""The time between two attempts to read ticks, while the store does not answer or the ticks are being restored."""
BEGIN_TIMEOUT_S = 5.0
"""How long a new stream waits until the service has read its ticks. After that the response is 503."""
BEGIN_POLL_S = 0.25
_EXAMPLE = """\
event: state
data: {"clock":"checkins","time":"2026-11-22T12:00:00Z","status":"running",…}
id: 1795348800
retry: 1500

event: tick
data: {"clock":"checkins","time":"2026-11-22T12:01:00Z","timestamp_seconds":1795348860,…}
id: 1795348860

: ping
"""


@dataclass(slots=True)
class _Start:
    """The first event of a stream, and the cursor after this event.

    `before_first_tick` is True for a live stream of a clock without ticks. It has missed no tick, even if the first
    tick has a `previous`.
    """

    event: bytes
    cursor_ms: int
    before_first_tick: bool = False


@router.get(
    "/v1/clocks/{clock}/ticks/stream",
    operation_id="streamTicks",
    summary="Ticks as they are published",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: first `state` or `reset`, then each `tick`. A comment line every 15 s.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **documented(
            problems.UNAUTHENTICATED,
            problems.FORBIDDEN,
            problems.UNKNOWN_CLOCK,
            problems.INVALID,
            problems.TOO_MANY_STREAMS,
            problems.REBUILDING,
            problems.STORE_UNAVAILABLE,
            problems.SHUTTING_DOWN,
        ),
    },
    dependencies=[allow_parameters("after")],
)
async def stream_ticks(
    request: Request,
    clock: ReadClock,
    caller: AnyCaller,
    after: AfterTime = None,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The last `id` that the client received. The stream resumes after it. This header takes "
            "precedence over `after`.",
            examples=["1795348800"],
        ),
    ] = None,
) -> Response:
    """The first event is `state`, with the state of the clock. Its `id` is the position where the stream begins: the
    cursor if the client sent one, otherwise the last tick. Before the clock's first tick, it is the time that
    `clocksvc init` set, or `0`. Then a `tick` event follows for each tick. Its `id` is the timestamp of the tick in
    seconds.

    If ticks after the cursor are no longer kept, the first event is `reset` instead of `state`. It contains the cursor
    and the oldest kept tick. Its `id` is the `previous` of this tick, in seconds. The kept ticks follow.

    429 if the token has as many open streams at this replica as `api.streams_per_token` allows."""
    cursor_ms = time_argument("after", after)
    if last_event_id is not None:
        cursor_ms = _event_id(last_event_id)
    if clock.closing.is_set():
        raise Problem(problems.SHUTTING_DOWN)
    if is_head(request):
        return Response(headers=NO_BUFFERING, media_type=EventSourceResponse.media_type)
    streams: OpenStreams = request.app.state.streams
    streams.check(caller)
    start = await _begin(clock, cursor_ms)
    streams.check(caller)  # others may have begun meanwhile
    return TickStreamResponse(clock, start, streams, caller)


def _event_id(text: str) -> int:
    # 11 digits of seconds reach the year 5138.
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise InvalidValue("Last-Event-ID", problems.truncated(text), "wanted the id of an event of this stream")
    return int(text) * 1000


async def _begin(clock: AsyncClock, cursor_ms: int | None) -> _Start:
    """Return the first event of a new stream.

    Raises:
        Rebuilding, StoreUnavailable: the ticks after the cursor can't be read now.
    """
    await _wait_for_beginning(clock)
    if cursor_ms is not None:
        try:
            await clock.ticks_after(cursor_ms, 1)
        except CursorTooOld as error:
            return await _reset(clock, error)
    state = await clock.run_blocking(clock.view.state)
    live_ms = (clock.feed.beginning_ms or 0) if state.last_tick is None else state.last_tick.at_ms
    begin = live_ms if cursor_ms is None else cursor_ms
    data = json.dumps(state_to_wire(state), separators=(",", ":"))
    event = format_sse_event(data_str=data, event="state", id=str(begin // 1000), retry=_retry_ms())
    return _Start(event, begin, before_first_tick=cursor_ms is None and begin == 0)


async def _wait_for_beginning(clock: AsyncClock) -> None:
    """Wait up to 5 s until a service that has just started has read its ticks.

    An immediate 503 would be worse, because a browser's EventSource does not reconnect after it.

    Raises:
        Rebuilding: the ticks have not been read within 5 s.
        StoreUnavailable: the store has not answered yet.
    """
    attempts = round(BEGIN_TIMEOUT_S / BEGIN_POLL_S)
    for left in range(attempts, -1, -1):
        change = clock.change()
        try:
            await clock.newest(1)
            return
        except Rebuilding:
            if left == 0 or clock.closing.is_set():
                raise
        await clock.wait(change, BEGIN_POLL_S)


async def _reset(clock: AsyncClock, error: CursorTooOld) -> _Start:
    """Return a `reset` event and its cursor: the stream continues with the oldest kept tick.

    The oldest kept tick is read in a loop, because the store may trim more ticks in the meantime.
    """
    cursor_ms = error.cursor_ms
    while True:
        previous_ms = error.oldest_previous_ms or 0
        try:
            oldest = (await clock.ticks_after(previous_ms, 1))[0]
            break
        except CursorTooOld as again:
            error = again
    data = {
        "clock": clock.view.spec.name,
        "cursor": to_rfc3339(cursor_ms),
        "cursor_seconds": cursor_ms // 1000,
        "oldest": oldest.to_wire(),
    }
    text = json.dumps(data, separators=(",", ":"))
    event = format_sse_event(data_str=text, event="reset", id=str(previous_ms // 1000), retry=_retry_ms())
    return _Start(event, previous_ms)


class TickStreamResponse(Response):
    """The response: the first event, then ticks until the client or the service ends it.

    Its task sends the first event, and ticks that the client has missed. Then `LiveStreams` writes to the connection.
    """

    media_type = EventSourceResponse.media_type

    def __init__(self, clock: AsyncClock, start: _Start, streams: OpenStreams, caller: Caller) -> None:
        self.status_code, self.background = 200, None
        self.init_headers(NO_BUFFERING)  # without a length, because there is no body yet
        self._clock, self._streams, self._caller = clock, streams, caller
        self._event, self._cursor_ms, self._before_first_tick = start.event, start.cursor_ms, start.before_first_tick

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Returns when the connection is lost, too."""
        state = scope["state"]
        state[ON_DROP] = self._clock.stream_dropped
        with self._streams.counted(self._caller), self._clock.counted_stream(), until_lost(state[CONNECTION]):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send(_part(self._event))
            self._event = b""  # a stream is open for hours
            await self._send_ticks(state[CONNECTION], send)
            end = format_sse_event(comment="this replica shuts down", retry=_retry_ms())
            await send({"type": "http.response.body", "body": end, "more_body": False})

    async def _send_ticks(self, connection: Connection, send: Send) -> None:
        """Send ticks and comments until the service shuts down."""
        clock, now = self._clock, asyncio.get_running_loop().time
        stream = LiveStream(connection, self._cursor_ms, now() + live_streams.PING_EVERY_S)
        while not clock.closing.is_set():
            change = clock.change()
            wait_s = stream.ping_at - now()
            chunk = b""
            try:
                chunk, stream.cursor_ms = await _events_after(clock, stream.cursor_ms, self._before_first_tick)
            except (Rebuilding, StoreUnavailable):
                wait_s = min(wait_s, RETRY_EVERY_S)
            else:
                if not chunk and clock.is_at_end(stream.cursor_ms):
                    await clock.live_streams.follow(stream)
                    continue
            if not chunk and not await clock.wait(change, wait_s) and now() >= stream.ping_at:
                chunk = KEEPALIVE_COMMENT
            if chunk:
                await send(_part(chunk))
                stream.ping_at = now() + live_streams.PING_EVERY_S
                await asyncio.sleep(0)  # a client that reads many old ticks must not delay other clients


def _part(data: bytes) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": True}


async def _events_after(clock: AsyncClock, cursor_ms: int, before_first_tick: bool) -> tuple[bytes, int]:
    """Return the events after a cursor, and the new cursor."""
    try:
        ticks = await clock.ticks_after(cursor_ms, live_streams.BATCH_SIZE)
    except CursorTooOld as error:
        beginning_ms = clock.feed.beginning_ms
        if before_first_tick and cursor_ms == 0 and beginning_ms:
            return await _events_after(clock, beginning_ms, before_first_tick)  # `clocksvc init` set it meanwhile
        reset = await _reset(clock, error)
        return reset.event, reset.cursor_ms
    return b"".join(clock.as_event(tick) for tick in ticks), ticks[-1].at_ms if ticks else cursor_ms


def _retry_ms() -> int:
    """Return the time in ms after which a client should reconnect.

    It is random, so that the clients of a replica that shuts down do not all reconnect at once.
    """
    return random.randint(500, 2_500)
