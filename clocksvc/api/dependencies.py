"""FastAPI dependencies that routes share: the clock of the path, the caller, times, and checks of the request."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer

from clocksvc.api import problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.problems import Problem
from clocksvc.api.request_guard import (
    CALLER,
    HEAD,
)
from clocksvc.api.tokens import Caller, Scope
from clocksvc.clock.time_format import parse_timestamp

MAX_TIMEOUT_S = 55.0

_bearer = HTTPBearer(
    auto_error=False,
    description="Required if tokens are configured. Scopes: `read`, `report`, `admin`; for all clocks or some.",
)

ClockName = Annotated[str, Path(description="The clock's name.", examples=["checkins"])]
AfterTime = Annotated[
    str | None,
    Query(
        description="Return what follows this time: RFC 3339 (`+` written as `%2B`) or epoch seconds.",
        examples=["2026-11-22T12:00:00Z", "1795348800"],
    ),
]
Timeout = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_TIMEOUT_S,
        alias="timeout",
        allow_inf_nan=False,
        description="How long the request waits at most, in seconds.",
    ),
]


async def authenticated_caller(request: Request, _: Annotated[Any, Security(_bearer)] = None) -> Caller:
    """A dependency: the caller. `RequestGuardMiddleware` has checked the token already."""
    caller: Caller = request.scope[CALLER]
    return caller


AnyCaller = Annotated[Caller, Depends(authenticated_caller)]


def clock_with_scope(scope: Scope) -> Callable[..., Awaitable[AsyncClock]]:
    """A dependency: the clock of the path. 403 if the caller lacks this scope for it, 404 if there is no such clock."""

    async def find(request: Request, clock: ClockName, _: Annotated[Any, Security(_bearer)] = None) -> AsyncClock:
        caller: Caller = request.scope[CALLER]
        caller.check(scope, clock)
        found: AsyncClock | None = request.app.state.clocks.get(clock)
        if found is None:
            raise Problem(problems.UNKNOWN_CLOCK, f"no clock {problems.truncated(clock)!r} is configured here")
        found.bind()
        return found

    return find


ReadClock = Annotated[AsyncClock, Depends(clock_with_scope(Scope.READ))]
ReportClock = Annotated[AsyncClock, Depends(clock_with_scope(Scope.REPORT))]
AdminClock = Annotated[AsyncClock, Depends(clock_with_scope(Scope.ADMIN))]


async def require_json(request: Request) -> None:
    """A dependency: 415 for a body of another media type, which FastAPI would only call malformed."""
    given = request.headers.get("content-type", "")
    essence = given.partition(";")[0].strip().lower()
    if essence != "application/json":
        detail = f"wanted 'Content-Type: application/json', not {problems.truncated(given)!r}"
        raise Problem(problems.NOT_JSON, detail)


def allow_parameters(*known: str) -> Any:
    """A dependency: 422 for a query parameter that the route does not have, or that occurs twice."""

    async def check(request: Request) -> None:
        wanted = f"not a parameter of this address: wanted one of {', '.join(known)}" if known else "wanted none here"
        seen = set()
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise problems.invalid(str(problems.truncated(name)), value, wanted)
            if name in seen:
                raise problems.invalid(name, value, "wanted this parameter once")
            seen.add(name)

    return Depends(check)


def time_argument(name: str, value: str | None, *, round_up: bool = False) -> int | None:
    """A time parameter in milliseconds since the epoch; None if it is absent.

    Raises:
        InvalidValue: names the parameter.
    """
    return None if value is None else parse_timestamp(name, value, round_up=round_up)


def is_head(request: Request) -> bool:
    """Whether this is a HEAD request. Such a request must not wait."""
    return bool(request.scope.get(HEAD))
