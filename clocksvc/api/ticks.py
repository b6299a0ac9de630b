"""`/v1/clocks/{clock}/ticks`: ticks as a list, or as soon as there are some."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.dependencies import (
    AfterTime,
    ReadClock,
    Timeout,
    asks,
    is_head,
    time_argument,
)
from clocksvc.api.problems import Problem, documented
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339

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
    dependencies=[asks("after", "limit", "timeout")],
)
async def ticks(
    request: Request,
    live: ReadClock,
    after: AfterTime = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many at most.")] = 100,
    timeout_s: Timeout = 0.0,
) -> Response:
    """Without `after` the newest ones; with it those that follow, none missing. Ask again with `after=next`.

    `timeout` holds the request until there is a tick to give. A cursor of which ticks are no longer kept is refused."""
    cursor_ms = time_argument("after", after)
    if timeout_s > 0 and live.closing.is_set():
        raise Problem(problems.SHUTTING_DOWN, problems.SHUTTING_DOWN.example, headers={"Retry-After": "1"})
    found = await _wait_for_ticks(live, cursor_ms, limit, 0.0 if is_head(request) else timeout_s)
    last_ms = found[-1].at_ms if found else cursor_ms
    following = "null" if last_ms is None else f'"{to_rfc3339(last_ms)}"'
    listed = ",".join(live.as_json(tick) for tick in found)
    return Response(f'{{"ticks":[{listed}],"next":{following}}}', media_type="application/json")


async def _wait_for_ticks(live: AsyncClock, cursor_ms: int | None, limit: int, timeout_s: float) -> list[Tick]:
    now = asyncio.get_running_loop().time
    deadline = now() + timeout_s
    while True:
        change = live.change()
        found = await live.newest(limit) if cursor_ms is None else await live.ticks_after(cursor_ms, limit)
        left_s = deadline - now()
        if found or left_s <= 0 or live.closing.is_set():
            return found
        await live.wait(change, left_s)
