"""One step of a leader: read progress, find the due boundaries, read metadata again, commit, and only then publish.

The order matters. If metadata were read before the progress, a new partition could be missed. If a tick were published
before its commit, it could be lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clocksvc.clock import boundary
from clocksvc.clock.due_ticks import due_boundaries, make_records
from clocksvc.clock.holds import Hold, HoldInputs, Reason
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.roster import merge_topics
from clocksvc.clock.spec import describe_config_conflict
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.interfaces.store import ProgressReading
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader.context import LeaderDependencies, LeaderObserver, Term, adopt_roster
from clocksvc.leader.lease import ANNOUNCEMENTS_COMPLETE_AFTER_MS, LEASE_MS
from clocksvc.leader.recovery import claim, read_roster
from clocksvc.leader.requests import serve_requests

IDLE_S = 1.0
METADATA_EVERY_S = 30.0
METADATA_EVERY_WHILE_IDLE_S = 3.0
"""The interval after `hold_after` without a tick. Kafka may be out of reach, and the hold must show this soon."""
METADATA_AT_MOST_EVERY_S = 1.0
NAMED_PARTITIONS = 100
SILENT_MS = 30_000
"""Consumers repeat the reports of all their partitions every 10 s. If a partition was not reported for 30 s, the text
of the hold asks whether any consumer has this partition."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step.

    Attributes:
        wait_s: the seconds until the next step, unless the store notifies the leader earlier.
        hold: the hold, if it is visible to readers; else None.
        evaluated: False if the step ended before it evaluated whether the clock holds. `hold` has no meaning then.
    """

    wait_s: float
    hold: Hold | None = None
    evaluated: bool = True


def ask_metadata(parts: LeaderDependencies, term: Term) -> ClusterMetadata:
    """Request metadata, and return them. Their topics are added to `term.seen`, even if the step fails later."""
    began_at = parts.time.monotonic()
    metadata = parts.topics.describe(parts.spec.topics)
    term.metadata_at = began_at
    term.seen = merge_topics(metadata.topics, term.seen)
    return metadata


def take_step(parts: LeaderDependencies, term: Term, observer: LeaderObserver, keep_alive: KeepAlive) -> StepResult:
    """Do one step. Blocks for as long as store, tick log and topics do.

    Raises:
        ClocksvcError: as store, tick log and topics raise it. The next step, or the next leader, continues safely.
    """
    progress = parts.store.read_progress(term.token, LEASE_MS)
    if progress.last_tick_ms != term.state.last_tick_ms:
        raise ChainBroken(
            f"the store's stream ends with {_tick_text(progress.last_tick_ms)}, but the tick log with "
            f"{_tick_text(term.state.last_tick_ms)}: the store has lost ticks or was restored to an older state"
        )
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
        digests=progress.digests | {term.config_digest},  # its own digest, even if the store has lost it
        all_replicas_announced=_announcements_missing_ms(progress) == 0,
    )


def _tick_text(tick_ms: int | None) -> str:
    return "no tick" if tick_ms is None else f"tick {to_rfc3339(tick_ms)}"


def _announcements_missing_ms(progress: ProgressReading) -> int:
    """Return how long, in ms, until all live replicas have announced themselves after the store lost announcements."""
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
    """Return the time without a tick, in ms.

    Wall time alone is not enough. If this machine's clock was set back, or if the last leader's clock was ahead, the
    time without a tick would be too short by this difference, and a hold would be visible too late.
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
    """Return a text about lagging partitions for a hold: which ones no consumer reports, and which ones are reported.

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
        question = "check that a consumer reads them"
        texts.append(f"not reported for more than {SILENT_MS // 1000} s ({question}): {name_first(silent)}")
    if reporting:
        texts.append(f"reported recently, but without newer records or not processed further: {name_first(reporting)}")
    return "".join(f"; {text}" for text in texts)
