"""Decides which ticks are due, or why no tick is due, and makes due ticks."""

from collections.abc import Mapping

from clocksvc.clock import boundary
from clocksvc.clock.holds import Hold, HoldInputs, evaluate
from clocksvc.clock.tick import Tick

MAX_TICKS_PER_ROUND = 500
"""The largest number of ticks in one round of a log. If more ticks are due, clocks that catch up share what live clocks
leave, and continue in the next round."""

MAX_LIVE_TICKS = 2
"""A clock with at most this number of due ticks is live; with more it catches up."""
MAX_TICKS_BESIDE_LIVE = 100
"""How many ticks clocks that catch up have in a round with ticks of live clocks: a smaller transaction is committed
sooner. The next round has more of them again."""
ANNOUNCED_TICKS = 1_000
"""If more ticks than this are due, their number is published before the first of them is emitted."""
_PACE_STEP_S = 0.1
"""The shortest time between two transactions of a paced catch-up. Each of them also reads the topics' metadata."""
_ROUNDING = 1e-6
"""Added before ticks are counted, because the product of a pace and a time can be slightly too small."""


def due_boundaries(inputs: HoldInputs, limit: int = MAX_TICKS_PER_ROUND) -> range | Hold:
    """Return the boundaries that are due, ascending, at most `limit`; or the hold if no boundary is due.

    The last due boundary is the one that the minimum has reached, but not later than the last boundary that both the
    leader's and the store's own clocks have passed, and that all upstream clocks have ticked. The first tick of a clock
    is this boundary alone. For later ticks, all boundaries after the last tick are due.
    """
    held = evaluate(inputs)
    if held is not None:
        return held
    upto, last = inputs.due_upto_ms, inputs.state.last_tick_ms
    if last is None:
        return range(upto, upto + 1)
    return boundary.boundaries_between(last, upto, inputs.interval_ms, limit)


def count_due(inputs: HoldInputs) -> int:
    """Return how many ticks are due, without the limit of a round. A hold does not change it: they follow later."""
    upto, last = inputs.due_upto_ms, inputs.state.last_tick_ms
    if inputs.lowest_ms is None or upto <= (last or 0):
        return 0
    return 1 if last is None else (upto - boundary.next_boundary(last, inputs.interval_ms)) // inputs.interval_ms + 1


def within_pace(due: range, pace: float | None, elapsed_s: float, on_time_from_ms: int) -> range:
    """Return the boundaries that may be emitted now if a clock catches up with a pace.

    Args:
        due: the due boundaries, ascending.
        pace: ticks a second; None for no limit.
        elapsed_s: the time since the last use of the pace. A long time does not add up: see `pace_window_s`.
        on_time_from_ms: the clock does not catch up if its oldest due boundary is at or after this.
    """
    if pace is None or not due or due[0] >= on_time_from_ms:
        return due
    if elapsed_s + _ROUNDING < pace_step_s(pace):
        return due[:0]
    return due[: int(pace * min(elapsed_s, pace_window_s(pace)) + _ROUNDING)]


def pace_step_s(pace: float) -> float:
    """Return the shortest time between two emissions: 0.1 s, or the time of one tick if this is longer."""
    return max(_PACE_STEP_S, 1 / pace)


def pace_window_s(pace: float) -> float:
    """Return the longest time whose ticks may be emitted at once: 2 s, or the time of one tick if this is longer."""
    return max(2.0, 1 / pace)


def share_ticks(due: Mapping[str, range], limit: int = MAX_TICKS_PER_ROUND) -> dict[str, range]:
    """Return the due boundaries that are committed in one round, by clock: at most `limit` in total.

    Clocks with few due boundaries get all of them. The others get equal shares of the rest, so a clock that catches up
    hardly delays a live one.
    """
    shares: dict[str, range] = {}
    live = sum(len(one) for one in due.values() if len(one) <= MAX_LIVE_TICKS)
    left = min(limit, live + MAX_TICKS_BESIDE_LIVE) if live else limit
    for rank, clock in enumerate(sorted(due, key=lambda name: (len(due[name]), name))):
        share = due[clock][: max(1, left // (len(due) - rank))] if left > 0 else due[clock][:0]
        shares[clock], left = share, left - len(share)
    return shares


def make_ticks(clock: str, inputs: HoldInputs, due: range, emitted_at_ms: int) -> list[Tick]:
    """Return the ticks for the due boundaries."""
    excluded, previous_ms = inputs.excluded, inputs.state.last_tick_ms
    made = []
    for at_ms in due:
        made.append(Tick(clock, at_ms, previous_ms, inputs.interval_ms, emitted_at_ms, excluded))
        previous_ms = at_ms
    return made
