"""A clock's status in one word, from its hold and how far it is behind."""

from enum import StrEnum

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.spec import ClockSpec


class Status(StrEnum):
    """The statuses of a clock."""

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
    """A clock's status.

    Args:
        spec: the clock's configuration.
        out_of_orderness_ms: is subtracted from each partition, so a clock that is this much behind is on time.
        last_tick_ms: the global clock; None before the first tick.
        hold: the hold, if it is visible.
        now_ms: wall time.
        quiet_ms: how long no tick has been emitted; before the first, how long ago the first leader started.
        rebuilding: this replica reads the stream again, and until then shows nothing lower than it has shown.
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
