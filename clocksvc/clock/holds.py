"""Holds, the reasons why a clock emits no tick, and the clock's status in one word.

Each reason is a small rule over the leader's inputs. The rules are evaluated in the order of `RULES`: first operator
overrides and conflicts, then conditions that make the minimum meaningless, then partitions that are behind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clocksvc.clock import boundary
from clocksvc.clock.log_record import ClockState
from clocksvc.clock.partition import Outcome, Partition, name_first
from clocksvc.clock.roster import Roster
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.clock.tick import partition_from_wire, partition_to_wire
from clocksvc.clock.time_format import describe_duration, to_rfc3339


class Reason(StrEnum):
    """The reason why no tick is emitted."""

    PARTITION_UNREPORTED = "partition_unreported"
    PARTITION_BEHIND = "partition_behind"
    REPORTS_REJECTED = "reports_rejected"
    TOPIC_MISSING = "topic_missing"
    AHEAD_OF_TIME = "ahead_of_time"
    TOO_FAR_BACK = "too_far_back"
    UPSTREAM_BEHIND = "upstream_behind"
    LEADER_STUCK = "leader_stuck"
    METADATA_UNAVAILABLE = "metadata_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_MISMATCH = "store_mismatch"
    TICKLOG_UNAVAILABLE = "ticklog_unavailable"
    TICKLOG_TRUNCATED = "ticklog_truncated"
    TICKLOG_OPEN_TRANSACTION = "ticklog_open_transaction"
    CONFIG_CONFLICT = "config_conflict"
    NO_LEADER = "no_leader"
    PAUSED = "paused"


DELAYED_REASONS = frozenset(
    {Reason.PARTITION_BEHIND, Reason.REPORTS_REJECTED, Reason.AHEAD_OF_TIME, Reason.UPSTREAM_BEHIND}
)
"""Reasons that also occur while a clock is healthy. They are visible after `hold_after`, all other reasons at once."""


_NOT_REPORTED = (
    "not every partition has been reported: start the consumers of the topics. A partition without records needs "
    "heartbeats{}. If the consumers run and commit, compare URL, database, prefix and clock name of their Reporter "
    "with the service's"
)
_HEARTBEATS_ON = ": run celery -A clocksvc worker and beat, or clocksvc heartbeat for one round"
_HEARTBEATS_OFF = (
    ", which are off for this clock: remove heartbeat: null from its configuration, or write a record to the partition"
)


_NOT_OBSERVED = "for some or all partitions it is not known how far the group has processed them"
_ALL_EXCLUDED = (
    "no partition is left that has to report: all are excluded. Include at least one with clocksvc include CLOCK "
    "TOPIC:PARTITION"
)


_REJECTED: Mapping[str, str] = {
    Outcome.TOO_FAR_AHEAD: "the timestamps are further ahead than max_future: check the clocks of the producers and of "
    "the store",
    Outcome.NO_TIMESTAMP: "the records have no timestamp: producers must set one",
    Outcome.NOT_MILLISECONDS: "the timestamps look like seconds or microseconds: report milliseconds since the epoch",
    Outcome.FOREIGN_TOPIC: "the reporter does not know its topic: create one reporter for each topic of the clock",
}
"""What is wrong, and what to do, by the outcome of rejected reports."""


def describe_rejected_reports(outcomes: Sequence[str]) -> str:
    """Return the detail of a hold for partitions whose newest reports were rejected with these outcomes."""
    causes = [f"{outcome} ({_REJECTED[outcome]})" if outcome in _REJECTED else outcome for outcome in outcomes]
    return f"the newest reports of these partitions were rejected: {'; '.join(causes)}"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a clock emits no tick.

    Attributes:
        reason: a Reason, or a plain string if a leader of a newer version published a reason that is unknown here.
        detail: a sentence for people. Programs read `reason` and `partitions`.
        transient: the condition normally ends within seconds, so the hold becomes visible only after `hold_after`.
        upstream: the upstream clock for which this clock waits, as JSON: `clock`, `url` ("" for this installation),
            `time`, `status` and `hold`, which has an `upstream` again if that clock waits, too. None for other reasons.
    """

    reason: Reason | str
    partitions: tuple[Partition, ...] = ()
    detail: str = ""
    transient: bool = False
    upstream: Mapping[str, Any] | None = None

    def is_visible(self, quiet_ms: float, hold_after_ms: int) -> bool:
        """True if readers see this hold after `quiet_ms` without a tick."""
        at_once = self.reason not in DELAYED_REASONS and not self.transient
        return at_once or quiet_ms >= hold_after_ms

    def partitions_text(self) -> str:
        """Return the first partitions as text; "" if there are none, or if the detail already names all of them."""
        if all(str(partition) in self.detail for partition in self.partitions):
            return ""
        return name_first(self.partitions)

    def to_wire(self) -> dict[str, Any]:
        """Return the hold as JSON, without `since`. Readers compute `since`, because a hold can outlive its leader."""
        partitions = [partition_to_wire(partition) for partition in self.partitions]
        return {
            "reason": str(self.reason),
            "partitions": partitions,
            "detail": self.detail,
            "upstream": self.upstream,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Hold":
        """The reverse of `to_wire`. An unknown reason is kept as a string, so that readers still see the hold."""
        partitions = tuple(partition_from_wire(item) for item in wire["partitions"])
        name = wire["reason"]
        reason = next((reason for reason in Reason if reason.value == name), name)
        return cls(reason, partitions, wire["detail"], upstream=wire["upstream"])


@dataclass(frozen=True, slots=True)
class HoldInputs:
    """What a leader knows at one moment. All times are milliseconds.

    Attributes:
        lowest_ms: the lowest raw timestamp on the roster; None while a partition is unknown.
        out_of_orderness_ms: the time that is subtracted from `lowest_ms` before the comparison with a boundary.
        max_past_ms: how far the first tick of the clock may be in the past.
        leader_now_ms, store_now_ms: the leader's and the store's own clocks. Both must pass a boundary before its tick
            is emitted.
        undescribed: the topics that Kafka does not describe, with the reason.
        without_id: the topics that have no id, if the clock requires topic ids.
        digests: the configuration digests of all live replicas.
        all_replicas_announced: True if every live replica has had time to announce itself after the store last lost
            announcements.
        heartbeats: True if the clock has heartbeats.
        observed: True if the clock follows committed offsets, and not the reports of consumers.
        upstream_ms: the last tick that all upstream clocks have committed; 0 if it is not known. None for a clock
            without upstream clocks, and before it was read.
        upstream_excluded: the partitions that ticks of upstream clocks excluded since the clock's last tick.
    """

    state: ClockState
    roster: Roster
    lowest_ms: int | None
    interval_ms: int
    out_of_orderness_ms: int
    max_past_ms: int
    leader_now_ms: int
    store_now_ms: int
    undescribed: Mapping[str, str] = field(default_factory=dict)
    without_id: tuple[str, ...] = ()
    digests: frozenset[str] = frozenset()
    all_replicas_announced: bool = True
    heartbeats: bool = True
    observed: bool = False
    upstream_ms: int | None = None
    upstream_excluded: tuple[Partition, ...] = ()

    @property
    def watermark_boundary_ms(self) -> int:
        """The boundary that the minimum of all partitions has reached; 0 while the minimum is unknown."""
        if self.lowest_ms is None:
            return 0
        return max(0, boundary.reached(self.lowest_ms, self.out_of_orderness_ms, self.interval_ms))

    @property
    def now_ms(self) -> int:
        """The earlier one of the leader's and the store's own times."""
        return min(self.leader_now_ms, self.store_now_ms)

    @property
    def wall_clock_boundary_ms(self) -> int:
        """The last boundary that both the leader's and the store's own clocks have passed."""
        return boundary.floor(self.now_ms, self.interval_ms)

    @property
    def upstream_boundary_ms(self) -> int | None:
        """The last boundary that all upstream clocks have ticked; None if there is no such limit."""
        return None if self.upstream_ms is None else boundary.floor(self.upstream_ms, self.interval_ms)

    @property
    def due_upto_ms(self) -> int:
        """The last boundary that the minimum, both clocks and all upstream clocks have reached."""
        reached_ms, upstream_ms = (
            min(self.watermark_boundary_ms, self.wall_clock_boundary_ms),
            self.upstream_boundary_ms,
        )
        return reached_ms if upstream_ms is None else min(reached_ms, upstream_ms)

    @property
    def excluded(self) -> tuple[Partition, ...]:
        """The partitions that the next ticks list in `excluded`, sorted: this clock's, and those of upstream clocks."""
        return tuple(sorted({*self.roster.present_exclusions(), *self.upstream_excluded}))


def paused(inputs: HoldInputs) -> Hold | None:
    """Return a hold if an operator has paused the clock."""
    pause = inputs.state.pause
    return Hold(Reason.PAUSED, detail=f"paused by {pause.by}: {pause.reason}") if pause else None


def config_conflict(inputs: HoldInputs) -> Hold | None:
    """Return a hold if live replicas have configurations with which they would make different ticks."""
    if len(inputs.digests) < 2:
        return None
    return Hold(
        Reason.CONFIG_CONFLICT,
        detail=f"live replicas have {len(inputs.digests)} different configurations of this clock: "
        + ", ".join(sorted(inputs.digests)),
    )


def topic_undescribed(inputs: HoldInputs) -> Hold | None:
    """Return a hold if Kafka does not describe a topic, for example because a permission is missing."""
    reasons = [f"{topic}: {reason}" for topic, reason in sorted(inputs.undescribed.items())]
    return Hold(Reason.METADATA_UNAVAILABLE, detail="; ".join(reasons)) if reasons else None


def topic_without_id(inputs: HoldInputs) -> Hold | None:
    """Return a hold if a topic has no id. If it were recreated, old progress would count for it."""
    if not inputs.without_id:
        return None
    return Hold(
        Reason.METADATA_UNAVAILABLE,
        detail=f"the broker gives no topic id for {', '.join(inputs.without_id)}, so a recreated topic can't be "
        "recognized: use brokers with topic ids (Kafka 2.8 or later), or accept this with kafka.topic_ids: off",
    )


def topic_missing(inputs: HoldInputs) -> Hold | None:
    """Return a hold if Kafka does not list a configured topic. The roster may lack partitions of this topic."""
    missing = inputs.roster.missing
    if not missing:
        return None
    return Hold(
        Reason.TOPIC_MISSING,
        detail=f"Kafka does not list {', '.join(missing)}: correct the clock's topics, create the topic, or grant the "
        "permission Describe",
    )


def partition_unreported(inputs: HoldInputs) -> Hold | None:
    """Return a hold if a partition is unknown, or if all partitions are excluded.

    In both cases the clock has no minimum. An unknown partition does not count as a partition at time 0.
    """
    if inputs.roster.required_count() == 0:
        return Hold(Reason.PARTITION_UNREPORTED, detail=_ALL_EXCLUDED)
    if inputs.lowest_ms is None and inputs.observed:
        return Hold(Reason.PARTITION_UNREPORTED, detail=_NOT_OBSERVED)
    if inputs.lowest_ms is None:
        return Hold(
            Reason.PARTITION_UNREPORTED,
            detail=_NOT_REPORTED.format(_HEARTBEATS_ON if inputs.heartbeats else _HEARTBEATS_OFF),
        )
    return None


def upstream_behind(inputs: HoldInputs) -> Hold | None:
    """Return a hold if an upstream clock has not committed the next boundary, or if this is not known.

    The observer reports no partition at a boundary before that. This is a second guard.
    """
    upstream_ms = inputs.upstream_boundary_ms
    if upstream_ms is None or upstream_ms > (inputs.state.last_tick_ms or 0):
        return None
    return Hold(Reason.UPSTREAM_BEHIND, detail="no tick of all upstream clocks is known for the next boundary")


def too_far_back(inputs: HoldInputs) -> Hold | None:
    """Return a hold if the first tick of the clock would be further in the past than `max_past`.

    A first tick can't be taken back, and all boundaries after it would follow. A clock that has ticks, or that
    `clocksvc init` has begun, never holds for this reason.
    """
    if inputs.state.last_tick_ms is not None or inputs.now_ms - inputs.due_upto_ms <= inputs.max_past_ms:
        return None
    return Hold(
        Reason.TOO_FAR_BACK,
        detail=f"the first tick would be {to_rfc3339(inputs.due_upto_ms)}, "
        f"{describe_duration(inputs.now_ms - inputs.due_upto_ms)} in the past, but max_past is "
        f"{describe_duration(inputs.max_past_ms)}",
    )


def partition_behind(inputs: HoldInputs) -> Hold | None:
    """Return a hold if the slowest partition has not reached the next boundary."""
    if inputs.watermark_boundary_ms > (inputs.state.last_tick_ms or 0):
        return None
    return Hold(Reason.PARTITION_BEHIND, detail="the slowest partition has not reached the next boundary")


def ahead_of_time(inputs: HoldInputs) -> Hold | None:
    """Return a hold if the partitions have passed the next boundary, but the system time of leader or store has not."""
    if inputs.wall_clock_boundary_ms > (inputs.state.last_tick_ms or 0):
        return None
    return Hold(
        Reason.AHEAD_OF_TIME,
        detail="the partitions have reached the boundary, but the leader's or the store's own clock has not: check the "
        "time (NTP) of the producers, of the leader's machine and of Redis's machine",
    )


def announcements_incomplete(inputs: HoldInputs) -> Hold | None:
    """Return a hold if the store has lost the announcements of replicas.

    A replica with another configuration may not have announced itself again yet.
    """
    if inputs.all_replicas_announced:
        return None
    return Hold(
        Reason.CONFIG_CONFLICT,
        detail="the store lost the announcements of replicas; waiting until each live replica has announced its "
        "configuration again",
        transient=True,
    )


RULES: tuple[Callable[[HoldInputs], Hold | None], ...] = (
    paused,
    config_conflict,
    topic_undescribed,
    topic_without_id,
    topic_missing,
    partition_unreported,
    upstream_behind,
    too_far_back,
    partition_behind,
    ahead_of_time,
    announcements_incomplete,
)


def evaluate(inputs: HoldInputs) -> Hold | None:
    """Return the hold of the first rule that applies; None if a tick can be emitted."""
    return next((found for rule in RULES if (found := rule(inputs)) is not None), None)


class Status(StrEnum):
    """The statuses of a clock."""

    STARTING = "starting"
    RUNNING = "running"
    CATCHING_UP = "catching_up"
    HOLDING = "holding"
    PAUSED = "paused"
    REBUILDING = "rebuilding"


def status(
    spec: ClockSpec,
    out_of_orderness_ms: int,
    last_tick_ms: int | None,
    hold: Hold | None,
    now_ms: int,
    *,
    quiet_ms: int,
    rebuilding: bool = False,
) -> Status:
    """Return a clock's status.

    Args:
        spec: the clock's configuration.
        out_of_orderness_ms: the time that is subtracted from each partition's timestamp. A clock that is behind by as
            much as this is on time.
        last_tick_ms: the global clock; None before the first tick.
        hold: the hold, if it is visible.
        now_ms: wall time; for a clock with upstream clocks, the time that all of them have ticked, if it is known. A
            clock that is as far as its upstream clocks is on time, also if they catch up.
        quiet_ms: the time since the last tick was emitted; before the first tick, since the first leader started.
        rebuilding: True while this replica can't trust the store's stream of ticks and shows its last tick.
    """
    if rebuilding:
        return Status.REBUILDING
    if hold is not None and hold.reason is Reason.PAUSED:
        return Status.PAUSED
    if last_tick_ms is None and quiet_ms < spec.effective_hold_after_ms and _waits_for_first_report(hold):
        return Status.STARTING
    if hold is not None:
        return Status.HOLDING
    if last_tick_ms is None:
        return Status.STARTING
    late = now_ms - last_tick_ms > on_time_ms(spec, out_of_orderness_ms)
    return Status.CATCHING_UP if late else Status.RUNNING


def on_time_ms(spec: ClockSpec, out_of_orderness_ms: int) -> int:
    """Return how far the last tick may be in the past, in ms, before the clock catches up instead of being on time."""
    drained_ms = spec.drain_delay_ms if spec.source is Source.COMMITTED and not spec.after else 0
    return 2 * spec.interval_ms + out_of_orderness_ms + drained_ms + spec.effective_hold_after_ms


_BEFORE_FIRST_REPORT = (Reason.PARTITION_UNREPORTED, Reason.UPSTREAM_BEHIND, Reason.NO_LEADER)


def _waits_for_first_report(hold: Hold | None) -> bool:
    return hold is None or hold.reason in _BEFORE_FIRST_REPORT
