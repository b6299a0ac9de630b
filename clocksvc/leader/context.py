"""The context of a leader: its dependencies, its observer, and the state of its current term."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.log_record import ClockState
from clocksvc.clock.roster import Roster, TopicMetadata, merge_topics
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.progress import ClockParameters
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics

logger = logging.getLogger("clocksvc.leader")


@dataclass(frozen=True, slots=True)
class LeaderDependencies:
    """One clock's configuration and the implementations that its leader uses.

    Attributes:
        new_id: returns 32 hexadecimal digits, unique among all leaders, for lease tokens and roster generations.
    """

    spec: ClockSpec
    store: Store
    ticklog: TickLog
    topics: Topics
    time: Time
    new_id: Callable[[], str]


class LeaderObserver(Protocol):
    """Is notified of what a leader does. Methods are called in the leader's thread; they must not block or raise."""

    def leading(self, clock: str, yes: bool) -> None:
        """This process has started or stopped leading."""

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Ticks were committed and published.

        Args:
            latency_s: the time from the report that completed the first tick's boundary to its publication; None if
                it is not known.
        """


class NoObserver:
    """A LeaderObserver that does nothing."""

    def leading(self, clock: str, yes: bool) -> None:
        pass

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass


@dataclass(slots=True)
class Term:
    """What a leader knows while it leads. A term ends when the leader loses or releases the lease.

    Attributes:
        state: the clock's state in the last committed record.
        parameters: the clock's parameters, as they were written to the store.
        started_ms: wall time at which this process's leader was created.
        seen: topics from all metadata and from the tick log that this process has read, in this and earlier terms.
        generation: the roster's generation in the store.
        metadata_at: monotonic time at which the last metadata request began.
        metadata_wanted_ms: `unknown_seen_ms` of the store (the time of the last report of an unknown partition) at the
            last metadata request. A larger value there makes a new request due.
        idle_since: monotonic time of this term's last tick; before its first tick, of the beginning of the term.
        committed_request_ids: the requests in the record with which this term began. They are done, but the results may
            not be written yet.
    """

    token: str
    state: ClockState
    parameters: ClockParameters
    started_ms: int
    roster: Roster
    config_digest: str
    seen: Mapping[str, TopicMetadata]
    generation: int = 0
    metadata_at: float = 0.0
    metadata_wanted_ms: int = 0
    idle_since: float = 0.0
    committed_request_ids: frozenset[str] = frozenset()


def adopt_roster(parts: LeaderDependencies, term: Term, roster: Roster) -> None:
    """Write the complete roster to the store with a new generation, and with exclusions and pause."""
    if roster != term.roster:
        logger.info(
            "roster changed",
            extra={
                "clock": parts.spec.name,
                "topics": {topic: metadata.partitions for topic, metadata in roster.topics.items()},
                "missing": list(roster.missing),
            },
        )
    term.roster, term.seen = roster, merge_topics(roster.topics, term.seen)
    term.generation = int(parts.new_id()[:12], 16)
    state = term.state
    parts.store.write_roster(term.token, roster, term.generation, state.exclusions, state.pause)
