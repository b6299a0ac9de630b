"""The rules of `clocksvc init`, which sets the time after which a clock continues.

The time becomes `previous` in the next tick. It may be set for a clock without ticks, for a clock whose tick log has
lost ticks, and for a clock whose next boundaries may be skipped. It may be corrected before the next tick.
"""

from dataclasses import replace

from clocksvc.clock import boundary
from clocksvc.clock.log_record import Beginning, ClockState
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import InvalidValue

FIELD = "last_tick"


def check_boundary(spec: ClockSpec, last_tick_ms: int) -> None:
    """Raise InvalidValue unless a time is a boundary of the clock."""
    before_ms = boundary.floor(last_tick_ms, spec.interval_ms)
    if before_ms != last_tick_ms:
        after_ms = before_ms + spec.interval_ms
        raise InvalidValue(
            FIELD,
            to_rfc3339(last_tick_ms),
            f"wanted a multiple of the interval of clock {spec.name!r} ({spec.interval_ms // 1000} s), such as "
            f"{to_rfc3339(before_ms)} or {to_rfc3339(after_ms)}",
        )


def check_first_tick(
    spec: ClockSpec,
    state: ClockState,
    stored_ms: int | None,
    now_ms: int,
    last_tick_ms: int,
    *,
    truncated: bool,
    skip_ticks: bool = False,
) -> None:
    """Raise InvalidValue if the clock must not continue after `last_tick_ms`.

    Args:
        state: the clock's state in the tick log.
        stored_ms: the last tick in the clock's stream in the store; None if it has none.
        now_ms: the earlier of the leader's and the store's time.
        truncated: True if the tick log has lost ticks of this clock.
        skip_ticks: True if the boundaries between the last tick and `last_tick_ms` may be skipped.
    """
    check_boundary(spec, last_tick_ms)
    if last_tick_ms > now_ms:
        wanted = f"wanted a time that is not in the future, at most {to_rfc3339(now_ms)}"
        raise InvalidValue(FIELD, to_rfc3339(last_tick_ms), wanted)
    emitted_ms = state.emitted_tick_ms
    for place, tick_ms in (("the tick log", emitted_ms), ("the store", stored_ms)):
        if tick_ms is not None and last_tick_ms < tick_ms:
            raise InvalidValue(
                FIELD,
                to_rfc3339(last_tick_ms),
                f"wanted {to_rfc3339(tick_ms)} or later: {place} already has tick {to_rfc3339(tick_ms)}, and a clock "
                "never goes back",
            )
    if emitted_ms is None or truncated:
        return
    if last_tick_ms == emitted_ms and state.beginning is None:
        wanted = f"wanted a later time: the clock continues after its last tick, {to_rfc3339(emitted_ms)}, by itself"
        raise InvalidValue(FIELD, to_rfc3339(last_tick_ms), wanted)
    if last_tick_ms > emitted_ms and not skip_ticks:
        raise InvalidValue(
            FIELD,
            to_rfc3339(last_tick_ms),
            f"wanted --skip-ticks: the tick log of clock {spec.name!r} is complete up to its last tick, "
            f"{to_rfc3339(emitted_ms)}. {describe_skipped(spec, emitted_ms, last_tick_ms)} would never be emitted, and "
            "subscribers would not get them. Without init, the clock continues after its last tick",
        )


def describe_skipped(spec: ClockSpec, emitted_ms: int, last_tick_ms: int) -> str:
    """Return how many boundaries are skipped if a clock with a last tick continues after a later time, as text."""
    first_ms = boundary.next_boundary(emitted_ms, spec.interval_ms)
    count = (last_tick_ms - first_ms) // spec.interval_ms + 1
    return f"{count:,} boundaries, from {to_rfc3339(first_ms)} to {to_rfc3339(last_tick_ms)},"


def begin_after(state: ClockState, stored_ms: int | None, last_tick_ms: int) -> ClockState:
    """Return the state of a clock that continues after `last_tick_ms`. Call `check_first_tick` before."""
    ticks_ms = [tick_ms for tick_ms in (state.emitted_tick_ms, stored_ms) if tick_ms is not None]
    latest_ms = last_tick_ms if state.beginning is None else max(last_tick_ms, state.beginning.latest_ms)
    beginning = Beginning(max(ticks_ms, default=None), latest_ms)
    return replace(state, last_tick_ms=last_tick_ms, truncated=False, beginning=beginning)
