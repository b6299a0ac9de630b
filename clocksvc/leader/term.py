"""What a leader holds in its hands while it leads, and how it shows its roster to the store. It decides nothing."""

import logging
from dataclasses import dataclass

from clocksvc.clock.record import ClockState
from clocksvc.clock.roster import Roster
from clocksvc.leader.parts import Parts
from clocksvc.store import Bounds

logger = logging.getLogger("clocksvc.leader")


@dataclass(slots=True)
class Term:
    """What a leader holds in its hands while it leads: all of it is thrown away with the lease.

    `still_since` is when, in monotonic seconds, the last tick of this term was given, or when it began.
    """

    token: str
    state: ClockState
    bounds: Bounds
    started_ms: int
    roster: Roster
    config_digest: str
    generation: int = 0
    metadata_at: float = 0.0
    metadata_wanted_ms: int = 0
    still_since: float = 0.0


def adopt_roster(parts: Parts, term: Term, roster: Roster) -> None:
    """Write the whole roster, under a new generation, with who excluded and paused."""
    if roster != term.roster:
        logger.info(
            "roster changed",
            extra={
                "clock": parts.spec.name,
                "topics": {topic: shape.partitions for topic, shape in roster.topics.items()},
                "missing": list(roster.missing),
            },
        )
    term.roster = roster
    term.generation = int(parts.new_id()[:12], 16)
    state = term.state
    parts.store.write_roster(term.token, roster, term.generation, state.exclusions, state.pause)
