"""Sends a request to a clock's leader, and turns its result into a response.

Any replica can send a request, even if it does not lead the clock. See `clocksvc.service.request_sender`.
"""

import logging

from starlette.responses import JSONResponse, Response

from clocksvc.api import problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.problems import Problem
from clocksvc.api.tokens import Caller
from clocksvc.clock.overrides import overrides_to_wire
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind
from clocksvc.errors import OutcomeUnknown, RequestNotDone, StoreUnavailable
from clocksvc.service.request_sender import make_request, send_request

logger = logging.getLogger("clocksvc.api")

EXPIRES_MS = 10_000
"""How long the leader can execute a request."""
RESPONSES = problems.documented(
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.UNKNOWN_CLOCK,
    problems.BODY_TOO_LARGE,
    problems.NOT_JSON,
    problems.INVALID,
    problems.STORE_UNAVAILABLE,
    problems.NOT_DONE,
    problems.OUTCOME_UNKNOWN,
)
"""The documented problems of every route that calls `request_leader`."""


async def request_leader(
    clock: AsyncClock, caller: Caller, kind: RequestKind, reason: str, partition: Partition | None = None
) -> Response:
    """Send a request to the leader. Return 200 with the clock's exclusions and pause if it succeeded.

    It succeeded if the change is committed to the tick log or was already in effect. Waits at most 15 s for the leader.

    Raises:
        Problem: the leader rejected the request (422), nothing has changed (503), or the outcome is not known (504).
        InvalidValue: the reason is not valid. No request was sent.
    """
    name = clock.view.spec.name
    request = await clock.run_blocking(lambda: _make_request(clock, caller, kind, reason, partition))
    extra = {"clock": name, "request": request.to_wire()}
    logger.info("request made", extra=extra)
    try:
        result = await clock.run_request(lambda: _send(clock, request))
    except Problem as problem:
        logger.warning("request failed", extra=extra | {"detail": problem.detail})
        raise
    await clock.run_blocking(clock.view.invalidate)
    if result.kind is ResultKind.REJECTED:
        raise problems.invalid(result.field, result.value, result.wanted)
    if result.kind is ResultKind.NOT_DONE:
        raise _not_done(result.detail)
    return JSONResponse({"clock": name, **overrides_to_wire(result.exclusions, result.pause)})


def _make_request(
    clock: AsyncClock, caller: Caller, kind: RequestKind, reason: str, partition: Partition | None
) -> Request:
    store = clock.view.store
    try:
        if store.snapshot().leader is None:
            raise _not_done(f"no process leads clock {clock.view.spec.name!r}")
        return make_request(store, kind, caller.name, reason, expires_ms=EXPIRES_MS, partition=partition)
    except StoreUnavailable as error:
        raise Problem(problems.STORE_UNAVAILABLE, f"{error}; nothing has changed") from error


def _send(clock: AsyncClock, request: Request) -> RequestResult:
    try:
        return send_request(
            clock.view.store, request, lambda: "this replica shuts down" if clock.closing.is_set() else ""
        )
    except RequestNotDone as error:
        raise _not_done(str(error)) from error
    except OutcomeUnknown as error:
        name = clock.view.spec.name
        raise Problem(problems.OUTCOME_UNKNOWN, problems.OUTCOME_UNKNOWN.example.replace("checkins", name)) from error


def _not_done(why: str) -> Problem:
    return Problem(problems.NOT_DONE, f"{why}; nothing has changed, and it is safe to send the request again")
