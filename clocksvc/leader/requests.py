"""How a leader handles requests. It commits one control record for all pending requests, fenced like ticks. After that
it writes the results.

If a leader dies before it writes the results, the tick log decides which requests are done. All requests in its last
record are done, even if later requests in the same record undo them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from clocksvc.clock.log_record import ClockState, Record
from clocksvc.clock.request import Request, RequestResult, ResultKind, apply_request
from clocksvc.clock.roster import Roster
from clocksvc.errors import InvalidValue, TickLogUnavailable
from clocksvc.interfaces.store import ProgressReading
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.leader.context import LeaderDependencies, Term, adopt_roster

logger = logging.getLogger("clocksvc.leader")

RESULT_TTL_MS = 60_000


@dataclass(slots=True)
class RequestBatch:
    """The effect of several requests.

    Attributes:
        state: the clock's state after all requests.
        accepted: the requests that change the state, in order.
        results: the results of all other requests, by request id.
    """

    state: ClockState
    accepted: list[Request] = field(default_factory=list)
    results: dict[str, RequestResult] = field(default_factory=dict)


def apply_requests(state: ClockState, requests: Sequence[Request], roster: Roster, now_ms: int) -> RequestBatch:
    """Apply requests one after the other. A request that has expired at `now_ms` (store time) has no effect."""
    batch = RequestBatch(state)
    for request in requests:
        try:
            after = apply_request(batch.state, request, roster)
        except InvalidValue as error:
            batch.results[request.id] = _rejection(error)
            continue
        if after == batch.state:
            batch.results[request.id] = RequestResult(ResultKind.DONE)
        elif request.expires_ms <= now_ms:
            detail = "no leader handled the request before it expired"
            batch.results[request.id] = RequestResult(ResultKind.NOT_DONE, detail=detail)
        else:
            batch.accepted.append(request)
            batch.state = after
    return batch


def serve_requests(parts: LeaderDependencies, term: Term, progress: ProgressReading, keep_alive: KeepAlive) -> None:
    """Commit the pending requests, write their effect to the store for readers, and write their results.

    Raises:
        ClocksvcError: raised by the store or the tick log. The requests stay pending.
    """
    unanswered = [request.id for request in progress.requests if request.id in term.committed_request_ids]
    if unanswered:
        # Before any other request, because the next control record replaces the one that lists these.
        _answer(parts, term, dict.fromkeys(unanswered, RequestResult(ResultKind.DONE)))
        return
    batch = apply_requests(term.state, progress.requests, term.roster, progress.now_ms)
    if batch.accepted:
        _commit(parts, term, batch, keep_alive)
        adopt_roster(parts, term, replace(term.roster, excluded=term.state.excluded()))
    done = dict.fromkeys((request.id for request in batch.accepted), RequestResult(ResultKind.DONE))
    _answer(parts, term, batch.results | done)


def _commit(parts: LeaderDependencies, term: Term, batch: RequestBatch, keep_alive: KeepAlive) -> None:
    accepted = tuple(request.to_wire() for request in batch.accepted)
    try:
        parts.ticklog.append([Record(parts.spec.name, batch.state, requests=accepted)], keep_alive)
    except TickLogUnavailable as error:
        # Nothing was committed, so the results can be written at once. Callers don't wait until the requests expire.
        failed = RequestResult(ResultKind.NOT_DONE, detail=str(error))
        _answer(parts, term, dict.fromkeys((request.id for request in batch.accepted), failed))
        raise
    term.state = batch.state
    for one in accepted:
        logger.info("request committed", extra={"clock": parts.spec.name, "request": one})


def _answer(parts: LeaderDependencies, term: Term, results: dict[str, RequestResult]) -> None:
    state = term.state
    written = {id: replace(one, exclusions=state.exclusions, pause=state.pause) for id, one in results.items()}
    parts.store.write_request_results(term.token, written, RESULT_TTL_MS)


def _rejection(error: InvalidValue) -> RequestResult:
    value = error.value if isinstance(error.value, int) else str(error.value)
    return RequestResult(ResultKind.REJECTED, field=error.field, value=value, wanted=error.wanted)
