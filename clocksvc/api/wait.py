"""`/v1/clocks/{clock}/wait`: an answer once everything before a time has been processed, never a 2xx before."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.dependencies import (
    ReadClock,
    Timeout,
    asks,
    is_head,
    time_argument,
)
from clocksvc.api.problems import Problem, documented
from clocksvc.clock.listing import name_first
from clocksvc.clock.status import Status
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.service.public_state import PublicState, public_partition_to_wire, state_to_wire

router = APIRouter(tags=["ticks"])


@router.get(
    "/v1/clocks/{clock}/wait",
    operation_id="waitUntil",
    summary="Wait until everything before a time has been processed",
    response_model=models.Tick,
    responses=documented(
        problems.UNAUTHENTICATED,
        problems.FORBIDDEN,
        problems.UNKNOWN_CLOCK,
        problems.NOT_REACHED,
        problems.INVALID,
        problems.SHUTTING_DOWN,
    ),
    dependencies=[asks("until", "timeout")],
)
async def wait(
    request: Request,
    live: ReadClock,
    until: Annotated[
        str,
        Query(description="RFC 3339 (`+` written as `%2B`) or epoch seconds.", examples=["2026-11-22T12:05:00Z"]),
    ],
    timeout_s: Timeout = 30.0,
) -> Response:
    """200 with the tick, as soon as the first boundary at or after `until` is ticked.

    Else, after `timeout`, 409 with the clock's state and the partitions that hold it: so that
    `curl -f …/wait?until=… && job` starts the job only when all before that time has been processed."""
    until_ms = time_argument("until", until, round_up=True)
    assert until_ms is not None
    tick = await _wait_for(live, until_ms, 0.0 if is_head(request) else timeout_s)
    if tick is not None:
        return Response(live.as_json(tick), media_type="application/json")
    if live.closing.is_set():
        raise Problem(problems.SHUTTING_DOWN, problems.SHUTTING_DOWN.example, headers={"Retry-After": "1"})
    raise _not_reached(await live.blocking(live.view.state), until_ms)


async def _wait_for(live: AsyncClock, until_ms: int, timeout_s: float) -> Tick | None:
    now = asyncio.get_running_loop().time
    deadline = now() + timeout_s
    while True:
        change = live.change()
        tick = await live.reached(until_ms)
        left_s = deadline - now()
        if tick is not None or left_s <= 0 or live.closing.is_set():
            return tick
        await live.wait(change, left_s)


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
    """Names the partitions of the hold. The slowest partitions of a clock that runs or is paused hold nothing."""
    hold, pause = state.hold, state.pause
    if pause is not None and state.status is Status.PAUSED:
        return f"paused by {pause.by} at {to_rfc3339(pause.at_ms)}: {pause.reason}"
    if hold is None:
        return str(state.status)
    since = "" if state.hold_since_ms is None else f" since {to_rfc3339(state.hold_since_ms)}"
    named = name_first(hold.partitions)
    return f"{state.status}, {hold.reason}{since}" + (f" ({named})" if named else "")
