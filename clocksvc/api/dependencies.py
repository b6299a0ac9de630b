"""FastAPI dependencies for several routes: they find the clock and the caller, parse times, and check the request."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer

from clocksvc.api import problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.problems import Problem
from clocksvc.api.request_guard import CALLER, HEAD
from clocksvc.api.tokens import Caller, Scope
from clocksvc.clock.spec import wanted_clock
from clocksvc.clock.time_format import parse_timestamp

MAX_TIMEOUT_S = 55.0

bearer = HTTPBearer(
    auto_error=False,
    description="Required if tokens are configured. A token has some of the scopes `read`, `report`, `schedule` and "
    "`admin`, for all clocks or for some clocks.",
)

ClockName = Annotated[str, Path(description="The clock's name.", examples=["checkins"])]
AfterTime = Annotated[
    str | None,
    Query(
        description="Return only ticks after this time. RFC 3339 (write `+` as `%2B`) or epoch seconds.",
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
        description="The maximum time that the request waits, in seconds.",
    ),
]


async def authenticated_caller(request: Request, _: Annotated[Any, Security(bearer)] = None) -> Caller:
    """A dependency that returns the caller. `RequestGuardMiddleware` has already checked the token."""
    caller: Caller = request.scope[CALLER]
    return caller


AnyCaller = Annotated[Caller, Depends(authenticated_caller)]


def clock_with_scope(scope: Scope) -> Callable[..., Awaitable[AsyncClock]]:
    """Return a dependency that finds the clock of the path.

    The dependency raises Problem: 403 if the caller lacks this scope for the clock, 404 if the clock is not configured.
    """

    async def find(request: Request, clock: ClockName, _: Annotated[Any, Security(bearer)] = None) -> AsyncClock:
        caller: Caller = request.scope[CALLER]
        caller.check(scope, clock=clock)
        found: AsyncClock | None = request.app.state.clocks.get(clock)
        if found is None:
            raise unknown_clock(clock, caller, request.app.state.clocks)
        found.bind()
        return found

    return find


def unknown_clock(clock: str, caller: Caller, clocks: Iterable[str]) -> Problem:
    """Return the problem (404) for a clock that is not one of `clocks`."""
    detail = f"no clock {problems.truncated(clock)!r} is configured here: "
    return Problem(problems.UNKNOWN_CLOCK, detail + wanted_clock(clock, filter(caller.sees, clocks)))


ReadClock = Annotated[AsyncClock, Depends(clock_with_scope(Scope.READ))]
ReportClock = Annotated[AsyncClock, Depends(clock_with_scope(Scope.REPORT))]
AdminClock = Annotated[AsyncClock, Depends(clock_with_scope(Scope.ADMIN))]


def require_media_type(wanted: str) -> Callable[..., Awaitable[None]]:
    """Return a dependency that rejects a body of another media type (415)."""

    async def check(request: Request) -> None:
        given = request.headers.get("content-type", "")
        if given.partition(";")[0].strip().lower() != wanted:
            detail = f"wanted 'Content-Type: {wanted}', not {problems.truncated(given)!r}"
            raise Problem(problems.NOT_JSON, detail)

    return check


require_json = require_media_type("application/json")
"""Without it, FastAPI would report that the body is malformed."""


def allow_parameters(*known: str) -> Any:
    """Return a dependency that rejects unknown query parameters, and parameters that occur twice (422)."""

    async def check(request: Request) -> None:
        wanted = f"wanted one of the parameters {', '.join(known)}" if known else "this address has no parameters"
        seen = set()
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise problems.invalid(str(problems.truncated(name)), value, wanted)
            if name in seen:
                raise problems.invalid(name, value, "wanted this parameter once")
            seen.add(name)

    return Depends(check)


def time_argument(name: str, value: str | None, *, round_up: bool = False) -> int | None:
    """Return a time parameter in milliseconds since the epoch, or None if the parameter is absent.

    Raises:
        InvalidValue: the value is not a time.
    """
    return None if value is None else parse_timestamp(name, value, round_up=round_up)


def is_head(request: Request) -> bool:
    """True if this is a HEAD request. A route must answer a HEAD request without waiting."""
    return bool(request.scope.get(HEAD))
