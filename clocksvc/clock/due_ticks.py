"""From what the leader sees to the ticks that are due, or the hold."""

from dataclasses import replace

from clocksvc.clock import boundary
from clocksvc.clock.holds import (
    Hold,
    HoldInputs,
    evaluate,
)
from clocksvc.clock.log_record import (
    ClockState,
    Record,
)
from clocksvc.clock.tick import Tick

BATCH = 500
"""The most ticks in one transaction: a jump of any length goes out in batches, small enough that other clocks get their
turn on the same brokers and store meanwhile."""


def advance(sight: HoldInputs, limit: int = BATCH) -> range | Hold:
    """The boundaries that are due, ascending, at most `limit`; or why there are none.

    A clock's first tick is the floored minimum alone (or, where that is ahead of them, the last boundary that both
    clocks have passed); later ones are every boundary after the last tick.
    """
    held = evaluate(sight)
    if held is not None:
        return held
    upto = min(sight.watermark_boundary_ms, sight.wall_clock_boundary_ms)
    last = sight.state.last_tick_ms
    if last is None:
        return range(upto, upto + 1)
    return boundary.boundaries_between(last, upto, sight.interval_ms, limit)


def records(clock: str, sight: HoldInputs, due: range, emitted_at_ms: int, config_digest: str) -> list[Record]:
    """The tick-log records for the boundaries that are due: each names the one before it and carries the state."""
    excluded = sight.roster.present_exclusions()
    state: ClockState = replace(sight.state, topics=dict(sight.roster.topics), config_digest=config_digest)
    made = []
    for at_ms in due:
        tick = Tick(clock, at_ms, state.last_tick_ms, sight.interval_ms, emitted_at_ms, excluded)
        state = replace(state, last_tick_ms=at_ms, last_emitted_ms=emitted_at_ms)
        made.append(Record(clock, state, tick))
    return made
