"""`/livez`, `/readyz`, `/metrics`: what those ask who run the service."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.dependencies import (
    asks,
    caller_of,
)
from clocksvc.api.problems import Problem, documented
from clocksvc.api.tokens import Caller, Scope

router = APIRouter(tags=["probes"])


@router.get(
    "/livez",
    operation_id="live",
    summary="Is the process alive?",
    response_model=models.Probe,
    responses=documented(problems.INVALID),
    dependencies=[asks()],
)
async def livez() -> Response:
    """Needs no token."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="ready",
    summary="Can this replica answer?",
    response_model=models.Probe,
    responses=documented(problems.INVALID, problems.NOT_READY),
    dependencies=[asks()],
)
async def readyz(request: Request) -> Response:
    """Not before it has read every clock's ticks once, nor when it lost them while the store answers. A store or Kafka
    out of reach leaves it ready: it can answer with the hold. Needs no token."""
    clocks: dict[str, AsyncClock] = request.app.state.clocks
    found = await asyncio.gather(*(_trouble(live) for live in clocks.values()))
    troubles = {name: trouble for name, trouble in zip(clocks, found, strict=True) if trouble}
    if troubles:
        detail = "; ".join(f"{trouble}: {name}" for name, trouble in troubles.items())
        raise Problem(problems.NOT_READY, detail, {"clocks": troubles}, {"Retry-After": "1"})
    return JSONResponse({"status": "ready"})


async def _trouble(live: AsyncClock) -> str:
    live.bind()
    if live.closing.is_set():
        return "shutting down"
    if live.feed.ready and live.feed.store_ok and not live.feed.stalled:
        return ""  # without a thread: this is asked every two seconds
    return await live.blocking(live.view.unready)


def metrics_route(metrics: Callable[[], tuple[bytes, str]]) -> APIRouter:
    """The route of `/metrics`; `metrics` may block."""
    made = APIRouter(tags=["probes"])

    @made.get(
        "/metrics",
        operation_id="metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={
            200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.INVALID),
        },
        dependencies=[asks()],
    )
    async def expose(caller: Annotated[Caller, Depends(caller_of)]) -> Response:
        """Needs the scope `read` for all clocks."""
        caller.check(Scope.READ)
        content, media_type = await run_in_threadpool(metrics)
        return Response(content, headers={"Content-Type": media_type})

    return made
