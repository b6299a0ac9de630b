"""`clocksvc init`: sets the time after which a clock continues. Use it for a clock without ticks, or for a clock whose
tick log has lost ticks.

It fences the tick log like a leader, and commits one control record. No tick is emitted. The time in the record becomes
`previous` in the next tick. The lease is not acquired: a running leader is fenced, and reads the record when it
recovers.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from clocksvc.clock import boundary
from clocksvc.clock.log_record import ClockState, Record, path_to_tick
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
from clocksvc.interfaces.tick_log import KeepAlive, Tail, TickLog
from clocksvc.interfaces.time import Time

FIELD = "--last-tick"
ATTEMPTS = 5


def set_first_tick(
    spec: ClockSpec, store: Store, ticklog: TickLog, time: Time, last_tick_ms: int, keep_alive: KeepAlive = lambda: None
) -> Record:
    """Commit a control record with which the next tick has `last_tick_ms` as `previous`. It is safe to repeat this.

    Blocks for as long as the tick log does. If a running leader fences this writer, the commit is tried again, up to 5
    times.

    Args:
        keep_alive: a function that is called about once a second.

    Returns:
        The committed record.

    Raises:
        InvalidValue: the time is not a boundary, is in the future, or is before a tick in the log or the store.
        TickLogMisconfigured: the log has ticks and has not lost any; or it has lost a commit that a leader can repeat;
            or the topic has unsafe settings.
        UnreadableRecord: the log's last record can't be read, so its last tick is not known.
        Fenced, OutcomeUnknown: the last attempt failed with this error.
        OpenTransaction, Unavailable: as the tick log and the store raise them.
    """
    _check_boundary(spec, last_tick_ms)
    ticklog.ensure_topic(keep_alive)
    # Check before fencing, so that invalid input does not disturb a running leader. Continue in spite of an open
    # transaction: if it belongs to this clock and a broker has lost it, it can be ended after fencing.
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
        wanted = f"wanted a time that is not in the future, at most {to_rfc3339(now_ms)}"
        raise InvalidValue(FIELD, to_rfc3339(last_tick_ms), wanted)


def _check_log(spec: ClockSpec, state: ClockState, stored_ms: int | None) -> None:
    """Raise if the log has ticks and has not lost any. If it has lost ticks, the store has a later tick."""
    ticked = state.last_tick_ms is not None and state.last_emitted_ms is not None
    if ticked and not _is_lost(state, stored_ms):
        raise TickLogMisconfigured(
            f"tick log {spec.tick_log!r} is complete up to its last tick, {to_rfc3339(state.last_tick_ms or 0)}, so "
            f"clock {spec.name!r} continues after this tick. Run clocksvc init only if the log has no ticks, or if the "
            "clock's hold has the reason ticklog_truncated"
        )


def _check_lost_commit(spec: ClockSpec, known: Tick, state: ClockState, written: Sequence[Record]) -> None:
    if path_to_tick(known, state, written):
        raise TickLogMisconfigured(
            f"a broker lost a commit of {spec.tick_log!r}, but the topic still has the ticks: start the service. "
            f"The leader commits the ticks again, up to {to_rfc3339(known.at_ms)}, and nothing is lost"
        )


def _is_lost(state: ClockState, stored_ms: int | None) -> bool:
    return stored_ms is not None and stored_ms > (state.last_tick_ms or 0)


def _check_not_before(place: str, tick_ms: int | None, last_tick_ms: int) -> None:
    if tick_ms is not None and last_tick_ms < tick_ms:
        raise InvalidValue(
            FIELD,
            to_rfc3339(last_tick_ms),
            f"wanted {to_rfc3339(tick_ms)} or later: {place} already has tick {to_rfc3339(tick_ms)}, and a clock never "
            "goes back",
        )
