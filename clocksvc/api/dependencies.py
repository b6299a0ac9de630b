"""What routes are asked with: the clock in the address, times, and nothing that a route does not know."""

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

LONGEST_WAIT_S = 55.0

_bearer = HTTPBearer(
    auto_error=False,
    description="Needed where tokens are configured. Scopes: `read`, `report`, `admin`; for all clocks or some.",
)

ClockName = Annotated[str, Path(description="The clock's name.", examples=["checkins"])]
AfterTime = Annotated[
    str | None,
    Query(
        description="Give what comes after this time: RFC 3339 (`+` written as `%2B`) or epoch seconds.",
        examples=["2026-11-22T12:00:00Z", "1795348800"],
    ),
]
Timeout = Annotated[
    float,
    Query(
        ge=0,
        le=LONGEST_WAIT_S,
        alias="timeout",
        allow_inf_nan=False,
        description="Hold the request for so many seconds at most.",
    ),
]


async def caller_of(request: Request, _: Annotated[Any, Security(_bearer)] = None) -> Caller:
    """Who asks; the gate has checked the token already."""
    caller: Caller = request.scope[CALLER]
    return caller


def one_clock(scope: Scope) -> Callable[..., Awaitable[AsyncClock]]:
    """A dependency: the clock in the address, if the caller has this scope for it."""

    async def find(request: Request, clock: ClockName, _: Annotated[Any, Security(_bearer)] = None) -> AsyncClock:
        caller: Caller = request.scope[CALLER]
        caller.check(scope, clock)
        live: AsyncClock | None = request.app.state.clocks.get(clock)
        if live is None:
            raise Problem(problems.UNKNOWN_CLOCK, f"no clock {problems.shown(clock)!r} is configured here")
        live.bind()
        return live

    return find


ReadClock = Annotated[AsyncClock, Depends(one_clock(Scope.READ))]
ReportClock = Annotated[AsyncClock, Depends(one_clock(Scope.REPORT))]
AdminClock = Annotated[AsyncClock, Depends(one_clock(Scope.ADMIN))]


async def wants_json(request: Request) -> None:
    """Refuses a body of another type by name; as bytes it would only look malformed."""
    given = request.headers.get("content-type", "")
    essence = given.partition(";")[0].strip().lower()
    if essence != "application/json":
        detail = f"wanted 'Content-Type: application/json', not {problems.shown(given)!r}"
        raise Problem(problems.NOT_JSON, detail)


def asks(*known: str) -> Any:
    """A dependency that refuses query parameters which the route does not know, or which are there twice."""

    async def check(request: Request) -> None:
        wanted = f"not a parameter of this address: wanted one of {', '.join(known)}" if known else "wanted none here"
        seen = set()
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise problems.invalid(str(problems.shown(name)), value, wanted)
            if name in seen:
                raise problems.invalid(name, value, "wanted this parameter once")
            seen.add(name)

    return Depends(check)


def time_argument(name: str, value: str | None, *, round_up: bool = False) -> int | None:
    """Milliseconds since the epoch from a time in the address; None where there is none.

    Raises:
        InvalidValue: names the parameter.
    """
    return None if value is None else parse_timestamp(name, value, round_up=round_up)


def is_head(request: Request) -> bool:
    """Whether only the headers are wanted: then nothing waits."""
    return bool(request.scope.get(HEAD))
