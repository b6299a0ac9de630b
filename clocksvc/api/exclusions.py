"""`/v1/clocks/{clock}/exclusions`: a dead partition is excluded, so that ticks go on without it, and taken back in."""

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
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind

router = APIRouter(tags=["night shift"])


@router.post(
    "/v1/clocks/{clock}/exclusions",
    operation_id="exclude",
    summary="Exclude a partition: ticks no longer wait for it",
    response_model=models.Overrides,
    responses=RESPONSES,
    dependencies=[Depends(wants_json), asks()],
)
async def exclude(
    live: AdminClock, caller: Annotated[Caller, Depends(caller_of)], body: models.PartitionRequest
) -> Response:
    """200 once it is committed to the tick log, or where it is excluded already. Every tick made without the partition
    names it in `excluded`. What was not processed there may be missing from what the ticks promise: that is the price.

    Needs the scope `admin`. Asking again is safe. 504 says that the outcome is not known, and how to look."""
    partition = Partition(body.topic, body.partition)
    return await ask_leader(live, caller, RequestKind.EXCLUDE, body.reason, partition)


@router.delete(
    "/v1/clocks/{clock}/exclusions",
    operation_id="include",
    summary="Take a partition back in",
    response_model=models.Overrides,
    responses=RESPONSES,
    dependencies=[Depends(wants_json), asks()],
)
async def include(
    live: AdminClock, caller: Annotated[Caller, Depends(caller_of)], body: models.PartitionRequest
) -> Response:
    """200 once it is committed to the tick log, or where it is not excluded. The clock never goes back: it holds until
    the partition has caught up.

    Needs the scope `admin`. Asking again is safe. 504 says that the outcome is not known, and how to look."""
    partition = Partition(body.topic, body.partition)
    return await ask_leader(live, caller, RequestKind.INCLUDE, body.reason, partition)
