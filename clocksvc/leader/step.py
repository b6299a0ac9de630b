"""One step of a leader: minimum, boundaries, metadata once more, commit, and only then publish.

The order is the promise: metadata that began before the minimum could miss a partition; a tick that is published
before its commit could be lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from clocksvc.clock import boundary
from clocksvc.clock.due_ticks import due_boundaries, make_records
from clocksvc.clock.holds import (
    Hold,
    HoldInputs,
    Reason,
)
from clocksvc.clock.replica import describe_config_conflict
from clocksvc.clock.roster import merge_topics
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.store import ProgressReading
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader.lease import HEARD_AFTER_MS, LEASE_MS
from clocksvc.leader.parts import LeaderDependencies, LeaderObserver
from clocksvc.leader.recovery import claim, read_roster
from clocksvc.leader.requests import serve_requests
from clocksvc.leader.silence import silence
from clocksvc.leader.term import Term, adopt_roster

IDLE_S = 1.0
METADATA_EVERY_S = 30.0
METADATA_EVERY_WHILE_STILL_S = 3.0
"""Where no tick has come for `hold_after`: it may be Kafka that is away, and then that must be said."""
METADATA_AT_MOST_EVERY_S = 1.0
NAMED_PARTITIONS = 100


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended: how long to wait for a wake-up, and what holds the clock, where that shows already.

    A step that did not come to `judge` the clock says nothing about a hold.
    """

    wait_s: float
    hold: Hold | None = None
    judged: bool = True


def ask_metadata(parts: LeaderDependencies, term: Term) -> ClusterMetadata:
    """A metadata reading that begins now. What it shows stays known, whatever becomes of the step."""
    began_at = parts.time.monotonic()
    metadata = parts.topics.describe(parts.spec.topics)
    term.metadata_at = began_at
    term.seen = merge_topics(metadata.topics, term.seen)
    return metadata


def take_step(
    parts: LeaderDependencies, term: Term, observer: LeaderObserver, waiting: Callable[[], None]
) -> StepResult:
    """One step. Raises what store, tick log and topics raise; nothing is left half done by that."""
    minimum = parts.store.read_progress(term.token, LEASE_MS)
    if minimum.last_tick_ms != term.state.last_tick_ms:
        raise ChainBroken("the store's stream does not end with the last tick: it was rolled back")
    if minimum.generation != term.generation or minimum.count != term.roster.required_count():
        adopt_roster(parts, term, term.roster)
        return StepResult(0.0, judged=False)
    if minimum.requests:
        serve_requests(parts, term, minimum, waiting)
        return StepResult(0.0, judged=False)
    if _metadata_due(parts, term, minimum):
        _read_metadata(parts, term, minimum, waiting)
        return StepResult(0.0, judged=False)
    sight = _sight(parts, term, minimum)
    due = due_boundaries(sight)
    if isinstance(due, Hold):
        parts.ticklog.await_commit_marker(waiting)
        return _wait(parts, term, sight, due, _unheard_ms(minimum))
    metadata = ask_metadata(parts, term)
    roster = read_roster(parts, term.seen, term.state, metadata)
    if roster != term.roster:
        adopt_roster(parts, term, roster)
        return StepResult(0.0, judged=False)
    _tick(parts, term, sight, due, minimum, observer, waiting)
    return StepResult(0.0)


def _tick(
    parts: LeaderDependencies,
    term: Term,
    sight: HoldInputs,
    due: range,
    minimum: ProgressReading,
    observer: LeaderObserver,
    waiting: Callable[[], None],
) -> None:
    made = make_records(parts.spec.name, sight, due, sight.leader_now_ms, term.config_digest)
    parts.ticklog.append(made, waiting)
    term.state, term.still_since = made[-1].state, parts.time.monotonic()
    published_ms = parts.store.publish(term.token, [record.tick for record in made if record.tick is not None])
    boundary_crossed_at_ms = minimum.boundary_crossed_at_ms
    latency_s = None if boundary_crossed_at_ms is None else max(0, published_ms - boundary_crossed_at_ms) / 1000
    observer.ticked(parts.spec.name, len(made), latency_s)


def _sight(parts: LeaderDependencies, term: Term, minimum: ProgressReading) -> HoldInputs:
    return HoldInputs(
        state=term.state,
        roster=term.roster,
        lowest_ms=minimum.lowest_ms,
        interval_ms=parts.spec.interval_ms,
        out_of_orderness_ms=term.bounds.out_of_orderness_ms,
        leader_now_ms=parts.time.now_ms(),
        store_now_ms=minimum.now_ms,
        digests=minimum.digests | {term.config_digest},  # ours counts, whatever the store has kept of it
        all_replicas_announced=_unheard_ms(minimum) == 0,
    )


def _unheard_ms(minimum: ProgressReading) -> int:
    """For how long another replica may still not have announced itself again to a store that lost announcements."""
    since_ms = (
        minimum.now_ms if minimum.announcements_complete_since_ms is None else minimum.announcements_complete_since_ms
    )
    return max(0, since_ms + HEARD_AFTER_MS - minimum.now_ms)


def _metadata_due(parts: LeaderDependencies, term: Term, minimum: ProgressReading) -> bool:
    age_s = parts.time.monotonic() - term.metadata_at
    wanted = bool(term.roster.missing) or minimum.unknown_seen_ms > term.metadata_wanted_ms
    still = (parts.time.monotonic() - term.still_since) * 1000 >= parts.spec.effective_hold_after_ms
    every_s = METADATA_EVERY_WHILE_STILL_S if still else METADATA_EVERY_S
    return age_s >= every_s or (wanted and age_s >= METADATA_AT_MOST_EVERY_S)


def _read_metadata(
    parts: LeaderDependencies, term: Term, minimum: ProgressReading, waiting: Callable[[], None]
) -> None:
    metadata = ask_metadata(parts, term)
    term.metadata_wanted_ms = minimum.unknown_seen_ms
    waiting()
    term.bounds = claim(parts, term.token, term.started_ms, metadata.cluster_id)
    roster = read_roster(parts, term.seen, term.state, metadata)
    if roster != term.roster:
        adopt_roster(parts, term, roster)


def _wait(parts: LeaderDependencies, term: Term, sight: HoldInputs, held: Hold, unheard_ms: int) -> StepResult:
    wait_s = min(IDLE_S, unheard_ms / 1000) if unheard_ms else IDLE_S
    if held.reason is Reason.AHEAD_OF_TIME:
        passes_ms = sight.wall_clock_boundary_ms + sight.interval_ms - min(sight.leader_now_ms, sight.store_now_ms)
        wait_s = min(wait_s, passes_ms / 1000)
    if not held.is_visible(_quiet_ms(parts, term, sight), parts.spec.effective_hold_after_ms):
        return StepResult(wait_s)
    if held.reason is Reason.CONFIG_CONFLICT and len(sight.digests) > 1:
        return StepResult(wait_s, replace(held, detail=describe_config_conflict(parts.store.replicas())))
    return StepResult(wait_s, _name_partitions(parts, term, sight, held))


def _quiet_ms(parts: LeaderDependencies, term: Term, sight: HoldInputs) -> float:
    """For how long no tick has come. Wall time alone would say nothing for hours where this clock was set back, or the
    last leader's was ahead."""
    by_wall_ms = sight.leader_now_ms - (term.state.last_emitted_ms or term.started_ms)
    return max(by_wall_ms, (parts.time.monotonic() - term.still_since) * 1000)


def _name_partitions(parts: LeaderDependencies, term: Term, sight: HoldInputs, held: Hold) -> Hold:
    if held.reason not in (Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND):
        return held
    next_ms = boundary.next_boundary(sight.state.last_tick_ms or 0, sight.interval_ms)
    behind = parts.store.lagging_partitions(next_ms + sight.out_of_orderness_ms, NAMED_PARTITIONS)
    if held.reason is Reason.PARTITION_UNREPORTED:
        behind = [line for line in behind if line.raw_ms is None]
    named = tuple(line.partition for line in behind)
    if not behind or any(line.rejected is None for line in behind):
        return Hold(held.reason, named, held.detail + silence(behind, sight.store_now_ms))
    outcomes = ", ".join(sorted({str(line.rejected) for line in behind}))
    return Hold(Reason.REPORTS_REJECTED, named, f"the newest reports on these partitions were rejected: {outcomes}")
