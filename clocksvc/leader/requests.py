"""What a leader does about requests: one control record for all that wait, committed and fenced like ticks, and only
then the answers.

A request that a leader took and did not come to answer is settled by the tick log: if its last record granted it, it is
done, whatever others that came after it have made of the state.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from clocksvc.clock.log_record import (
    ClockState,
    Record,
)
from clocksvc.clock.request import Request, RequestResult, ResultKind, apply_request
from clocksvc.clock.roster import Roster
from clocksvc.errors import InvalidValue, TickLogUnavailable
from clocksvc.interfaces.store import ProgressReading
from clocksvc.leader.parts import LeaderDependencies
from clocksvc.leader.term import Term, adopt_roster

logger = logging.getLogger("clocksvc.leader")

ANSWER_KEPT_MS = 60_000


@dataclass(slots=True)
class RequestBatch:
    """What requests come to: the state after all of them; those that change it; what the others are answered."""

    state: ClockState
    granted: list[Request] = field(default_factory=list)
    answers: dict[str, RequestResult] = field(default_factory=dict)


def settle(state: ClockState, requests: Sequence[Request], roster: Roster, now_ms: int) -> RequestBatch:
    """Settle requests one after the other, by the store's time: one that has expired changes nothing any more."""
    settled = RequestBatch(state)
    for request in requests:
        try:
            after = apply_request(settled.state, request, roster)
        except InvalidValue as wrong:
            settled.answers[request.id] = _refusal(wrong)
            continue
        if after == settled.state:
            settled.answers[request.id] = RequestResult(ResultKind.DONE)
        elif request.expires_ms <= now_ms:
            settled.answers[request.id] = RequestResult(ResultKind.NOT_DONE, detail="no leader came to it in time")
        else:
            settled.granted.append(request)
            settled.state = after
    return settled


def serve_requests(
    parts: LeaderDependencies, term: Term, minimum: ProgressReading, waiting: Callable[[], None]
) -> None:
    """Commit what is asked for, show it, and answer. Raises as store and tick log do: the requests stay then."""
    unanswered = [request.id for request in minimum.requests if request.id in term.granted]
    if unanswered:
        # On their own: the next record of requests takes the place of the one that knows of these.
        _answer(parts, term, dict.fromkeys(unanswered, RequestResult(ResultKind.DONE)))
        return
    settled = settle(term.state, minimum.requests, term.roster, minimum.now_ms)
    if settled.granted:
        _commit(parts, term, settled, waiting)
        adopt_roster(parts, term, replace(term.roster, excluded=term.state.excluded()))
    done = dict.fromkeys((request.id for request in settled.granted), RequestResult(ResultKind.DONE))
    _answer(parts, term, settled.answers | done)


def _commit(parts: LeaderDependencies, term: Term, settled: RequestBatch, waiting: Callable[[], None]) -> None:
    granted = tuple(request.to_wire() for request in settled.granted)
    try:
        parts.ticklog.append([Record(parts.spec.name, settled.state, requests=granted)], waiting)
    except TickLogUnavailable as error:
        # Nothing was committed, for certain: who asked need not wait until it expires, and not wonder either.
        failed = RequestResult(ResultKind.NOT_DONE, detail=str(error))
        _answer(parts, term, dict.fromkeys((request.id for request in settled.granted), failed))
        raise
    term.state = settled.state
    for one in granted:
        logger.info("request granted", extra={"clock": parts.spec.name, "request": one})


def _answer(parts: LeaderDependencies, term: Term, answers: dict[str, RequestResult]) -> None:
    state = term.state
    shown = {id: replace(one, exclusions=state.exclusions, pause=state.pause) for id, one in answers.items()}
    parts.store.write_request_results(term.token, shown, ANSWER_KEPT_MS)


def _refusal(wrong: InvalidValue) -> RequestResult:
    value = wrong.value if isinstance(wrong.value, int) else str(wrong.value)
    return RequestResult(ResultKind.REJECTED, field=wrong.field, value=value, wanted=wrong.wanted)
