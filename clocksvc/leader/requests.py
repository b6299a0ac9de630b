"""How a leader handles requests of operators. It commits their effect as a control record, fenced like ticks. Then it
writes the results.

If a leader dies before it writes the results, the tick log decides which requests are done. All requests in a clock's
last record are done, even if later requests in the same record undo them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from clocksvc.clock.first_tick import begin_after, check_first_tick, describe_skipped
from clocksvc.clock.log_record import MAX_RECORD_BYTES, ClockState, Record, encode_record
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind, apply_request
from clocksvc.errors import InvalidValue
from clocksvc.leader.recovery import last_stored_tick
from clocksvc.leader.term import ClockTerm

logger = logging.getLogger("clocksvc.leader")

RESULT_TTL_MS = 60_000
_MAX_STATE_BYTES = MAX_RECORD_BYTES // 2
"""The largest state after a request. The other half of a record is for its tick and its requests."""


@dataclass(slots=True)
class RequestBatch:
    """The effect of several requests of one clock.

    Attributes:
        state: the clock's state after all requests.
        accepted: the requests that change the state, in order. They are done when the state is committed.
        results: the results of all other requests, by request id.
        details: what an accepted request skips, by request id.
    """

    state: ClockState
    accepted: list[Request] = field(default_factory=list)
    results: dict[str, RequestResult] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    @property
    def sets_first_tick(self) -> bool:
        """True if an accepted request is `init`."""
        return any(request.kind == RequestKind.INIT for request in self.accepted)

    def record(self, clock: str) -> Record:
        """Return the control record that executes the accepted requests."""
        return Record(clock, self.state, requests=tuple(request.to_wire() for request in self.accepted))


def apply_requests(
    clock: ClockTerm, requests: Sequence[Request], store_now_ms: int, leader_now_ms: int
) -> RequestBatch:
    """Apply requests one after the other. A request that has expired by the store's time has no effect.

    Requests that the clock's last record contains are done. They are answered before any other request, because the
    next control record replaces the one that lists them.
    """
    batch = RequestBatch(clock.state)
    unanswered = [request.id for request in requests if request.id in clock.committed_request_ids]
    if unanswered:
        batch.results = dict.fromkeys(unanswered, RequestResult(ResultKind.DONE))
        return batch
    now_ms = min(store_now_ms, leader_now_ms)
    for request in requests:
        try:
            after = _apply(clock, batch.state, request, now_ms)
        except InvalidValue as error:
            batch.results[request.id] = _rejection(error)
            continue
        if after == batch.state:
            batch.results[request.id] = RequestResult(ResultKind.DONE)
        elif request.expires_ms <= store_now_ms:
            detail = "no leader handled the request before it expired"
            batch.results[request.id] = RequestResult(ResultKind.NOT_DONE, detail=detail)
        else:
            batch.accepted.append(request)
            before, batch.state = batch.state, after
            batch.details[request.id] = _skipped(clock, request, after)
            if len(encode_record(batch.record(clock.spec.name))) > MAX_RECORD_BYTES:
                batch.accepted.pop()  # it stays pending until the next round
                batch.state = before
                break
    return batch


def write_results(clock: ClockTerm, token: str, batch: RequestBatch) -> None:
    """Write the results of a batch whose state is committed."""
    done = {one.id: RequestResult(ResultKind.DONE, detail=batch.details.get(one.id, "")) for one in batch.accepted}
    for request in batch.accepted:
        logger.info("request committed", extra={"clock": clock.spec.name, "request": request.to_wire()})
    _write(clock, token, batch.results | done)


def fail_requests(clock: ClockTerm, requests: Sequence[Request], detail: str) -> RequestBatch:
    """Return the results of requests to a clock whose records the brokers reject, so that callers don't wait.

    Requests that the log contains are done. The log decides, not the error of a commit: see `TickLog.append`.
    """
    done, not_done = RequestResult(ResultKind.DONE), RequestResult(ResultKind.NOT_DONE, detail=detail)
    results = {one.id: done if one.id in clock.committed_request_ids else not_done for one in requests}
    return RequestBatch(clock.state, results=results)


def _write(clock: ClockTerm, token: str, results: dict[str, RequestResult]) -> None:
    state = clock.state
    written = {id: replace(one, exclusions=state.exclusions, pause=state.pause) for id, one in results.items()}
    if written:
        clock.store.write_request_results(token, written, RESULT_TTL_MS)
        clock.committed_request_ids -= written.keys()


def _apply(clock: ClockTerm, state: ClockState, request: Request, now_ms: int) -> ClockState:
    if request.kind != RequestKind.INIT or request.last_tick_ms is None:
        after = apply_request(state, request, clock.roster)
        if len(encode_record(Record(clock.spec.name, after))) > _MAX_STATE_BYTES:
            wanted = "wanted a shorter reason, or fewer exclusions: all reasons together are too long"
            raise InvalidValue("reason", request.reason, wanted)
        return after
    last_tick_ms, truncated = request.last_tick_ms, clock.truncated is not None
    if last_tick_ms == state.last_tick_ms and not truncated and state.beginning is not None:
        return state
    stored_ms = last_stored_tick(clock.store.bounds(), state)
    check_first_tick(
        *(clock.spec, state, stored_ms, now_ms, last_tick_ms), truncated=truncated, skip_ticks=request.skip_ticks
    )
    return begin_after(state, stored_ms, last_tick_ms)


def _skipped(clock: ClockTerm, request: Request, after: ClockState) -> str:
    emitted_ms, last_ms = after.emitted_tick_ms, after.last_tick_ms
    if request.kind != RequestKind.INIT or emitted_ms is None or last_ms is None or emitted_ms == last_ms:
        return ""
    return describe_skipped(clock.spec, emitted_ms, last_ms)


def _rejection(error: InvalidValue) -> RequestResult:
    value = error.value if isinstance(error.value, int) else str(error.value)
    return RequestResult(ResultKind.REJECTED, field=error.field, value=value, wanted=error.wanted)
