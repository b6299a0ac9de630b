"""`/v1/clocks`: every clock, and one."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.dependencies import (
    ReadClock,
    asks,
    caller_of,
)
from clocksvc.api.problems import documented
from clocksvc.api.tokens import Caller, Scope
from clocksvc.service.public_state import state_to_wire

router = APIRouter(tags=["clocks"])


@router.get(
    "/v1/clocks",
    operation_id="listClocks",
    summary="Every clock",
    response_model=models.Clocks,
    responses=documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.INVALID),
    dependencies=[asks()],
)
async def clocks(request: Request, caller: Annotated[Caller, Depends(caller_of)]) -> Response:
    """The clocks that the caller may see, by name, each as `GET /v1/clocks/{clock}` gives it."""
    caller.check_scope(Scope.READ)
    seen: list[AsyncClock] = [live for name, live in sorted(request.app.state.clocks.items()) if caller.sees(name)]
    for live in seen:
        live.bind()
    states = await asyncio.gather(*(live.blocking(live.view.state) for live in seen))
    return JSONResponse({"clocks": [state_to_wire(state) for state in states]})


@router.get(
    "/v1/clocks/{clock}",
    operation_id="getClock",
    summary="One clock",
    response_model=models.ClockState,
    responses=documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.UNKNOWN_CLOCK, problems.INVALID),
    dependencies=[asks()],
)
async def clock(live: ReadClock) -> Response:
    """Has everything before T been processed? `time` says so for every T up to it; `hold` says why it stands still.

    It also answers while the store is out of reach: with the last tick shown and the hold `store_unavailable`."""
    return JSONResponse(state_to_wire(await live.blocking(live.view.state)))
