"""One word on how a clock is doing, from its hold and how far it is behind."""

from enum import StrEnum

from clocksvc.clock.holds import (
    Hold,
    Reason,
)
from clocksvc.clock.spec import ClockSpec


class Status(StrEnum):
    """How a clock is doing."""

    STARTING = "starting"
    RUNNING = "running"
    CATCHING_UP = "catching_up"
    HOLDING = "holding"
    PAUSED = "paused"
    REBUILDING = "rebuilding"


def status(
    spec: ClockSpec,
    out_of_orderness_ms: int,
    last_tick_ms: int | None,
    hold: Hold | None,
    now_ms: int,
    *,
    quiet_ms: int,
    rebuilding: bool = False,
) -> Status:
    """How a clock is doing.

    Args:
        spec: the clock's.
        out_of_orderness_ms: what is subtracted from each partition, so that this much behind is on time.
        last_tick_ms: the global clock; None before the first tick.
        hold: what holds it, where that shows already.
        now_ms: wall time.
        quiet_ms: for how long no tick has been emitted; before the first, since the first leader started.
        rebuilding: this replica reads the stream anew and shows nothing lower than it has shown.
    """
    if rebuilding:
        return Status.REBUILDING
    if hold is not None and hold.reason is Reason.PAUSED:
        return Status.PAUSED
    if last_tick_ms is None and quiet_ms < spec.effective_hold_after_ms and _waits_for_first_report(hold):
        return Status.STARTING
    if hold is not None:
        return Status.HOLDING
    if last_tick_ms is None:
        return Status.STARTING
    on_time_ms = 2 * spec.interval_ms + out_of_orderness_ms + spec.effective_hold_after_ms
    return Status.CATCHING_UP if now_ms - last_tick_ms > on_time_ms else Status.RUNNING


def _waits_for_first_report(hold: Hold | None) -> bool:
    return hold is None or hold.reason in (Reason.PARTITION_UNREPORTED, Reason.NO_LEADER)
