"""Operator overrides: `/v1/clocks/{clock}/exclusions`, `…/pause` and `…/resume`."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from clocksvc.api import models
from clocksvc.api.dependencies import (
    AdminClock,
    AnyCaller,
    allow_parameters,
    require_json,
)
from clocksvc.api.leader_requests import (
    RESPONSES,
    request_leader,
)
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind

router = APIRouter(tags=["operator overrides"], dependencies=[Depends(require_json), allow_parameters()])


@router.post(
    "/v1/clocks/{clock}/exclusions",
    operation_id="exclude",
    summary="Exclude a partition: ticks no longer wait for it",
    response_model=models.Overrides,
    responses=RESPONSES,
)
async def exclude(clock: AdminClock, caller: AnyCaller, body: models.PartitionRequest) -> Response:
    """200 once the exclusion is committed to the tick log, or if the partition is excluded already. Every tick made
    without the partition lists it in `excluded`: records of it that were not processed may be missing from what these
    ticks promise.

    Needs the scope `admin`. It is safe to repeat the request. 504: the outcome is not known; the detail says where to
    look."""
    partition = Partition(body.topic, body.partition)
    return await request_leader(clock, caller, RequestKind.EXCLUDE, body.reason, partition)


@router.delete(
    "/v1/clocks/{clock}/exclusions",
    operation_id="include",
    summary="Include an excluded partition again",
    response_model=models.Overrides,
    responses=RESPONSES,
)
async def include(clock: AdminClock, caller: AnyCaller, body: models.PartitionRequest) -> Response:
    """200 once the change is committed to the tick log, or if the partition is not excluded. The clock never goes back:
    it holds until the partition has caught up.

    Needs the scope `admin`. It is safe to repeat the request. 504: the outcome is not known; the detail says where to
    look."""
    partition = Partition(body.topic, body.partition)
    return await request_leader(clock, caller, RequestKind.INCLUDE, body.reason, partition)


@router.post(
    "/v1/clocks/{clock}/pause",
    operation_id="pause",
    summary="Pause a clock",
    response_model=models.Overrides,
    responses=RESPONSES,
)
async def pause(clock: AdminClock, caller: AnyCaller, body: models.PauseRequest) -> Response:
    """200 once the pause is committed to the tick log, or if the clock is paused already: no tick follows. Reports go
    on; after `resume`, the ticks that became due in the meantime follow, each once and in order.

    Needs the scope `admin`. It is safe to repeat the request. 504: the outcome is not known; the detail says where to
    look."""
    return await request_leader(clock, caller, RequestKind.PAUSE, body.reason)


@router.post(
    "/v1/clocks/{clock}/resume",
    operation_id="resume",
    summary="Resume a paused clock",
    response_model=models.Overrides,
    responses=RESPONSES,
)
async def resume(clock: AdminClock, caller: AnyCaller, body: models.PauseRequest) -> Response:
    """200 once the change is committed to the tick log, or if the clock is not paused.

    Needs the scope `admin`. It is safe to repeat the request. 504: the outcome is not known; the detail says where to
    look."""
    return await request_leader(clock, caller, RequestKind.RESUME, body.reason)
