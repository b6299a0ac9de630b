"""What `clocksvc status` prints about the schedules of a clock."""

from collections.abc import Iterator

from clocksvc.clock.time_format import describe_duration, to_rfc3339
from clocksvc.service.public_state import PublicState
from clocksvc.service.schedules_state import SchedulesState

_HEAD = ("SCHEDULES", "PARTITIONS", "DUE A MINUTE", "MISSED", "UNREADABLE", "SENT UP TO")


def schedules_notes(state: PublicState) -> Iterator[str]:
    """Yield what is wrong with the schedules of a clock: no owner, late, unreadable, and other problems."""
    schedules = state.schedules
    if schedules is None or schedules.owned is None:
        return
    if not schedules.replicas:
        yield f"{state.clock}: no scheduler runs its schedules. Start clocksvc scheduler."
    elif schedules.owned < schedules.partitions:
        missing = schedules.partitions - schedules.owned
        yield (
            f"{state.clock}: no owner for {missing} of {schedules.partitions} partitions of schedules. What is due "
            f"there is sent once there is one.{_progress(schedules)}"
        )
    late_ms = schedules.late_ms(None if state.last_tick is None else state.last_tick.at_ms, state.interval_ms)
    if late_ms:
        yield f"{state.clock}: schedules are {describe_duration(late_ms)} behind the clock."
    if schedules.unreadable:
        yield (
            f"{state.clock}: {schedules.unreadable:,} records are no valid schedules, and do not run. The log of the "
            "scheduler has their offsets."
        )
    for problem in schedules.problems:
        yield f"  Schedules, {problem}"


def schedules_table(schedules: SchedulesState) -> list[tuple[str, ...]]:
    """Return the figures of a clock's schedules as a table."""
    row = (
        _number(schedules.schedules),
        f"{_number(schedules.owned)}/{schedules.partitions}",
        _number(schedules.due_per_minute),
        _number(schedules.missed),
        _number(schedules.unreadable),
        "-" if schedules.position_ms is None else to_rfc3339(schedules.position_ms),
    )
    return [_HEAD, row]


def _progress(schedules: SchedulesState) -> str:
    if not schedules.loading or schedules.loaded_ratio is None:
        return ""
    return f" Loading: {schedules.loaded_ratio:.0%} read."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{round(value):,}"
