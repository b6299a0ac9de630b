"""`/v1/clocks/{clock}/holds`: the holds of the last 7 days with their reasons."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.dependencies import ReadClock, allow_parameters, time_argument
from clocksvc.api.problems import documented
from clocksvc.service.hold_history import hold_history_to_wire

router = APIRouter(tags=["clocks"])


@router.get(
    "/v1/clocks/{clock}/holds",
    operation_id="listHolds",
    summary="List the holds of the last 7 days",
    response_model=models.Holds,
    responses=documented(
        problems.UNAUTHENTICATED,
        problems.FORBIDDEN,
        problems.UNKNOWN_CLOCK,
        problems.INVALID,
        problems.STORE_UNAVAILABLE,
    ),
    dependencies=[allow_parameters("after", "limit")],
)
async def list_holds(
    clock: ReadClock,
    after: Annotated[
        str | None,
        Query(
            description="The value of `next` in the previous page.",
            examples=["2026-11-22T11:58:02.120Z"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="The maximum size of the page.")] = 100,
) -> Response:
    """Returns the holds of the last 7 days with their reasons, the newest one first. The store keeps at most the last
    500 changes. If it loses its data, the history begins again. `kept_since` is the beginning of the history.

    Leaders write the history. A time without a leader is written by the next leader, so the present hold `no_leader`
    is only in `GET /v1/clocks/{clock}`."""
    before_ms = time_argument("after", after)
    history = await clock.run_blocking(lambda: clock.view.store.hold_history(before_ms, limit))
    return JSONResponse(hold_history_to_wire(history))
