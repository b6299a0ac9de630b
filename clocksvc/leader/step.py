"""One step of a leader: read progress, find the due boundaries, read metadata again, commit, and only then publish.

The order matters. Metadata from before the progress reading could miss a partition. A tick that is published before
its commit could be lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clocksvc.clock import boundary
from clocksvc.clock.due_ticks import due_boundaries, make_records
from clocksvc.clock.holds import (
    Hold,
    HoldInputs,
    Reason,
)
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.roster import merge_topics
from clocksvc.clock.spec import describe_config_conflict
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.store import PartitionClock, ProgressReading
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader.context import LeaderDependencies, LeaderObserver, Term, adopt_roster
from clocksvc.leader.lease import ANNOUNCEMENTS_COMPLETE_AFTER_MS, LEASE_MS
from clocksvc.leader.recovery import claim, read_roster
from clocksvc.leader.requests import serve_requests

IDLE_S = 1.0
METADATA_EVERY_S = 30.0
METADATA_EVERY_WHILE_IDLE_S = 3.0
"""When there has been no tick for `hold_after`: Kafka may be out of reach, and the hold must show that."""
METADATA_AT_MOST_EVERY_S = 1.0
NAMED_PARTITIONS = 100
SILENT_MS = 30_000
"""Consumers repeat the report of each of their partitions every 10 s. After 30 s without one the hold asks whether any
consumer has the partition."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step.

    Attributes:
        wait_s: the time until the next step, unless the store notifies the leader earlier.
        hold: why the clock is stopped, if readers see that already.
        evaluated: False if the step ended before it evaluated the clock; then `hold` says nothing.
    """

    wait_s: float
    hold: Hold | None = None
    evaluated: bool = True


def ask_metadata(parts: LeaderDependencies, term: Term) -> ClusterMetadata:
    """Request metadata now. The term keeps what they show, even if the step fails later."""
    began_at = parts.time.monotonic()
    metadata = parts.topics.describe(parts.spec.topics)
    term.metadata_at = began_at
    term.seen = merge_topics(metadata.topics, term.seen)
    return metadata


def take_step(parts: LeaderDependencies, term: Term, observer: LeaderObserver, keep_alive: KeepAlive) -> StepResult:
    """Take one step. Blocks for as long as store, tick log and topics do.

    Raises:
        ClocksvcError: as store, tick log and topics raise it. The next step, or the next leader, continues safely.
    """
    progress = parts.store.read_progress(term.token, LEASE_MS)
    if progress.last_tick_ms != term.state.last_tick_ms:
        raise ChainBroken("the store's stream does not end with the last tick: it was rolled back")
    if progress.generation != term.generation or progress.count != term.roster.required_count():
        adopt_roster(parts, term, term.roster)
        return StepResult(0.0, evaluated=False)
    if progress.requests:
        serve_requests(parts, term, progress, keep_alive)
        return StepResult(0.0, evaluated=False)
    if _metadata_due(parts, term, progress):
        _refresh_metadata(parts, term, progress, keep_alive)
        return StepResult(0.0, evaluated=False)
    inputs = _hold_inputs(parts, term, progress)
    due = due_boundaries(inputs)
    if isinstance(due, Hold):
        parts.ticklog.await_commit_marker(keep_alive)
        return _wait(parts, term, inputs, due, _announcements_missing_ms(progress))
    metadata = ask_metadata(parts, term)
    roster = read_roster(parts, term.seen, term.state, metadata)
    if roster != term.roster:
        adopt_roster(parts, term, roster)
        return StepResult(0.0, evaluated=False)
    _tick(parts, term, inputs, due, progress, observer, keep_alive)
    return StepResult(0.0)


def _tick(
    parts: LeaderDependencies,
    term: Term,
    inputs: HoldInputs,
    due: range,
    progress: ProgressReading,
    observer: LeaderObserver,
    keep_alive: KeepAlive,
) -> None:
    made = make_records(parts.spec.name, inputs, due, inputs.leader_now_ms, term.config_digest)
    parts.ticklog.append(made, keep_alive)
    term.state, term.idle_since = made[-1].state, parts.time.monotonic()
    published_ms = parts.store.publish(term.token, [record.tick for record in made if record.tick is not None])
    crossed_ms = progress.boundary_crossed_at_ms
    latency_s = None if crossed_ms is None else max(0, published_ms - crossed_ms) / 1000
    observer.ticked(parts.spec.name, len(made), latency_s)


def _hold_inputs(parts: LeaderDependencies, term: Term, progress: ProgressReading) -> HoldInputs:
    return HoldInputs(
        state=term.state,
        roster=term.roster,
        lowest_ms=progress.lowest_ms,
        interval_ms=parts.spec.interval_ms,
        out_of_orderness_ms=term.parameters.out_of_orderness_ms,
        leader_now_ms=parts.time.now_ms(),
        store_now_ms=progress.now_ms,
        digests=progress.digests | {term.config_digest},  # this replica's counts even if the store has lost it
        all_replicas_announced=_announcements_missing_ms(progress) == 0,
    )


def _announcements_missing_ms(progress: ProgressReading) -> int:
    """How long to wait until every live replica has announced itself, after the store lost the announcements."""
    since_ms = progress.announcements_complete_since_ms
    if since_ms is None:
        return ANNOUNCEMENTS_COMPLETE_AFTER_MS
    return max(0, since_ms + ANNOUNCEMENTS_COMPLETE_AFTER_MS - progress.now_ms)


def _metadata_due(parts: LeaderDependencies, term: Term, progress: ProgressReading) -> bool:
    age_s = parts.time.monotonic() - term.metadata_at
    wanted = bool(term.roster.missing) or progress.unknown_seen_ms > term.metadata_wanted_ms
    idle = (parts.time.monotonic() - term.idle_since) * 1000 >= parts.spec.effective_hold_after_ms
    every_s = METADATA_EVERY_WHILE_IDLE_S if idle else METADATA_EVERY_S
    return age_s >= every_s or (wanted and age_s >= METADATA_AT_MOST_EVERY_S)


def _refresh_metadata(parts: LeaderDependencies, term: Term, progress: ProgressReading, keep_alive: KeepAlive) -> None:
    metadata = ask_metadata(parts, term)
    term.metadata_wanted_ms = progress.unknown_seen_ms
    keep_alive()
    term.parameters = claim(parts, term.token, term.started_ms, metadata.cluster_id)
    roster = read_roster(parts, term.seen, term.state, metadata)
    if roster != term.roster:
        adopt_roster(parts, term, roster)


def _wait(
    parts: LeaderDependencies, term: Term, inputs: HoldInputs, hold: Hold, announcements_missing_ms: int
) -> StepResult:
    wait_s = min(IDLE_S, announcements_missing_ms / 1000) if announcements_missing_ms else IDLE_S
    if hold.reason is Reason.AHEAD_OF_TIME:
        passes_ms = inputs.wall_clock_boundary_ms + inputs.interval_ms - min(inputs.leader_now_ms, inputs.store_now_ms)
        wait_s = min(wait_s, passes_ms / 1000)
    if not hold.is_visible(_quiet_ms(parts, term, inputs), parts.spec.effective_hold_after_ms):
        return StepResult(wait_s)
    if hold.reason is Reason.CONFIG_CONFLICT and len(inputs.digests) > 1:
        return StepResult(wait_s, replace(hold, detail=describe_config_conflict(parts.store.replicas())))
    return StepResult(wait_s, _name_partitions(parts, term, inputs, hold))


def _quiet_ms(parts: LeaderDependencies, term: Term, inputs: HoldInputs) -> float:
    """How long there has been no tick.

    Wall time alone is not enough: if this machine's clock was set back, or the last leader's clock was ahead, no hold
    would show for that long.
    """
    by_wall_ms = inputs.leader_now_ms - (term.state.last_emitted_ms or term.started_ms)
    return max(by_wall_ms, (parts.time.monotonic() - term.idle_since) * 1000)


def _name_partitions(parts: LeaderDependencies, term: Term, inputs: HoldInputs, hold: Hold) -> Hold:
    if hold.reason not in (Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND):
        return hold
    next_ms = boundary.next_boundary(inputs.state.last_tick_ms or 0, inputs.interval_ms)
    lagging = parts.store.lagging_partitions(next_ms + inputs.out_of_orderness_ms, NAMED_PARTITIONS)
    if hold.reason is Reason.PARTITION_UNREPORTED:
        lagging = [line for line in lagging if line.raw_ms is None]
    named = tuple(line.partition for line in lagging)
    if not lagging or any(line.rejected is None for line in lagging):
        detail = hold.detail + describe_silent_partitions(lagging, inputs.store_now_ms)
        return Hold(hold.reason, named, detail)
    outcomes = ", ".join(sorted({str(line.rejected) for line in lagging}))
    return Hold(Reason.REPORTS_REJECTED, named, f"the newest reports on these partitions were rejected: {outcomes}")


def describe_silent_partitions(lagging: Sequence[PartitionClock], now_ms: int) -> str:
    """A text for a hold's detail: which lagging partitions no consumer reports, and which are reported.

    Args:
        now_ms: the store's time.

    Returns:
        A text that continues the detail; empty if no partition has ever been reported.
    """
    silent: list[Partition] = []
    reporting: list[Partition] = []
    for line in lagging:
        if line.reported_ms is not None:
            (silent if now_ms - line.reported_ms > SILENT_MS else reporting).append(line.partition)
    texts = []
    if silent:
        question = "is there a consumer that has them?"
        texts.append(f"not reported for more than {SILENT_MS // 1000} s ({question}): {name_first(silent)}")
    if reporting:
        texts.append(f"reported lately, but quiet or not processed further: {name_first(reporting)}")
    return "".join(f"; {text}" for text in texts)
