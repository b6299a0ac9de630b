"""`clocksvc init`: says where a clock begins, in its tick log, before the first tick or after the log lost some.

It fences like a leader and commits one control record: its time becomes the next tick's `previous`, and no tick
appears anywhere. It must not take the lease: a running leader is fenced, and finds the record when it comes back.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from clocksvc.clock import boundary
from clocksvc.clock.log_record import (
    ClockState,
    Record,
    path_to_tick,
)
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import (
    Fenced,
    InvalidValue,
    OpenTransaction,
    OutcomeUnknown,
    TickLogRefused,
    UnreadableRecord,
)
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import (
    KeepAlive,
    Tail,
    TickLog,
)
from clocksvc.interfaces.time import Time

FIELD = "--last-tick"
ATTEMPTS = 5


def initialise(
    spec: ClockSpec, store: Store, ticklog: TickLog, time: Time, last_tick_ms: int, waiting: KeepAlive = lambda: None
) -> Record:
    """Commit the control record that makes `last_tick_ms` the next tick's `previous`; the record.

    Safe to repeat. A running leader that fences it on the way makes it begin again, a few times.

    Raises:
        InvalidValue: the time is no boundary, is in the future, or is before a tick that log or store knows.
        TickLogRefused: the log has a last tick that can be read, and lost none; or it lost what a leader commits again;
            or a topic of the wrong shape.
        UnreadableRecord: the log's last record can't be read, so nobody knows which tick it is.
        Fenced, OutcomeUnknown: also at the last attempt.
        OpenTransaction, Unavailable: as the tick log and the store raise them.
    """
    _check_boundary(spec, last_tick_ms)
    ticklog.ensure_topic(waiting)
    # Looked at before anything is fenced, so that what is refused does not disturb a running leader. A transaction that
    # stays open may be one of our own that a broker forgot: only who fenced can tell, and end it.
    with suppress(OpenTransaction):
        _next_record(spec, store, ticklog, time, _tail(spec, ticklog, waiting), last_tick_ms, waiting)
    sent: Record | None = None
    for attempt in range(1, ATTEMPTS + 1):
        ticklog.fence(waiting)
        try:
            tail = _tail(spec, ticklog, waiting)
            if sent is not None and tail.record == sent:
                return sent
            sent = _next_record(spec, store, ticklog, time, tail, last_tick_ms, waiting)
            ticklog.append([sent], waiting)
        except (Fenced, OutcomeUnknown):
            if attempt == ATTEMPTS:
                raise
        else:
            return sent
    raise AssertionError("the last attempt returns or raises")


def _next_record(
    spec: ClockSpec, store: Store, ticklog: TickLog, time: Time, tail: Tail, last_tick_ms: int, waiting: KeepAlive
) -> Record:
    state = ClockState() if tail.record is None else tail.record.state
    _check_past(min(time.now_ms(), store.now_ms()), last_tick_ms)
    known = store.last_tick()
    stored_ms = None if known is None else known.at_ms
    _check_log(spec, state, stored_ms)
    if known is not None and _is_lost(state, stored_ms):
        _check_forgotten(spec, known, state, ticklog.last_written(waiting))
    for keeper, tick_ms in (("the tick log", state.last_tick_ms), ("the store", stored_ms)):
        _check_not_before(keeper, tick_ms, last_tick_ms)
    return Record(spec.name, replace(state, last_tick_ms=last_tick_ms, config_digest=spec.digest()))


def _tail(spec: ClockSpec, ticklog: TickLog, waiting: KeepAlive) -> Tail:
    try:
        return ticklog.tail(waiting)
    except UnreadableRecord as error:
        raise UnreadableRecord(
            f"{error}. init does not guess what stands there: if no version of clocksvc can read it, delete the topic "
            f"{spec.tick_log!r} and run init again"
        ) from error


def _check_boundary(spec: ClockSpec, last_tick_ms: int) -> None:
    before_ms = boundary.floor(last_tick_ms, spec.interval_ms)
    if before_ms != last_tick_ms:
        after_ms = before_ms + spec.interval_ms
        raise InvalidValue(
            FIELD,
            to_rfc3339(last_tick_ms),
            f"wanted a multiple of the interval of clock {spec.name!r} ({spec.interval_ms // 1000} s), such as "
            f"{to_rfc3339(before_ms)} or {to_rfc3339(after_ms)}",
        )


def _check_past(now_ms: int, last_tick_ms: int) -> None:
    if last_tick_ms > now_ms:
        raise InvalidValue(FIELD, to_rfc3339(last_tick_ms), f"it is in the future: wanted at most {to_rfc3339(now_ms)}")


def _check_log(spec: ClockSpec, state: ClockState, stored_ms: int | None) -> None:
    """A log with ticks needs no beginning, unless it lost some: the store knows a later one than the log."""
    ticked = state.last_tick_ms is not None and state.last_emitted_ms is not None
    if ticked and not _is_lost(state, stored_ms):
        raise TickLogRefused(
            f"tick log {spec.tick_log!r} has a last tick, {to_rfc3339(state.last_tick_ms or 0)}, and lost none: clock "
            f"{spec.name!r} goes on after it. init is for a log without ticks, or a clock held as ticklog_truncated"
        )


def _check_forgotten(spec: ClockSpec, known: Tick, state: ClockState, written: Sequence[Record]) -> None:
    if path_to_tick(known, state, written):
        raise TickLogRefused(
            f"a broker forgot that ticks of {spec.tick_log!r} were committed, and they are still there: start the "
            f"service, its leader commits them again, up to {to_rfc3339(known.at_ms)}, and nothing is lost"
        )


def _is_lost(state: ClockState, stored_ms: int | None) -> bool:
    return stored_ms is not None and stored_ms > (state.last_tick_ms or 0)


def _check_not_before(keeper: str, tick_ms: int | None, last_tick_ms: int) -> None:
    if tick_ms is not None and last_tick_ms < tick_ms:
        raise InvalidValue(
            FIELD,
            to_rfc3339(last_tick_ms),
            f"{keeper} knows {to_rfc3339(tick_ms)} already and a clock never goes back: wanted that or later",
        )
