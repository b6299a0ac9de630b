"""Decides which ticks are due, or why no tick is due, and makes the records of due ticks."""

from dataclasses import replace

from clocksvc.clock import boundary
from clocksvc.clock.holds import Hold, HoldInputs, evaluate
from clocksvc.clock.log_record import ClockState, Record
from clocksvc.clock.tick import Tick

MAX_TICKS_PER_TRANSACTION = 500
"""If more ticks are due, they are committed in batches of this size, so that other clocks on the same brokers and store
don't wait."""


def due_boundaries(inputs: HoldInputs, limit: int = MAX_TICKS_PER_TRANSACTION) -> range | Hold:
    """Return the boundaries that are due, ascending, at most `limit`; or the hold if no boundary is due.

    The last due boundary is the one that the minimum has reached, but not later than the last boundary that both the
    leader's and the store's own clocks have passed. The first tick of a clock is this boundary alone. For later ticks,
    all boundaries after the last tick are due.
    """
    held = evaluate(inputs)
    if held is not None:
        return held
    upto = min(inputs.watermark_boundary_ms, inputs.wall_clock_boundary_ms)
    last = inputs.state.last_tick_ms
    if last is None:
        return range(upto, upto + 1)
    return boundary.boundaries_between(last, upto, inputs.interval_ms, limit)


def make_records(clock: str, inputs: HoldInputs, due: range, emitted_at_ms: int, config_digest: str) -> list[Record]:
    """Return the tick-log records for the due boundaries. Each contains a tick and the state after this tick."""
    excluded = inputs.roster.present_exclusions()
    state: ClockState = replace(inputs.state, topics=dict(inputs.roster.topics), config_digest=config_digest)
    made = []
    for at_ms in due:
        tick = Tick(clock, at_ms, state.last_tick_ms, inputs.interval_ms, emitted_at_ms, excluded)
        state = replace(state, last_tick_ms=at_ms, last_emitted_ms=emitted_at_ms)
        made.append(Record(clock, state, tick))
    return made
