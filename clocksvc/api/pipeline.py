"""`/v1/clocks/{clock}/pipeline`: the stages before and after a clock."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import LoopThreads
from clocksvc.api.dependencies import AnyCaller, ReadClock, allow_parameters
from clocksvc.api.problems import documented
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.pipeline import pipeline_to_wire, read_pipeline

router = APIRouter(tags=["clocks"])


@router.get(
    "/v1/clocks/{clock}/pipeline",
    operation_id="getPipeline",
    summary="Get the stages before and after a clock",
    response_model=models.PipelineResponse,
    responses=documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.UNKNOWN_CLOCK, problems.INVALID),
    dependencies=[allow_parameters()],
)
async def get_pipeline(request: Request, clock: ReadClock, caller: AnyCaller) -> Response:
    """Returns the clock, its upstream clocks and theirs (`after`), and the clocks after it with their upstream clocks,
    in order. A clock without either is the only stage.

    A stage waits for the stage in `waits_for`, or for its own partitions. `to_blame` marks the stages that are late, or
    can't be read, and wait for no other stage. Of clocks that the caller may not see, only the name is returned."""
    views: ClockViews = request.app.state.views
    specs = {name: view.spec for name, view in views.items()}
    threads: LoopThreads = request.app.state.list_threads
    name = clock.view.spec.name
    found = await threads.run(lambda: read_pipeline(name, specs, views.states, caller.sees))
    return JSONResponse(pipeline_to_wire(found))
