"""Sends a request to a clock's leader: writes the request to the store, and waits for the leader's result.

Any replica can send a request, even if it does not lead the clock. If no result arrives and the leader may have made
the change, the outcome is reported as unknown.
"""

import asyncio
import logging
import uuid

from starlette.responses import JSONResponse, Response

from clocksvc.api import problems
from clocksvc.api.async_clock import AsyncClock
from clocksvc.api.problems import Problem
from clocksvc.api.tokens import Caller
from clocksvc.clock.overrides import overrides_to_wire
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind
from clocksvc.errors import StoreUnavailable

logger = logging.getLogger("clocksvc.api")

EXPIRES_MS = 10_000
EXTRA_WAIT_S = 5.0
"""How much longer to wait for the result after a request has expired. This is needed if the leader has read the request
before it expired."""
_POLL_EVERY_S = 0.05
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
        result = await _PendingRequest(clock, request).send()
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
    try:
        snapshot = clock.view.store.snapshot()
    except StoreUnavailable as error:
        raise Problem(problems.STORE_UNAVAILABLE, f"{error}; nothing has changed") from error
    if snapshot.leader is None:
        raise _not_done(f"no process leads clock {clock.view.spec.name!r}")
    now_ms = snapshot.now_ms
    return Request(uuid.uuid4().hex, kind, caller.name, now_ms, reason.strip(), now_ms + EXPIRES_MS, partition)


class _PendingRequest:
    """One request to the leader."""

    def __init__(self, clock: AsyncClock, request: Request) -> None:
        self._clock, self._store, self._request = clock, clock.view.store, request
        self._store_error = ""

    async def send(self) -> RequestResult:
        """Submit the request and return the leader's result.

        Raises:
            Problem: the request was not submitted or was cancelled (503), or its outcome is not known (504).
        """
        await self._submit()
        result = await self._poll(EXPIRES_MS / 1000, until_closing=True)
        if result is not None:
            return result
        if await self._cancel():
            closing = self._clock.closing.is_set()
            raise _not_done("this replica shuts down" if closing else f"the leader did not answer{self._store_error}")
        result = await self._poll(EXTRA_WAIT_S)
        if result is not None:
            return result
        raise _outcome_unknown(self._clock.view.spec.name)

    async def _submit(self) -> None:
        try:
            submitted = await self._clock.run_blocking(lambda: self._store.submit_request(self._request))
        except StoreUnavailable as error:
            if await self._cancel():
                raise _not_done(str(error)) from error
            raise _outcome_unknown(self._clock.view.spec.name) from error
        if not submitted:
            raise _not_done("too many requests wait for the leader")

    async def _poll(self, seconds: float, *, until_closing: bool = False) -> RequestResult | None:
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        while now() < deadline and not (until_closing and self._clock.closing.is_set()):
            try:
                result = await self._clock.run_blocking(lambda: self._store.read_request_result(self._request.id))
            except StoreUnavailable as error:
                self._store_error = f": {error}"
            else:
                self._store_error = ""
                if result is not None:
                    return result
            await asyncio.sleep(_POLL_EVERY_S)
        return None

    async def _cancel(self) -> bool:
        try:
            return await self._clock.run_blocking(lambda: self._store.cancel_request(self._request.id))
        except StoreUnavailable:
            return False


def _not_done(why: str) -> Problem:
    return Problem(problems.NOT_DONE, f"{why}; nothing has changed, and it is safe to send the request again")


def _outcome_unknown(clock: str) -> Problem:
    return Problem(problems.OUTCOME_UNKNOWN, problems.OUTCOME_UNKNOWN.example.replace("checkins", clock))
