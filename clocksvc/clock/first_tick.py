"""The checks of `clocksvc init`, which sets the time after which a clock continues.

The time becomes `previous` in the next tick. It may be set for a clock without ticks, and for a clock whose tick log
has lost ticks.
"""

from clocksvc.clock import boundary
from clocksvc.clock.log_record import ClockState
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
    spec: ClockSpec, state: ClockState, stored_ms: int | None, now_ms: int, last_tick_ms: int, *, truncated: bool
) -> None:
    """Raise InvalidValue if the clock must not continue after `last_tick_ms`.

    Args:
        state: the clock's state in the tick log.
        stored_ms: the end of the clock's stream in the store; None if it has none.
        now_ms: the earlier of the leader's and the store's time.
        truncated: True if the tick log has lost ticks of this clock.
    """
    check_boundary(spec, last_tick_ms)
    if last_tick_ms > now_ms:
        wanted = f"wanted a time that is not in the future, at most {to_rfc3339(now_ms)}"
        raise InvalidValue(FIELD, to_rfc3339(last_tick_ms), wanted)
    if state.last_tick_ms is not None and state.last_emitted_ms is not None and not truncated:
        raise InvalidValue(
            FIELD,
            to_rfc3339(last_tick_ms),
            f"wanted a clock without ticks, or with the hold ticklog_truncated: the tick log of clock {spec.name!r} is "
            f"complete up to its last tick, {to_rfc3339(state.last_tick_ms)}, and the clock continues after this tick",
        )
    for place, tick_ms in (("the tick log", state.last_tick_ms), ("the store", stored_ms)):
        if tick_ms is not None and last_tick_ms < tick_ms:
            raise InvalidValue(
                FIELD,
                to_rfc3339(last_tick_ms),
                f"wanted {to_rfc3339(tick_ms)} or later: {place} already has tick {to_rfc3339(tick_ms)}, and a clock "
                "never goes back",
            )
