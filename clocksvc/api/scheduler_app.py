"""The HTTP service of `clocksvc scheduler`: the schedules of the partitions that this process owns, and probes."""

from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, probes, problems, schedules
from clocksvc.api.allowed_hosts import AllowedHosts
from clocksvc.api.app import base_app
from clocksvc.api.dependencies import allow_parameters
from clocksvc.api.problems import Problem, documented
from clocksvc.api.schedule_access import ScheduleAccess
from clocksvc.api.tokens import Token

_DESCRIPTION = """\
One process of `clocksvc scheduler`. It answers for the partitions that it owns. `clocksvc serve` has the same routes
for all partitions: it sends each request to the owner."""
_TAGS = [
    {"name": "schedules", "description": "The schedules of the partitions that this process owns."},
    {"name": "probes", "description": "Health checks and metrics, for operators of the service."},
]


def create_scheduler_app(
    access: Mapping[str, ScheduleAccess | None],
    *,
    readiness_error: Callable[[], str],
    tokens: Sequence[Token] = (),
    hosts: AllowedHosts | None = None,
    metrics: Callable[[], tuple[bytes, str]],
    version: str,
) -> FastAPI:
    """Return the application.

    Args:
        access: the access to the schedules of each configured clock; None for a clock without schedules.
        readiness_error: returns why this process is not ready, without names of clocks; "" if it is. It must not block.
        tokens, hosts, metrics: as for `create_app`. The routes are guarded in the same way.
    """
    app = base_app("clocksvc scheduler", _DESCRIPTION, _TAGS, tokens, hosts, version)
    app.state.schedules = dict(access)
    router = APIRouter(tags=["probes"])
    router.include_router(probes.alive)

    @router.get(
        "/readyz",
        operation_id="ready",
        summary="Has this process loaded its partitions?",
        response_model=models.Probe,
        responses=documented(problems.INVALID, problems.NOT_READY),
        dependencies=[allow_parameters()],
    )
    async def readyz(request: Request) -> Response:
        """Returns 503 until each partition that this process should have is loaded. Needs no token."""
        error = "shutting down" if request.app.state.closing.is_set() else readiness_error()
        if error:
            raise Problem(problems.NOT_READY, error)
        return JSONResponse({"status": "ready"})

    app.include_router(router)
    app.include_router(probes.metrics_route(metrics))
    app.include_router(schedules.router)
    return app
