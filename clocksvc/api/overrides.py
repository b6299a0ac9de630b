"""Operator overrides: `/v1/clocks/{clock}/exclusions`, `…/pause` and `…/resume`."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from clocksvc.api import models
from clocksvc.api.dependencies import AdminClock, AnyCaller, allow_parameters, require_json
from clocksvc.api.json_bodies import JsonBodyRoute
from clocksvc.api.leader_requests import RESPONSES, request_leader
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind

router = APIRouter(
    tags=["operator overrides"],
    dependencies=[Depends(require_json), allow_parameters()],
    route_class=JsonBodyRoute,
)


@router.post(
    "/v1/clocks/{clock}/exclusions",
    operation_id="exclude",
    summary="Exclude a partition, so that ticks no longer wait for it",
    response_model=models.Overrides,
    responses=RESPONSES,
)
async def exclude(clock: AdminClock, caller: AnyCaller, body: models.PartitionRequest) -> Response:
    """Returns 200 when the exclusion is committed to the tick log, or if the partition is already excluded. Every tick
    published without the partition lists it in `excluded`. Such a tick does not promise that the records of this
    partition have been processed.

    Needs the scope `admin`. It is safe to repeat the request. 504 means that the outcome is not known; the detail
    explains how to find it out."""
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
    """Returns 200 when the change is committed to the tick log, or if the partition is not excluded. The clock never
    goes back. It holds until the partition has caught up.

    Needs the scope `admin`. It is safe to repeat the request. 504 means that the outcome is not known; the detail
    explains how to find it out."""
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
    """Returns 200 when the pause is committed to the tick log, or if the clock is already paused. No tick follows until
    the clock is resumed. Reports continue. After `resume`, the ticks that became due in the meantime follow, each once
    and in order.

    Needs the scope `admin`. It is safe to repeat the request. 504 means that the outcome is not known; the detail
    explains how to find it out."""
    return await request_leader(clock, caller, RequestKind.PAUSE, body.reason)


@router.post(
    "/v1/clocks/{clock}/resume",
    operation_id="resume",
    summary="Resume a paused clock",
    response_model=models.Overrides,
    responses=RESPONSES,
)
async def resume(clock: AdminClock, caller: AnyCaller, body: models.PauseRequest) -> Response:
    """Returns 200 when the change is committed to the tick log, or if the clock is not paused.

    Needs the scope `admin`. It is safe to repeat the request. 504 means that the outcome is not known; the detail
    explains how to find it out."""
    return await request_leader(clock, caller, RequestKind.RESUME, body.reason)
