"""`/v1/clocks/{clock}/ticks/stream`: ticks as server-sent events, resumed from wherever the client stopped."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.responses import Response

from clocksvc.api import problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.connection import ON_DROP
from clocksvc.api.dependencies import (
    AfterTime,
    ReadClock,
    asks,
    is_head,
    time_argument,
)
from clocksvc.api.problems import documented
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import CursorTooOld, InvalidValue, Rebuilding, StoreUnavailable
from clocksvc.service.public_state import state_to_wire

router = APIRouter(tags=["ticks"])

PING_EVERY_S = 15.0
TRY_AGAIN_S = 1.0
BATCH = 100
BEGINS_WITHIN_S = 5.0
LOOK_EVERY_S = 0.25
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
    """A stream's first event, and the cursor behind it."""

    event: bytes
    cursor_ms: int


@router.get(
    "/v1/clocks/{clock}/ticks/stream",
    operation_id="streamTicks",
    summary="Ticks as they come",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: `state` (or `reset`), then `tick`s; a comment line every 15 s.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **documented(
            problems.UNAUTHENTICATED,
            problems.FORBIDDEN,
            problems.UNKNOWN_CLOCK,
            problems.INVALID,
            problems.REBUILDING,
            problems.STORE_UNAVAILABLE,
            problems.SHUTTING_DOWN,
        ),
    },
    dependencies=[asks("after")],
)
async def stream(
    request: Request,
    live: ReadClock,
    after: AfterTime = None,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The last `id` received: the stream goes on behind it. Wins over `after`.",
            examples=["1795348800"],
        ),
    ] = None,
) -> Response:
    """The first event is `state`: the clock as it is, and as `id` where this stream begins: the cursor when resuming,
    the last tick when live, `0` before a clock's first. Then each `tick`, with its timestamp in seconds as `id`.

    A cursor of which ticks are no longer kept gets `reset` instead of `state`: the cursor and the oldest kept tick,
    with that tick's `previous` as `id`; the kept ticks follow."""
    cursor_ms = time_argument("after", after)
    if last_event_id is not None:
        cursor_ms = _event_id(last_event_id)
    if live.closing.is_set():
        raise problems.Problem(problems.SHUTTING_DOWN, problems.SHUTTING_DOWN.example, headers={"Retry-After": "1"})
    headers = {"X-Accel-Buffering": "no"}
    if is_head(request):
        return Response(headers=headers, media_type=EventSourceResponse.media_type)
    start = await _begin(live, cursor_ms)
    request.scope.setdefault("state", {})[ON_DROP] = live.stream_dropped
    return EventSourceResponse(_events(live, start), headers=headers)


def _event_id(text: str) -> int:
    # Eleven digits are the year 5138: more are no seconds.
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise InvalidValue("Last-Event-ID", problems.shown(text), "wanted the id of an event of this stream")
    return int(text) * 1000


async def _begin(live: AsyncClock, cursor_ms: int | None) -> _Start:
    """Raises Rebuilding or StoreUnavailable where it can't be said what follows the cursor."""
    await _wait_for_beginning(live)
    if cursor_ms is not None:
        try:
            await live.ticks_after(cursor_ms, 1)
        except CursorTooOld as error:
            return await _reset(live, error)
    state = await live.blocking(live.view.state)
    live_ms = 0 if state.last_tick is None else state.last_tick.at_ms
    begin = live_ms if cursor_ms is None else cursor_ms
    data = json.dumps(state_to_wire(state), separators=(",", ":"))
    return _Start(format_sse_event(data_str=data, event="state", id=str(begin // 1000), retry=_retry_ms()), begin)


async def _wait_for_beginning(live: AsyncClock) -> None:
    """A service that has just been started soon knows whether there was ever a tick; a browser's EventSource would not
    come again after a 503. Raises Rebuilding or StoreUnavailable."""
    looks = round(BEGINS_WITHIN_S / LOOK_EVERY_S)
    for left in range(looks, -1, -1):
        change = live.change()
        try:
            await live.newest(1)
            return
        except Rebuilding:
            if left == 0 or live.closing.is_set():
                raise
        await live.wait(change, LOOK_EVERY_S)


async def _reset(live: AsyncClock, error: CursorTooOld) -> _Start:
    """From the oldest kept tick on, by name. Trimming may go on meanwhile."""
    cursor_ms = error.cursor_ms
    while True:
        previous_ms = error.oldest_previous_ms or 0
        try:
            oldest = (await live.ticks_after(previous_ms, 1))[0]
            break
        except CursorTooOld as again:
            error = again
    data = {
        "clock": live.view.spec.name,
        "cursor": to_rfc3339(cursor_ms),
        "cursor_seconds": cursor_ms // 1000,
        "oldest": oldest.to_wire(),
    }
    text = json.dumps(data, separators=(",", ":"))
    event = format_sse_event(data_str=text, event="reset", id=str(previous_ms // 1000), retry=_retry_ms())
    return _Start(event, previous_ms)


async def _events(live: AsyncClock, start: _Start) -> AsyncIterator[bytes]:
    live.streams += 1
    try:
        async for chunk in _chunks(live, start):
            yield chunk
    finally:
        live.streams -= 1


async def _chunks(live: AsyncClock, start: _Start) -> AsyncIterator[bytes]:
    now = asyncio.get_running_loop().time
    yield start.event
    cursor_ms, ping_at = start.cursor_ms, now() + PING_EVERY_S
    while not live.closing.is_set():
        change = live.change()
        longest_s = ping_at - now()
        chunk = b""
        try:
            chunk, cursor_ms = await _following(live, cursor_ms)
        except (Rebuilding, StoreUnavailable):
            longest_s = min(longest_s, TRY_AGAIN_S)
        if not chunk and not await live.wait(change, longest_s) and now() >= ping_at:
            chunk = KEEPALIVE_COMMENT
        if chunk:
            ping_at = now() + PING_EVERY_S
            yield chunk
            await asyncio.sleep(0)  # whoever has a lot to catch up with lets the others have their turn
    yield format_sse_event(comment="this replica ends", retry=_retry_ms())


async def _following(live: AsyncClock, cursor_ms: int) -> tuple[bytes, int]:
    """The events after a cursor, and the cursor behind them."""
    try:
        ticks = await live.ticks_after(cursor_ms, BATCH)
    except CursorTooOld as error:
        reset = await _reset(live, error)
        return reset.event, reset.cursor_ms
    return b"".join(live.as_event(tick) for tick in ticks), ticks[-1].at_ms if ticks else cursor_ms


def _retry_ms() -> int:
    """When to come back, spread so that a thousand clients of a replica that ended do not come at once."""
    return random.randint(500, 2_500)
