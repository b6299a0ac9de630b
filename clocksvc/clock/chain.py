"""The chain of ticks in a tick log: each names the one before it."""

from collections.abc import Sequence

from clocksvc.clock.log_record import (
    ClockState,
    Record,
)
from clocksvc.clock.tick import Tick


def path_to_tick(known: Tick, state: ClockState, written: Sequence[Record]) -> list[Record]:
    """The records that lead from a state's last tick to a known one, oldest first; none where one of them is missing.

    `written` is what was written, oldest first, each record perhaps more than once: of several the newest counts that
    stands before its follower. What stands before the record that has the state knows nothing of it (an exclusion, a
    pause) and does not count.
    """
    chain: list[Record] = []
    wanted = known.at_ms
    for record in reversed(written):
        if record.state == state:
            return []
        tick = record.tick
        if tick is None or tick.at_ms != wanted or (not chain and tick != known):
            continue
        chain.append(record)
        if tick.previous_ms == state.last_tick_ms:
            return chain[::-1]
        if tick.previous_ms is None:
            return []
        wanted = tick.previous_ms
    return []
