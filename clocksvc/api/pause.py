"""`/v1/clocks/{clock}/pause` and `…/resume`: a clock that stands still because somebody wants it to."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from clocksvc.api import models
from clocksvc.api.dependencies import (
    AdminClock,
    asks,
    caller_of,
    wants_json,
)
from clocksvc.api.leader_requests import (
    RESPONSES,
    ask_leader,
)
from clocksvc.api.tokens import Caller
from clocksvc.clock.request import RequestKind

router = APIRouter(tags=["night shift"])


@router.post(
    "/v1/clocks/{clock}/pause",
    operation_id="pause",
    summary="Let a clock stand still",
    response_model=models.Overrides,
    responses=RESPONSES,
    dependencies=[Depends(wants_json), asks()],
)
async def pause(live: AdminClock, caller: Annotated[Caller, Depends(caller_of)], body: models.PauseRequest) -> Response:
    """200 once it is committed to the tick log, or where the clock is paused already: no tick comes after that.
    Reports go on, and what comes due meanwhile is ticked after `resume`, each once and in order.

    Needs the scope `admin`. Asking again is safe. 504 says that the outcome is not known, and how to look."""
    return await ask_leader(live, caller, RequestKind.PAUSE, body.reason)


@router.post(
    "/v1/clocks/{clock}/resume",
    operation_id="resume",
    summary="Let a paused clock go on",
    response_model=models.Overrides,
    responses=RESPONSES,
    dependencies=[Depends(wants_json), asks()],
)
async def resume(
    live: AdminClock, caller: Annotated[Caller, Depends(caller_of)], body: models.PauseRequest
) -> Response:
    """200 once it is committed to the tick log, or where the clock is not paused.

    Needs the scope `admin`. Asking again is safe. 504 says that the outcome is not known, and how to look."""
    return await ask_leader(live, caller, RequestKind.RESUME, body.reason)
