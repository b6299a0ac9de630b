"""Asking a clock's leader: leaves a request in the store, waits for the answer, and says what is known of the outcome.

This replica may lead the clock or not: it only asks. Whoever can't be sure that nothing has changed says so.
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
LONGER_S = 5.0
"""How much longer than its end is waited for the answer to a request that a leader has seen."""
_LOOK_EVERY_S = 0.05
_RETRY = {"Retry-After": "1"}
_ASKED = (
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
RESPONSES = problems.documented(*_ASKED)
"""What every route that asks the leader can answer with."""


async def ask_leader(
    live: AsyncClock, caller: Caller, kind: RequestKind, reason: str, partition: Partition | None = None
) -> Response:
    """200 with what is excluded and paused now, once what is asked for is committed, or was so already.

    Raises:
        Problem: refused, not done (nothing has changed), or the outcome is not known.
        InvalidValue: the reason can't be one; nothing was asked.
    """
    clock = live.view.spec.name
    request = await live.blocking(lambda: _request(live, caller, kind, reason, partition))
    extra = {"clock": clock, "request": request.to_wire()}
    logger.info("request made", extra=extra)
    try:
        answer = await _Asked(live, request).answer()
    except Problem as problem:
        logger.warning("request failed", extra=extra | {"detail": problem.detail})
        raise
    await live.blocking(live.view.look_anew)
    if answer.kind is ResultKind.REJECTED:
        raise problems.invalid(answer.field, answer.value, answer.wanted)
    if answer.kind is ResultKind.NOT_DONE:
        raise _not_done(answer.detail)
    return JSONResponse({"clock": clock, **overrides_to_wire(answer.exclusions, answer.pause)})


def _request(live: AsyncClock, caller: Caller, kind: RequestKind, reason: str, partition: Partition | None) -> Request:
    try:
        snapshot = live.view.store.snapshot()
    except StoreUnavailable as error:
        raise Problem(problems.STORE_UNAVAILABLE, f"{error}: nothing has changed", headers=_RETRY) from error
    if snapshot.leader is None:
        raise _not_done(f"no process leads clock {live.view.spec.name!r}")
    now_ms = snapshot.now_ms
    return Request(uuid.uuid4().hex, kind, caller.name, now_ms, reason.strip(), now_ms + EXPIRES_MS, partition)


class _Asked:
    """One request on its way, and what is known of it."""

    def __init__(self, live: AsyncClock, request: Request) -> None:
        self._live, self._store, self._request = live, live.view.store, request
        self._trouble = ""

    async def answer(self) -> RequestResult:
        """The leader's answer.

        Raises:
            Problem: it is withdrawn, or its outcome is not known.
        """
        await self._leave()
        answer = await self._look(EXPIRES_MS / 1000, until_closing=True)
        if answer is not None:
            return answer
        if await self._withdraw():
            ends = self._live.closing.is_set()
            raise _not_done("this replica ends" if ends else f"the leader did not come to it{self._trouble}")
        answer = await self._look(LONGER_S)
        if answer is not None:
            return answer
        raise _unknown(self._live.view.spec.name)

    async def _leave(self) -> None:
        try:
            left = await self._live.blocking(lambda: self._store.submit_request(self._request))
        except StoreUnavailable as error:
            if await self._withdraw():
                raise _not_done(str(error)) from error
            raise _unknown(self._live.view.spec.name) from error
        if not left:
            raise _not_done("too many requests wait for the leader")

    async def _look(self, seconds: float, *, until_closing: bool = False) -> RequestResult | None:
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        while now() < deadline and not (until_closing and self._live.closing.is_set()):
            try:
                answer = await self._live.blocking(lambda: self._store.read_request_result(self._request.id))
            except StoreUnavailable as error:
                self._trouble = f": {error}"
            else:
                self._trouble = ""
                if answer is not None:
                    return answer
            await asyncio.sleep(_LOOK_EVERY_S)
        return None

    async def _withdraw(self) -> bool:
        try:
            return await self._live.blocking(lambda: self._store.cancel_request(self._request.id))
        except StoreUnavailable:
            return False


def _not_done(why: str) -> Problem:
    return Problem(problems.NOT_DONE, f"{why}: nothing has changed; ask again, it is safe", headers=_RETRY)


def _unknown(clock: str) -> Problem:
    detail = problems.OUTCOME_UNKNOWN.example.replace("checkins", clock)
    return Problem(problems.OUTCOME_UNKNOWN, detail)
