"""Evaluates clocks that follow committed offsets: the group's commits, `drain_delay`, upstream clocks. Does no I/O."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clocksvc.check.finding import MIN_SKEW_MS, Finding, format_duration, ok, problem, warning
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.spec import ClockSpec, Source, UpstreamSpec
from clocksvc.interfaces.committed_offsets import GroupOffsets, PartitionEnds

SESSION_TIMEOUT_MS = 9_000
REPLICA_LAG_MS = 30_000
"""Kafka's defaults of broker.session.timeout.ms and replica.lag.time.max.ms, for brokers that do not list them."""
CONTROLLER_FAILOVER_MS = 3_000
"""How long it takes until another controller is active: then each broker's session begins again. Measured: 2 s."""
_SECOND_MS = 1_000


@dataclass(slots=True)
class CommitSample:
    """The commits of a clock's group during some seconds.

    Attributes:
        partitions: all partitions of the clock's topics.
        first, last: the group's offsets at the beginning and at the end; None if its coordinator did not answer.
        first_ends, last_ends: the ends of partitions, likewise. Partitions whose leader did not answer are absent.
        moves: how many times the offset of each partition was seen to change.
        window_s: how long the group was observed.
    """

    partitions: Collection[Partition]
    first: GroupOffsets | None = None
    last: GroupOffsets | None = None
    first_ends: Mapping[Partition, PartitionEnds] = field(default_factory=dict)
    last_ends: Mapping[Partition, PartitionEnds] = field(default_factory=dict)
    moves: dict[Partition, int] = field(default_factory=dict)
    window_s: float = 0.0

    @property
    def commits(self) -> int:
        """How many times the group has committed: on the partition that moved least often, of those that moved."""
        return min(self.moves.values(), default=0)

    def note_commits(self, before: GroupOffsets | None) -> None:
        """Count the partitions whose offset has changed since an answer."""
        if before is not None and self.last is not None:
            for partition, offset in self.last.offsets.items():
                if before.offsets.get(partition, offset) != offset:
                    self.moves[partition] = self.moves.get(partition, 0) + 1

    def waiting(self) -> list[Partition]:
        """Return the partitions that had records to process during the whole sample, and whose offset did not move."""
        if self.first is None or self.last is None:
            return []
        before, after = self.first.offsets, self.last.offsets
        return sorted(
            partition
            for partition, ends in self.first_ends.items()
            if partition in before
            and before[partition] == after.get(partition)
            and max(before[partition], ends.low) < ends.high
        )


@dataclass(frozen=True, slots=True)
class Stalls:
    """For how long an appended record of a clock's topics can stay above the high watermark.

    Attributes:
        replicated: True if partitions have several replicas.
        session_ms, lag_ms: the brokers' settings broker.session.timeout.ms and replica.lag.time.max.ms.
    """

    replicated: bool
    session_ms: int = SESSION_TIMEOUT_MS
    lag_ms: int = REPLICA_LAG_MS

    @property
    def is_short(self) -> bool:
        """True if a suspended broker is replaced sooner than the observer assumes."""
        return self.replicated and self.session_ms < SESSION_TIMEOUT_MS


def evaluate_processing(specs: Iterable[ClockSpec]) -> list[Finding]:
    """Return one finding with what no check can find out about groups."""
    groups = list(dict.fromkeys(spec.group for spec in specs if spec.source is Source.COMMITTED))
    if not groups:
        return []
    text = (
        f"ticks are right if {name_first(groups)} commit after processing. Kafka does not show this: with "
        "enable.auto.commit, some clients commit records that are still in work (docs/committed-offsets.md lists them)"
    )
    return [ok("committed offsets", text)]


def evaluate_commits(spec: ClockSpec, sample: CommitSample) -> list[Finding]:
    """Test whether the group has committed on each partition with records, and often enough."""
    part = f"group {spec.group}"
    if sample.last is None:
        text = "the coordinator of its offsets does not answer, so the clock waits"
        return [warning(part, text, "check the brokers with the partitions of __consumer_offsets", spec.name)]
    if sample.last.problem:
        to_do = "allow this user Describe on the group, or correct the clock's group"
        return [problem(part, sample.last.problem, to_do, spec.name)]
    return [*_missing(spec, part, sample), *_above(spec, part, sample), *_frequency(spec, part, sample)]


def evaluate_drain_delay(spec: ClockSpec, stalls: Stalls, behind_ms: int | None) -> list[Finding]:
    """Test whether `drain_delay` covers the difference of clocks, and the time that records can be invisible.

    Args:
        behind_ms: how far the brokers' clock is behind the leader's; negative if it is ahead; None if not known.
    """
    if spec.after:
        return []
    part, delay_ms, name = f"clock {spec.name}", spec.drain_delay_ms, f"clocks.{spec.name}.drain_delay"
    skew_ms = max(0, behind_ms or 0)
    text = f"drain_delay is {format_duration(delay_ms)}"
    if skew_ms >= MIN_SKEW_MS:
        text += f", and the brokers' clock is {skew_ms / _SECOND_MS:.1f} s behind the leader's"
        if skew_ms >= delay_ms:
            to_do = f"synchronize the clocks with NTP, or set {name} to {_rounded_up(skew_ms)} or more"
            return [problem(part, f"{text}: ticks of quiet partitions can be early", to_do, spec.name)]
    stopped_ms = stalls.session_ms + CONTROLLER_FAILOVER_MS
    stopped, slow = format_duration(stopped_ms), format_duration(stalls.lag_ms)
    if not stalls.replicated:
        if delay_ms >= MIN_SKEW_MS:
            return [ok(part, f"{text}: enough for topics with one replica if all clocks are synchronized", spec.name)]
        to_do = f"set {name} to 1s or more"
        return [warning(part, f"{text}: it must cover the difference between all clocks", to_do, spec.name)]
    if delay_ms < skew_ms + stopped_ms:
        text += (
            f". While a follower is stopped that is also the active controller, appended records can be invisible for "
            f"{stopped} (broker.session.timeout.ms and the controller's failover): ticks of quiet partitions can be "
            "early then"
        )
        to_do = f"set {name} to {_rounded_up(skew_ms + stopped_ms)} or more"
        return [warning(part, text, to_do, spec.name)]
    if delay_ms < skew_ms + stalls.lag_ms:
        text += (
            f": enough while a follower is stopped ({stopped}), but not while one is slow ({slow}, "
            f"replica.lag.time.max.ms); {_rounded_up(skew_ms + stalls.lag_ms)} would cover this, too"
        )
        return [ok(part, text, spec.name)]
    return [ok(part, f"{text}: enough while a follower is stopped ({stopped}) or slow ({slow})", spec.name)]


def evaluate_sessions(specs: Iterable[ClockSpec], stalls: Mapping[str, Stalls]) -> list[Finding]:
    """Test whether a suspended broker keeps its partitions for long enough. One finding for all clocks.

    The observer relies on it: a broker that has answered a short time ago is still the leader.
    """
    short = [spec for spec in specs if spec.name in stalls and stalls[spec.name].is_short]
    if not short:
        return []
    text = (
        f"broker.session.timeout.ms is {format_duration(stalls[short[0].name].session_ms)}: a suspended broker can be "
        "replaced so soon that an old answer of it counts, and ticks of quiet partitions can be early"
    )
    to_do = f"set it to Kafka's default, {format_duration(SESSION_TIMEOUT_MS)}, or more"
    return [warning("committed offsets", text, to_do)]


def evaluate_upstream(spec: ClockSpec, upstream: UpstreamSpec, clock: Mapping[str, Any] | str) -> Finding:
    """Evaluate an upstream clock of another service.

    Args:
        clock: the answer of `GET /v1/clocks/{clock}`, or why there is none.
    """
    part = f"clock {spec.name}"
    if isinstance(clock, str):
        to_do = f"correct url, token_file (scope read) or clock in clocks.{spec.name}.after; until then the clock holds"
        return problem(part, f"its upstream clock {upstream} can't be read: {clock}", to_do, spec.name)
    interval_ms = round(float(clock["interval_seconds"]) * _SECOND_MS)
    if spec.interval_ms % interval_ms:
        text = (
            f"its interval {format_duration(spec.interval_ms)} is no multiple of {format_duration(interval_ms)}, that "
            f"of its upstream clock {upstream}, so a tick waits for a later one there"
        )
        return warning(part, text, f"change clocks.{spec.name}.interval", spec.name)
    if clock["time"] is None:
        text = f"its upstream clock {upstream} has no tick yet ({clock['status']}), so this clock waits"
        return warning(part, text, "see that service's status", spec.name)
    return ok(part, f"its upstream clock {upstream} is {clock['status']}, last tick {clock['time']}", spec.name)


def evaluate_writers(spec: ClockSpec) -> list[Finding]:
    """Return the conditions of a clock with `after`, which no check can test."""
    if not spec.after:
        return []
    upstreams = name_first(spec.after)
    text = (
        f"ticks are right if only the groups of {upstreams} write to {name_first(spec.topics)}, with acks=all before "
        "they commit their input (or in one Kafka transaction), and emit nothing later, as windows and timers do "
        "(docs/pipelines.md#conditions); MirrorMaker is not covered"
    )
    return [ok(f"clock {spec.name}", text, spec.name)]


def _missing(spec: ClockSpec, part: str, sample: CommitSample) -> list[Finding]:
    offsets = {} if sample.last is None else sample.last.offsets
    filled = sorted(partition for partition, ends in sample.last_ends.items() if ends.low < ends.high)
    without = [partition for partition in filled if partition not in offsets]
    if not filled:
        return [ok(part, "no partition has records, so it needs no committed offsets yet", spec.name)]
    if not without:
        return [ok(part, f"has committed offsets for each of {len(filled)} partitions with records", spec.name)]
    text = (
        f"has committed nothing for {len(without)} of {len(filled)} partitions with records, so the clock waits: "
        f"{name_first(without)}"
    )
    to_do = (
        f"start its consumers, or correct clocks.{spec.name}.group. With auto.offset.reset=latest, a new group commits "
        "only after its first record there"
    )
    return [(problem if len(without) == len(filled) else warning)(part, text, to_do, spec.name)]


def _above(spec: ClockSpec, part: str, sample: CommitSample) -> list[Finding]:
    offsets = {} if sample.first is None else sample.first.offsets
    ends = sample.last_ends
    above = sorted(one for one, offset in offsets.items() if one in ends and offset > ends[one].high)
    if not above:
        return []
    text = f"has committed offsets above the end, as after a topic was deleted and created again: {name_first(above)}"
    to_do = "its owner restarts the consumers, so that they commit in the new topic; until then these partitions wait"
    return [warning(part, text, to_do, spec.name)]


def _frequency(spec: ClockSpec, part: str, sample: CommitSample) -> list[Finding]:
    window = f"{sample.window_s:.0f} s"
    if sample.commits:
        period_ms = round(sample.window_s * _SECOND_MS / sample.commits)
        text = f"has committed {sample.commits} times within {window}"
        if spec.interval_ms >= period_ms + spec.poll_ms:
            return [ok(part, text, spec.name)]
        text += f", and is read every {format_duration(spec.poll_ms)} (poll)"
        text += f": several ticks of {format_duration(spec.interval_ms)} come at the same time"
        to_do = (
            f"raise clocks.{spec.name}.interval, or let the group commit more often and lower clocks.{spec.name}.poll"
        )
        return [warning(part, text, to_do, spec.name)]
    if waiting := sample.waiting():
        text = f"has committed nothing within {window}, although records wait in {name_first(waiting)}"
        to_do = "check whether its consumers run; if it commits less often, ticks come with its commits"
        return [warning(part, text, to_do, spec.name)]
    return [ok(part, f"had nothing to commit within {window}, so how often it commits is not known", spec.name)]


def _rounded_up(value_ms: int) -> str:
    """Return a duration with a second to spare."""
    return f"{-(-value_ms // _SECOND_MS) + 1}s"
