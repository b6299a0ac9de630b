"""`/v1/clocks`: the state of all clocks, and of one."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.dependencies import (
    AnyCaller,
    ReadClock,
    allow_parameters,
)
from clocksvc.api.problems import documented
from clocksvc.api.tokens import Scope
from clocksvc.service.public_state import state_to_wire

router = APIRouter(tags=["clocks"], dependencies=[allow_parameters()])


@router.get(
    "/v1/clocks",
    operation_id="listClocks",
    summary="Every clock",
    response_model=models.Clocks,
    responses=documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.INVALID),
)
async def list_clocks(request: Request, caller: AnyCaller) -> Response:
    """The clocks that the caller may see, by name, each as in `GET /v1/clocks/{clock}`."""
    caller.check_scope(Scope.READ)
    clocks: list[AsyncClock] = [clock for name, clock in sorted(request.app.state.clocks.items()) if caller.sees(name)]
    for clock in clocks:
        clock.bind()
    states = await asyncio.gather(*(clock.run_blocking(clock.view.state) for clock in clocks))
    return JSONResponse({"clocks": [state_to_wire(state) for state in states]})


@router.get(
    "/v1/clocks/{clock}",
    operation_id="getClock",
    summary="One clock",
    response_model=models.ClockState,
    responses=documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.UNKNOWN_CLOCK, problems.INVALID),
)
async def get_clock(clock: ReadClock) -> Response:
    """The state of the clock. Everything before `time` has been processed; `hold` is why the clock does not move.

    While the store does not answer, the state has the last tick shown and the hold `store_unavailable`."""
    return JSONResponse(state_to_wire(await clock.run_blocking(clock.view.state)))
