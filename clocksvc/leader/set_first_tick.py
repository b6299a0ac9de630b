"""`clocksvc init`: sets the first tick of a clock, before its first one or after its tick log lost ticks.

It fences the tick log like a leader and commits one control record. The record's time becomes the `previous` of the
next tick; no tick is emitted. It does not acquire the lease: a running leader is fenced, and finds the record when it
recovers.
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
    TickLogMisconfigured,
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


def set_first_tick(
    spec: ClockSpec, store: Store, ticklog: TickLog, time: Time, last_tick_ms: int, keep_alive: KeepAlive = lambda: None
) -> Record:
    """Commit a control record that makes `last_tick_ms` the `previous` of the next tick. Safe to repeat.

    Blocks for as long as the tick log does. If a running leader fences it, it tries again, 5 times in all.

    Args:
        keep_alive: called about once a second.

    Returns:
        The committed record.

    Raises:
        InvalidValue: the time is not a boundary, is in the future, or is before a tick in the log or the store.
        TickLogMisconfigured: the log has a last tick and has lost none; or it has lost a commit that a leader can
            repeat; or the topic has unsafe settings.
        UnreadableRecord: the log's last record can't be read, so its last tick is not known.
        Fenced, OutcomeUnknown: the last attempt failed with it.
        OpenTransaction, Unavailable: as the tick log and the store raise them.
    """
    _check_boundary(spec, last_tick_ms)
    ticklog.ensure_topic(keep_alive)
    # Check before fencing, so that invalid input does not disturb a running leader. An open transaction is no reason to
    # stop here: if it is one of this clock's own that a broker lost, the writer that fenced can end it.
    with suppress(OpenTransaction):
        _next_record(spec, store, ticklog, time, _tail(spec, ticklog, keep_alive), last_tick_ms, keep_alive)
    sent: Record | None = None
    for attempt in range(1, ATTEMPTS + 1):
        ticklog.fence(keep_alive)
        try:
            tail = _tail(spec, ticklog, keep_alive)
            if sent is not None and tail.record == sent:
                return sent
            sent = _next_record(spec, store, ticklog, time, tail, last_tick_ms, keep_alive)
            ticklog.append([sent], keep_alive)
        except (Fenced, OutcomeUnknown):
            if attempt == ATTEMPTS:
                raise
        else:
            return sent
    raise AssertionError("the last attempt returns or raises")


def _next_record(
    spec: ClockSpec, store: Store, ticklog: TickLog, time: Time, tail: Tail, last_tick_ms: int, keep_alive: KeepAlive
) -> Record:
    state = ClockState() if tail.record is None else tail.record.state
    _check_past(min(time.now_ms(), store.now_ms()), last_tick_ms)
    known = store.last_tick()
    stored_ms = None if known is None else known.at_ms
    _check_log(spec, state, stored_ms)
    if known is not None and _is_lost(state, stored_ms):
        _check_lost_commit(spec, known, state, ticklog.last_written(keep_alive))
    for place, tick_ms in (("the tick log", state.last_tick_ms), ("the store", stored_ms)):
        _check_not_before(place, tick_ms, last_tick_ms)
    return Record(spec.name, replace(state, last_tick_ms=last_tick_ms, config_digest=spec.digest()))


def _tail(spec: ClockSpec, ticklog: TickLog, keep_alive: KeepAlive) -> Tail:
    try:
        return ticklog.tail(keep_alive)
    except UnreadableRecord as error:
        raise UnreadableRecord(
            f"{error}. If no version of clocksvc can read the record, delete the topic {spec.tick_log!r} and run "
            "clocksvc init again"
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
    """Reject a log that has ticks, unless it has lost some: then the store has a later tick than the log."""
    ticked = state.last_tick_ms is not None and state.last_emitted_ms is not None
    if ticked and not _is_lost(state, stored_ms):
        raise TickLogMisconfigured(
            f"tick log {spec.tick_log!r} has a last tick, {to_rfc3339(state.last_tick_ms or 0)}, and has lost none: "
            f"clock {spec.name!r} continues after it. clocksvc init is for a log without ticks, or for a clock whose "
            "hold is ticklog_truncated"
        )


def _check_lost_commit(spec: ClockSpec, known: Tick, state: ClockState, written: Sequence[Record]) -> None:
    if path_to_tick(known, state, written):
        raise TickLogMisconfigured(
            f"a broker lost a commit of {spec.tick_log!r}, but its ticks are still in the topic: start the service. "
            f"The leader commits them again, up to {to_rfc3339(known.at_ms)}, and nothing is lost"
        )


def _is_lost(state: ClockState, stored_ms: int | None) -> bool:
    return stored_ms is not None and stored_ms > (state.last_tick_ms or 0)


def _check_not_before(place: str, tick_ms: int | None, last_tick_ms: int) -> None:
    if tick_ms is not None and last_tick_ms < tick_ms:
        raise InvalidValue(
            FIELD,
            to_rfc3339(last_tick_ms),
            f"{place} already has tick {to_rfc3339(tick_ms)}, and a clock never goes back: wanted that time or later",
        )
