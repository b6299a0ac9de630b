"""Evaluates one clock in a round: the due ticks, or the hold that readers see, with its partitions and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clocksvc.clock import boundary
from clocksvc.clock.due_ticks import ANNOUNCED_TICKS, count_due, due_boundaries, pace_step_s, within_pace
from clocksvc.clock.holds import Hold, HoldInputs, Reason, describe_rejected_reports, on_time_ms
from clocksvc.clock.partition import Outcome, Partition, name_first
from clocksvc.clock.spec import ClockSpec, Replica, Source, describe_config_conflict
from clocksvc.interfaces.leases import Leases, ProgressReading, RoundReading
from clocksvc.interfaces.progress import SILENT_MS, ForeignReports, PartitionClock
from clocksvc.leader.lease import ANNOUNCEMENTS_COMPLETE_AFTER_MS
from clocksvc.leader.observed import name_observed, with_upstream
from clocksvc.leader.term import ClockTerm, NamedHold

IDLE_S = 1.0
"""A leader does a round at least this often."""
NAMED_PARTITIONS = 100
NAMED_CLOCKS = 10
"""The largest number of holding clocks for which one round reads the partitions that lag. A round must be short. If all
clocks of a log hold, for example because the consumer of all of them has stopped, the next rounds read the others."""
_REPORTS_END_IT = (
    Reason.PARTITION_BEHIND,
    Reason.PARTITION_UNREPORTED,
    Reason.REPORTS_REJECTED,
    Reason.TOO_FAR_BACK,
)
_NAMED = (Reason.TOO_FAR_BACK, Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND, Reason.UPSTREAM_BEHIND)


@dataclass(slots=True)
class NameLimit:
    """Decides for which holding clocks a round reads the names of partitions.

    Attributes:
        every_s: the age at which names are read again, so that all clocks of the log get their turn.
        left: the number of clocks for which this round may still read them.
    """

    every_s: float
    left: int = NAMED_CLOCKS

    @classmethod
    def of(cls, clocks: int) -> "NameLimit":
        """Return the limit for a log with `clocks` clocks. With at most NAMED_CLOCKS, each round reads all names."""
        return cls(0.0 if clocks <= NAMED_CLOCKS else clocks / NAMED_CLOCKS * IDLE_S)

    def allows(self, named_at: float, now: float) -> bool:
        """True if a clock's names may be read again at `now`, and counts the clock. Both are monotonic times."""
        if self.left <= 0 or now - named_at < self.every_s:
            return False
        self.left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Moment:
    """What a round has read of all clocks, and when.

    Attributes:
        leader_now_ms, monotonic: the leader's wall clock and monotonic clock.
        started_ms: wall time at which this process's leader was created.
        name_limit: for which clocks names of partitions are read.
        went_back_at: monotonic time at which the store was last found in an older state.
    """

    reading: RoundReading
    leader_now_ms: int
    monotonic: float
    started_ms: int
    name_limit: NameLimit
    went_back_at: float = float("-inf")

    def announcements_missing_ms(self) -> float:
        """Return the ms until all live replicas have announced themselves after the store lost announcements.

        A store that went back has lost those that it got since then, and does not know of it.
        """
        after_ms, since_ms = ANNOUNCEMENTS_COMPLETE_AFTER_MS, self.reading.announcements_complete_since_ms
        if since_ms is None:
            return after_ms
        by_store_ms = since_ms + after_ms - self.reading.now_ms
        return max(0.0, by_store_ms, after_ms - (self.monotonic - self.went_back_at) * 1000)

    def quiet_ms(self, clock: ClockTerm) -> float:
        """Return the time without a tick of a clock, in ms.

        Wall time alone is not enough. If this machine's clock was set back, or if the last leader's clock was ahead,
        the time without a tick would be too short by this difference, and a hold would be visible too late.
        """
        by_wall_ms = self.leader_now_ms - (clock.state.last_emitted_ms or self.started_ms)
        return max(by_wall_ms, (self.monotonic - clock.idle_since) * 1000)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation of one clock.

    Attributes:
        due: the due boundaries that may be emitted now; empty if the clock holds.
        due_ticks: how many ticks are due; None if this is not known.
        begins_catch_up: True if more than ANNOUNCED_TICKS are due, and their number was not published yet. No tick is
            emitted before that.
        hold: the hold, if it is visible to readers; else None.
        wait_s: the seconds until the next evaluation, unless a report comes earlier.
    """

    inputs: HoldInputs
    due: range = range(0)
    due_ticks: int | None = None
    begins_catch_up: bool = False
    hold: Hold | None = None
    wait_s: float = IDLE_S


def evaluate_clock(clock: ClockTerm, progress: ProgressReading, moment: Moment, leases: Leases) -> Evaluation:
    """Evaluate a clock whose parameters and roster are in the store.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    inputs = _inputs(clock, progress, moment)
    due = due_boundaries(inputs)
    if isinstance(due, range) and clock.truncated is None and clock.spec.after:
        inputs = with_upstream(clock, inputs)
        due = due_boundaries(inputs)
    if isinstance(due, range) and clock.truncated is None:
        clock.named = None
        return _due(clock, inputs, due, moment.monotonic)
    hold = clock.truncated
    if hold is None:
        assert isinstance(due, Hold)
        hold = due
    clock.was_blocked = hold.reason not in _REPORTS_END_IT
    wait_s, missing_ms = IDLE_S, moment.announcements_missing_ms()
    if missing_ms:
        wait_s = min(wait_s, missing_ms / 1000)
    if hold.reason is Reason.AHEAD_OF_TIME:
        passes_ms = inputs.wall_clock_boundary_ms + inputs.interval_ms - inputs.now_ms
        wait_s = min(wait_s, passes_ms / 1000)
    visible = _visible_hold(clock, inputs, hold, moment, leases)
    due_ticks = None if clock.truncated is not None else count_due(inputs)
    return Evaluation(inputs, due_ticks=due_ticks, hold=visible, wait_s=wait_s)


def _due(clock: ClockTerm, inputs: HoldInputs, due: range, now: float) -> Evaluation:
    """Return the evaluation of a clock with due ticks: a long catch-up is published first, and keeps its pace."""
    count, pace = count_due(inputs), clock.spec.catch_up_pace
    if count > ANNOUNCED_TICKS and not clock.announced:
        return Evaluation(inputs, due_ticks=count, begins_catch_up=True, wait_s=0.0)
    on_time_from_ms = inputs.now_ms - on_time_ms(clock.spec, inputs.out_of_orderness_ms)
    allowed = within_pace(due, pace, now - clock.paced_at, on_time_from_ms)
    wait_s = IDLE_S if allowed or pace is None else min(IDLE_S, max(0.001, clock.paced_at + pace_step_s(pace) - now))
    return Evaluation(inputs, allowed, due_ticks=count, wait_s=wait_s)


def _inputs(clock: ClockTerm, progress: ProgressReading, moment: Moment) -> HoldInputs:
    name, parameters = clock.spec.name, clock.parameters
    assert parameters is not None
    announced = {one.digests[name] for one in moment.reading.announcements if name in one.digests}
    return HoldInputs(
        state=clock.state,
        roster=clock.roster,
        lowest_ms=progress.lowest_ms,
        interval_ms=clock.spec.interval_ms,
        out_of_orderness_ms=parameters.out_of_orderness_ms,
        max_past_ms=clock.spec.max_past_ms,
        leader_now_ms=moment.leader_now_ms,
        store_now_ms=moment.reading.now_ms,
        undescribed=clock.undescribed,
        without_id=clock.without_id,
        digests=frozenset(announced | {clock.digest}),  # its own digest, even if the store has lost it
        all_replicas_announced=moment.announcements_missing_ms() == 0,
        heartbeats=clock.spec.heartbeat is not None,
        observed=clock.spec.source is Source.COMMITTED,
    )


def _visible_hold(clock: ClockTerm, inputs: HoldInputs, hold: Hold, moment: Moment, leases: Leases) -> Hold | None:
    if not hold.is_visible(moment.quiet_ms(clock), clock.spec.effective_hold_after_ms):
        clock.named = None
        return None
    if hold.reason is Reason.CONFIG_CONFLICT and len(inputs.digests) > 1:
        name, configs = clock.spec.name, leases.configs()
        digests = [(one.holder, one.digests[name]) for one in moment.reading.announcements if name in one.digests]
        replicas = [Replica(holder, digest, configs.get(digest, "")) for holder, digest in digests]
        advice = "Finish the rolling update, or stop the replicas with the wrong configuration"
        return replace(hold, detail=f"{describe_config_conflict(replicas)}. {advice}")
    if hold.reason in _NAMED:
        return _named(clock, inputs, hold, moment)
    return hold


def _named(clock: ClockTerm, inputs: HoldInputs, hold: Hold, moment: Moment) -> Hold:
    """Return the hold with the names of its partitions, or with those of an earlier round: see NameLimit."""
    before = clock.named if clock.named is not None and clock.named.reason == hold.reason else None
    now = moment.monotonic
    if not moment.name_limit.allows(float("-inf") if before is None else before.at, now):
        return hold if before is None else before.hold
    name = _name_partitions_too_far_back if hold.reason is Reason.TOO_FAR_BACK else _name_partitions
    clock.named = NamedHold(hold.reason, name(clock, inputs, hold), now)
    return clock.named.hold


def _name_partitions(clock: ClockTerm, inputs: HoldInputs, hold: Hold) -> Hold:
    next_ms = boundary.next_boundary(inputs.state.last_tick_ms or 0, inputs.interval_ms)
    lagging = clock.store.lagging_partitions(next_ms + inputs.out_of_orderness_ms, NAMED_PARTITIONS)
    if hold.reason is Reason.PARTITION_UNREPORTED:
        lagging = [line for line in lagging if line.raw_ms is None]
    named = tuple(line.partition for line in lagging)
    foreign = describe_foreign_reports(clock.store.foreign_reports(), lagging, clock.spec, inputs.store_now_ms)
    if inputs.observed:
        found = name_observed(clock, inputs, hold, lagging)
        return replace(found, detail=found.detail + foreign)
    if not lagging or any(line.rejected is None for line in lagging):
        expected = f"; the clock counts reports of group {clock.spec.group!r} for {', '.join(clock.spec.topics)}"
        unreported = hold.reason is Reason.PARTITION_UNREPORTED and lagging
        detail = (
            hold.detail
            + (expected if unreported else "")
            + describe_silent_partitions(lagging, inputs.store_now_ms, clock.spec.group)
        )
        return Hold(hold.reason, named, detail + foreign)
    detail = describe_rejected_reports(sorted({str(line.rejected) for line in lagging}))
    return Hold(Reason.REPORTS_REJECTED, named, detail + foreign)


def _name_partitions_too_far_back(clock: ClockTerm, inputs: HoldInputs, hold: Hold) -> Hold:
    before_ms = inputs.now_ms - inputs.max_past_ms + inputs.out_of_orderness_ms
    named = tuple(line.partition for line in clock.store.lagging_partitions(before_ms, NAMED_PARTITIONS))
    slowest = f", and the slowest partition is {named[0]}" if named else ""
    detail = (
        f"{hold.detail}{slowest}. If the consumers still process old records, wait: the clock begins by itself when "
        f"every partition is within max_past. To begin at another time: clocksvc init {clock.spec.name} --last-tick T. "
        "To begin that far in the past: a larger max_past"
    )
    return Hold(hold.reason, named, detail)


def describe_foreign_reports(
    foreign: ForeignReports, lagging: Sequence[PartitionClock], spec: ClockSpec, now_ms: int
) -> str:
    """Return a text about recent reports of another group or topic for a hold.

    Args:
        now_ms: the store's time.

    Returns:
        A text that continues the detail; empty if these reports are not the cause of the hold.
    """
    texts = []
    silent = any(line.reported_ms is None or now_ms - line.reported_ms > SILENT_MS for line in lagging)
    rejected = any(line.rejected is Outcome.FOREIGN_GROUP for line in lagging)
    if foreign.group is not None and (rejected or (silent and now_ms - foreign.group_ms <= SILENT_MS)):
        texts.append(
            f"consumers of group {foreign.group!r} report, but their reports don't count, because the clock follows "
            "committed offsets: remove their Reporter, or set source: reports"
            if spec.source is Source.COMMITTED
            else f"consumers of group {foreign.group!r} report, but the clock has group {spec.group!r}: use the "
            "clock's group in group.id and Reporter(…, group=…), or change the clock's group"
        )
    if foreign.topic is not None and now_ms - foreign.topic_ms <= SILENT_MS and silent:
        texts.append(
            f"consumers report topic {foreign.topic!r}, but the clock has {', '.join(spec.topics)}: correct the topic "
            "of the consumer or of the clock"
        )
    return "".join(f"; {text}" for text in texts)


def describe_silent_partitions(lagging: Sequence[PartitionClock], now_ms: int, group: str) -> str:
    """Return a text about lagging partitions for a hold: which ones no consumer reports, and which ones are reported.

    Args:
        now_ms: the store's time.
        group: the clock's consumer group.

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
        question = f"check that a consumer of group {group!r} reads them"
        texts.append(f"not reported for more than {SILENT_MS // 1000} s ({question}): {name_first(silent)}")
    if reporting:
        question = "check the heartbeats and the consumer's lag"
        texts.append(
            f"reported recently, but without newer records or not processed further ({question}): "
            f"{name_first(reporting)}"
        )
    return "".join(f"; {text}" for text in texts)
