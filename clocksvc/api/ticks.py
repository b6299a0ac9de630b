"""`/v1/clocks/{clock}/ticks`: ticks as a list or by long poll. `…/wait`: waits until the clock has reached a time."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.dependencies import AfterTime, ReadClock, Timeout, allow_parameters, is_head, time_argument
from clocksvc.api.problems import Problem, documented
from clocksvc.clock.holds import Status
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.service.public_state import PublicState, public_partition_to_wire, state_to_wire

router = APIRouter(tags=["ticks"])


@router.get(
    "/v1/clocks/{clock}/ticks",
    operation_id="listTicks",
    summary="Ticks, in order",
    response_model=models.Ticks,
    responses=documented(
        problems.UNAUTHENTICATED,
        problems.FORBIDDEN,
        problems.UNKNOWN_CLOCK,
        problems.CURSOR_TOO_OLD,
        problems.INVALID,
        problems.REBUILDING,
        problems.STORE_UNAVAILABLE,
        problems.SHUTTING_DOWN,
    ),
    dependencies=[allow_parameters("after", "limit", "timeout")],
)
async def list_ticks(
    request: Request,
    clock: ReadClock,
    after: AfterTime = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="The maximum number of ticks.")] = 100,
    timeout_s: Timeout = 0.0,
) -> Response:
    """Returns the newest ticks or, with `after`, the ticks that follow this time, without gaps. To continue, send the
    `next` of the response as `after`.

    With `timeout`, the request waits until there is at least one tick. If ticks after the cursor are no longer kept,
    the response is 410."""
    cursor_ms = time_argument("after", after)
    if timeout_s > 0 and clock.closing.is_set():
        raise Problem(problems.SHUTTING_DOWN)
    found = await _wait_for_ticks(clock, cursor_ms, limit, 0.0 if is_head(request) else timeout_s)
    if found:
        next_ms: int | None = found[-1].at_ms
    else:
        # After an init, the first tick follows this time, so a client that continues here misses no tick.
        next_ms = clock.feed.beginning_ms if cursor_ms is None else cursor_ms
    following = "null" if next_ms is None else f'"{to_rfc3339(next_ms)}"'
    listed = ",".join(clock.as_json(tick) for tick in found)
    return Response(f'{{"ticks":[{listed}],"next":{following}}}', media_type="application/json")


@router.get(
    "/v1/clocks/{clock}/wait",
    operation_id="waitUntil",
    summary="Wait until everything before a time has been processed",
    response_model=models.TickResponse,
    responses=documented(
        problems.UNAUTHENTICATED,
        problems.FORBIDDEN,
        problems.UNKNOWN_CLOCK,
        problems.NOT_REACHED,
        problems.INVALID,
        problems.SHUTTING_DOWN,
    ),
    dependencies=[allow_parameters("until", "timeout")],
)
async def wait_until(
    request: Request,
    clock: ReadClock,
    until: Annotated[
        str,
        Query(
            description="The time to wait for. RFC 3339 (write `+` as `%2B`) or epoch seconds.",
            examples=["2026-11-22T12:05:00Z"],
        ),
    ],
    timeout_s: Timeout = 30.0,
) -> Response:
    """Waits for the first tick at or after `until`. Returns 200 with this tick as soon as it is published.

    If the tick is not published within `timeout`, the response is 409, with the clock's state and the partitions that
    hold the clock. The request never succeeds before the tick. So `curl -f …/wait?until=… && job` starts the job only
    when everything before `until` has been processed."""
    until_ms = time_argument("until", until, round_up=True)
    assert until_ms is not None
    tick = await _wait_until_reached(clock, until_ms, 0.0 if is_head(request) else timeout_s)
    if tick is not None:
        return Response(clock.as_json(tick), media_type="application/json")
    if clock.closing.is_set():
        raise Problem(problems.SHUTTING_DOWN)
    raise _not_reached(await clock.run_blocking(clock.view.state), until_ms)


async def _wait_for_ticks(clock: AsyncClock, cursor_ms: int | None, limit: int, timeout_s: float) -> list[Tick]:
    now = asyncio.get_running_loop().time
    deadline = now() + timeout_s
    while True:
        change = clock.change()
        found = await clock.newest(limit) if cursor_ms is None else await clock.ticks_after(cursor_ms, limit)
        left_s = deadline - now()
        if found or left_s <= 0 or clock.closing.is_set():
            return found
        await clock.wait(change, left_s)


async def _wait_until_reached(clock: AsyncClock, until_ms: int, timeout_s: float) -> Tick | None:
    now = asyncio.get_running_loop().time
    deadline = now() + timeout_s
    while True:
        change = clock.change()
        tick = await clock.reached(until_ms)
        left_s = deadline - now()
        if tick is not None or left_s <= 0 or clock.closing.is_set():
            return tick
        await clock.wait(change, left_s)


def _not_reached(state: PublicState, until_ms: int) -> Problem:
    until = to_rfc3339(until_ms)
    holders = [
        public_partition_to_wire(partition)
        for partition in state.slowest
        if partition.clock_ms is None or partition.clock_ms < until_ms
    ]
    at = "has no tick yet" if state.last_tick is None else f"is at {to_rfc3339(state.last_tick.at_ms)}"
    detail = f"clock '{state.clock}' {at} and has not reached {until}: {_why(state)}"
    return Problem(problems.NOT_REACHED, detail, {"until": until, "state": state_to_wire(state), "holders": holders})


def _why(state: PublicState) -> str:
    """Return the status, with the pause, or with the hold, its partitions and its detail, as text."""
    hold, pause = state.hold, state.pause
    if pause is not None and state.status is Status.PAUSED:
        return f"paused by {pause.by} at {to_rfc3339(pause.at_ms)}: {pause.reason}"
    if hold is None:
        return str(state.status)
    since = "" if state.hold_since_ms is None else f" since {to_rfc3339(state.hold_since_ms)}"
    named = hold.partitions_text()
    detail = f": {hold.detail}" if hold.detail else ""
    return f"{state.status}, {hold.reason}{since}" + (f" ({named})" if named else "") + detail
