"""`/livez`, `/readyz` and `/metrics`, for operators of the service."""

from collections import Counter
from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import State
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import LoopThreads
from clocksvc.api.dependencies import AnyCaller, allow_parameters
from clocksvc.api.problems import Problem, documented
from clocksvc.api.tokens import Scope
from clocksvc.service.clock_views import ClockViews

alive = APIRouter()
"""`/livez`, for a router with the tag `probes`."""


@alive.get(
    "/livez",
    operation_id="live",
    summary="Is the process alive?",
    response_model=models.Probe,
    responses=documented(problems.INVALID),
    dependencies=[allow_parameters()],
)
async def livez() -> Response:
    """Returns 200 while the process can answer requests. Needs no token."""
    return JSONResponse({"status": "ok"})


router = APIRouter(tags=["probes"])
router.include_router(alive)


@router.get(
    "/readyz",
    operation_id="ready",
    summary="Can this replica answer?",
    response_model=models.Probe,
    responses=documented(problems.INVALID, problems.NOT_READY),
    dependencies=[allow_parameters()],
)
async def readyz(request: Request) -> Response:
    """Returns 503 until the replica has read the ticks of every clock once. Returns 503 again if the replica has lost
    the ticks although the store answers. If the store or Kafka can't be reached, the replica stays ready, because it
    can answer with the hold. Needs no token, so the answer has the number of clocks for each error, not their names."""
    errors = await _readiness_errors(request.app.state)
    if errors:
        count = len(request.app.state.views)
        detail = "; ".join(f"{number} of {count} clocks: {error}" for error, number in errors.items())
        raise Problem(problems.NOT_READY, detail, {"clocks": errors})
    return JSONResponse({"status": "ready"})


async def _readiness_errors(state: State) -> Counter[str]:
    """Return how many clocks have each error."""
    views: ClockViews = state.views
    if state.closing.is_set():
        return Counter({"shutting down": len(views)})
    if all(view.can_answer for view in views.values()):
        return Counter()  # the usual case needs no thread
    threads: LoopThreads = state.probe_threads
    return Counter(await threads.run(views.readiness_errors))


def metrics_route(metrics: Callable[[], tuple[bytes, str]]) -> APIRouter:
    """Return the route `/metrics`. `metrics` returns the body and its media type. It runs in a thread and may block."""
    router = APIRouter(tags=["probes"])

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={
            200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.INVALID),
        },
        dependencies=[allow_parameters()],
    )
    async def expose(caller: AnyCaller) -> Response:
        """Needs the scope `read` for all clocks."""
        caller.check(Scope.READ)
        content, media_type = await run_in_threadpool(metrics)
        return Response(content, headers={"Content-Type": media_type})

    return router
