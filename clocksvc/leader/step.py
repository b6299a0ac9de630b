"""One step of a leader: minimum, boundaries, metadata once more, commit, and only then publish.

The order is the promise: metadata that began before the minimum could miss a partition; a tick that is published
before its commit could be lost.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from clocksvc.clock import boundary
from clocksvc.clock.advance import advance, records
from clocksvc.clock.hold import Hold, Reason, Sight
from clocksvc.clock.record import ClockState
from clocksvc.clock.roster import Roster
from clocksvc.errors import ChainBroken
from clocksvc.leader.lease import LEASE_MS
from clocksvc.leader.parts import LeaderObserver, Parts
from clocksvc.leader.recovery import claim, read_roster
from clocksvc.store import Bounds, Minimum
from clocksvc.topic import Metadata

logger = logging.getLogger("clocksvc.leader")

IDLE_S = 1.0
METADATA_EVERY_S = 30.0
METADATA_AT_MOST_EVERY_S = 1.0
NAMED_PARTITIONS = 100


@dataclass(slots=True)
class Term:
    """What a leader holds in its hands while it leads: all of it is thrown away with the lease."""

    token: str
    state: ClockState
    bounds: Bounds
    started_ms: int
    roster: Roster
    config_digest: str
    generation: int = 0
    metadata_at: float = 0.0
    metadata_wanted_ms: int = 0


@dataclass(frozen=True, slots=True)
class Stepped:
    """How a step ended: how long to wait for a wake-up, and what holds the clock, where that shows already.

    A step that did not come to `judge` the clock says nothing about a hold.
    """

    wait_s: float
    hold: Hold | None = None
    judged: bool = True


def adopt_roster(parts: Parts, term: Term, roster: Roster) -> None:
    """Write the whole roster, under a new generation."""
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
    parts.store.write_roster(term.token, roster, term.generation)


def ask_metadata(parts: Parts, term: Term) -> Metadata:
    """A metadata reading that begins now."""
    began_at = parts.time.monotonic()
    metadata = parts.topics.describe(parts.spec.topics)
    term.metadata_at = began_at
    return metadata


def take_step(parts: Parts, term: Term, observer: LeaderObserver, waiting: Callable[[], None]) -> Stepped:
    """One step. Raises what store, tick log and topics raise; nothing is left half done by that."""
    minimum = parts.store.read_minimum(term.token, LEASE_MS)
    if minimum.last_tick_ms != term.state.last_tick_ms:
        raise ChainBroken("the store's stream does not end with the last tick: it was rolled back")
    if minimum.generation != term.generation or minimum.count != term.roster.required_count():
        adopt_roster(parts, term, term.roster)
        return Stepped(0.0, judged=False)
    if _metadata_due(parts, term, minimum):
        _read_metadata(parts, term, minimum, waiting)
        return Stepped(0.0, judged=False)
    sight = _sight(parts, term, minimum)
    due = advance(sight)
    if isinstance(due, Hold):
        return _wait(parts, term, sight, due)
    roster = read_roster(parts, term.roster, term.state, ask_metadata(parts, term))
    if roster != term.roster:
        adopt_roster(parts, term, roster)
        return Stepped(0.0, judged=False)
    _tick(parts, term, sight, due, minimum, observer, waiting)
    return Stepped(0.0)


def _tick(
    parts: Parts,
    term: Term,
    sight: Sight,
    due: range,
    minimum: Minimum,
    observer: LeaderObserver,
    waiting: Callable[[], None],
) -> None:
    made = records(parts.spec.name, sight, due, sight.leader_now_ms, term.config_digest)
    parts.ticklog.append(made, waiting)
    term.state = made[-1].state
    published_ms = parts.store.publish(term.token, [record.tick for record in made if record.tick is not None])
    crossed_ms = minimum.crossed_ms
    latency_s = None if crossed_ms is None else max(0, published_ms - crossed_ms) / 1000
    observer.ticked(parts.spec.name, len(made), latency_s)


def _sight(parts: Parts, term: Term, minimum: Minimum) -> Sight:
    return Sight(
        state=term.state,
        roster=term.roster,
        lowest_ms=minimum.lowest_ms,
        interval_ms=parts.spec.interval_ms,
        out_of_orderness_ms=term.bounds.out_of_orderness_ms,
        leader_now_ms=parts.time.now_ms(),
        store_now_ms=minimum.now_ms,
        digests=minimum.digests,
    )


def _metadata_due(parts: Parts, term: Term, minimum: Minimum) -> bool:
    age_s = parts.time.monotonic() - term.metadata_at
    wanted = bool(term.roster.missing) or minimum.unknown_seen_ms > term.metadata_wanted_ms
    return age_s >= METADATA_EVERY_S or (wanted and age_s >= METADATA_AT_MOST_EVERY_S)


def _read_metadata(parts: Parts, term: Term, minimum: Minimum, waiting: Callable[[], None]) -> None:
    metadata = ask_metadata(parts, term)
    term.metadata_wanted_ms = minimum.unknown_seen_ms
    waiting()
    term.bounds = claim(parts, term.token, term.started_ms, metadata.cluster_id)
    roster = read_roster(parts, term.roster, term.state, metadata)
    if roster != term.roster:
        adopt_roster(parts, term, roster)


def _wait(parts: Parts, term: Term, sight: Sight, held: Hold) -> Stepped:
    wait_s = IDLE_S
    if held.reason is Reason.AHEAD_OF_TIME:
        passes_ms = sight.passed_ms + sight.interval_ms - min(sight.leader_now_ms, sight.store_now_ms)
        wait_s = min(wait_s, passes_ms / 1000)
    quiet_ms = sight.leader_now_ms - (term.state.last_emitted_ms or term.started_ms)
    if not held.shows(quiet_ms, parts.spec.effective_hold_after_ms):
        return Stepped(wait_s)
    return Stepped(wait_s, _name_partitions(parts, term, sight, held))


def _name_partitions(parts: Parts, term: Term, sight: Sight, held: Hold) -> Hold:
    if held.reason not in (Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND):
        return held
    next_ms = boundary.following(sight.state.last_tick_ms or 0, sight.interval_ms)
    behind = parts.store.behind(next_ms + sight.out_of_orderness_ms, NAMED_PARTITIONS)
    if held.reason is Reason.PARTITION_UNREPORTED:
        behind = [line for line in behind if line.raw_ms is None]
    named = tuple(line.partition for line in behind)
    if not behind or any(line.refused is None for line in behind):
        return Hold(held.reason, named, held.detail)
    outcomes = ", ".join(sorted({str(line.refused) for line in behind}))
    return Hold(Reason.REPORTS_REFUSED, named, f"the newest reports on these partitions were refused: {outcomes}")
