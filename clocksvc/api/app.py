"""The HTTP service as a FastAPI application."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from clocksvc.api import clocks, holds, overrides, pages, pipeline, probes, problems, reports, schedules, stream, ticks
from clocksvc.api.allowed_hosts import AllowedHosts
from clocksvc.api.async_clock import LoopThreads, ShutdownSignal, async_clocks
from clocksvc.api.exception_handlers import add_exception_handlers
from clocksvc.api.invalid_http import InvalidHttp
from clocksvc.api.models import problem_schema
from clocksvc.api.open_streams import STREAMS_PER_TOKEN, OpenStreams
from clocksvc.api.problems import documented
from clocksvc.api.request_guard import RequestGuardMiddleware
from clocksvc.api.schedule_access import ScheduleAccess
from clocksvc.api.schedules import LARGE_IMPORTS_PER_TOKEN
from clocksvc.api.tokens import Token, Tokens
from clocksvc.service.clock_views import ClockViews

LIST_THREADS = 4
PROBE_THREADS = 2
"""The largest numbers of lists of clocks, and of probes, that read the store at a time. Others wait for a thread."""

_DESCRIPTION = """\
clocksvc answers one question about partitioned Kafka topics: has everything before a time T been processed? It
publishes *tick(T)* when everything before T has been processed in every partition.

Field names end with the unit, `_seconds` or `_ms`. Each `time` is RFC 3339 in UTC. Time arguments are RFC 3339 or epoch
seconds. Unknown parameters are rejected. Errors are RFC 9457 problem details; programs identify them by `type`."""

_TAGS = [
    {"name": "clocks", "description": "The time that each clock has reached, and the reason if it holds."},
    {
        "name": "ticks",
        "description": "Ticks, each boundary once and in order. Read them as a list, by long poll or as a stream.",
    },
    {"name": "operator overrides", "description": "Exclude a partition that is dead, or pause a clock."},
    {
        "name": "schedules",
        "description": "What is due at ticks: a schedule for each of a product's monitors, reports or billing cycles.",
    },
    {"name": "reports", "description": "Reports of progress, for consumers in languages other than Python."},
    {"name": "probes", "description": "Health checks and metrics, for operators of the service."},
]


def create_app(
    views: ClockViews,
    *,
    access: Mapping[str, ScheduleAccess] = {},
    tokens: Sequence[Token] = (),
    hosts: AllowedHosts | None = None,
    streams_per_token: int = STREAMS_PER_TOKEN,
    max_files: int | None = None,
    metrics: Callable[[], tuple[bytes, str]] | None = None,
    version: str,
) -> FastAPI:
    """Return the application for these clocks. The caller must start and stop the feeds of the clocks.

    Args:
        access: the access to the schedules of each clock that has some.
        tokens: the accepted tokens. Without tokens every request is allowed.
        hosts: the hosts of requests that are answered; None for all.
        streams_per_token: the maximum number of open streams of a token; without tokens, of all clients together.
        max_files: the number of files that the process may open, which limits all streams; None for no limit.
        metrics: returns the body and the media type of `/metrics`; may block. With None there is no route `/metrics`.

    A server must call `app.state.closing.set()` when it shuts down, to end long polls and streams. Any thread may call
    it. `Server` does this.
    """
    app = base_app("clocksvc", _DESCRIPTION, _TAGS, tokens, hosts, version)
    app.state.streams = OpenStreams(streams_per_token, files=max_files)
    app.state.schedules = {name: access.get(name) for name in views}
    app.state.views = views
    app.state.list_threads, app.state.probe_threads = LoopThreads(LIST_THREADS), LoopThreads(PROBE_THREADS)
    app.state.clocks = async_clocks(views, app.state.closing)
    for resource in (clocks, holds, pipeline, ticks, stream, overrides, schedules, reports, probes, pages):
        app.include_router(resource.router)
    if metrics is not None:
        app.include_router(probes.metrics_route(metrics))
    return app


def base_app(
    title: str,
    description: str,
    tags: list[dict[str, str]],
    tokens: Sequence[Token],
    hosts: AllowedHosts | None,
    version: str,
) -> FastAPI:
    """Return an application without routes: errors are problem details, and requests are guarded."""
    app = FastAPI(
        title=title,
        version=version,
        description=description,
        openapi_tags=tags,
        license_info={"name": "Apache-2.0"},
        responses=documented(problems.WRONG_HOST),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.closing = ShutdownSignal()
    app.state.imports = OpenStreams(LARGE_IMPORTS_PER_TOKEN, "large imports in progress")
    app.state.invalid_http = InvalidHttp()
    add_exception_handlers(app)
    app.add_middleware(RequestGuardMiddleware, tokens=Tokens(tokens), hosts=hosts)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        openapi = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            license_info=app.license_info,
            routes=app.routes,
        )
        openapi["components"]["schemas"]["Problem"] = problem_schema()
        app.openapi_schema = openapi
    return app.openapi_schema
