"""What a leader holds in its hands while it leads, and how it shows its roster to the store. It decides nothing."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from clocksvc.clock.log_record import ClockState
from clocksvc.clock.roster import Roster, TopicMetadata, merge_topics
from clocksvc.interfaces.store import ClockParameters
from clocksvc.leader.parts import LeaderDependencies

logger = logging.getLogger("clocksvc.leader")


@dataclass(slots=True)
class Term:
    """What a leader holds in its hands while it leads: all of it is thrown away with the lease.

    `seen` is what metadata and tick log have shown, in this term and in earlier ones of this process: it outlives them.
    `still_since` is when, in monotonic seconds, the last tick of this term was given, or when it began. `granted` are
    the requests in the record that this term began with: nobody may have been told.
    """

    token: str
    state: ClockState
    bounds: ClockParameters
    started_ms: int
    roster: Roster
    config_digest: str
    seen: Mapping[str, TopicMetadata]
    generation: int = 0
    metadata_at: float = 0.0
    metadata_wanted_ms: int = 0
    still_since: float = 0.0
    granted: frozenset[str] = frozenset()


def adopt_roster(parts: LeaderDependencies, term: Term, roster: Roster) -> None:
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
    term.roster, term.seen = roster, merge_topics(roster.topics, term.seen)
    term.generation = int(parts.new_id()[:12], 16)
    state = term.state
    parts.store.write_roster(term.token, roster, term.generation, state.exclusions, state.pause)
