"""The public state of a clock, with its JSON encoder and decoder.

`ClockView` creates the state. The HTTP service encodes it, metrics read it, `clocksvc status` and the demo decode it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from clocksvc.clock.holds import Hold, Status
from clocksvc.clock.overrides import Exclusion, Pause, overrides_from_wire, overrides_to_wire
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.tick import Tick, partition_from_wire, partition_to_wire
from clocksvc.clock.time_format import time_from_wire, time_to_wire, to_rfc3339
from clocksvc.clock.upstream_hold import last_of_chain
from clocksvc.interfaces.observations import PartitionObservation, UpstreamObservation
from clocksvc.service.heartbeats import OUTCOMES
from clocksvc.service.schedules_state import SchedulesState, schedules_from_wire, schedules_to_wire

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class PublicPartition:
    """One partition of a clock. Times are milliseconds; None if unknown.

    Attributes:
        clock_ms: the partition clock, which is `reported_timestamp_ms` minus the clock's out-of-orderness.
        behind_ms: how far the partition clock is behind the replica's wall clock.
        reported_at_ms: when the partition was last reported, by the store's clock.
        reported_timestamp_ms: the highest reported record timestamp.
        rejected: why the newest report was rejected; None if it was accepted. A str if a newer service sent an outcome
            that this version does not know.
        observed: what the observer of committed offsets knows of it; None for a clock with source `reports`, and while
            it knows nothing.
    """

    partition: Partition
    clock_ms: int | None
    behind_ms: int | None
    reported_at_ms: int | None
    reported_timestamp_ms: int | None
    excluded: bool
    rejected: Outcome | str | None
    observed: PartitionObservation | None = None


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """The numbers of a clock's partitions. `rejected` are those whose newest report was rejected."""

    known: int
    unknown: int
    excluded: int
    rejected: int


@dataclass(frozen=True, slots=True)
class HeartbeatState:
    """The heartbeats of a clock.

    Attributes:
        every_ms: the configured interval; None if heartbeats are off.
        last_success_ms: when a round last reached every partition; None if there was no such round, or if unknown.
        counts: the counts by outcome (`OUTCOMES`); None while the store does not answer.
    """

    every_ms: int | None
    last_success_ms: int | None
    counts: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class ObserverState:
    """What the observer of a clock's committed offsets found in its last poll.

    Attributes:
        at_ms: when the poll ended, by the observer's wall clock.
        problem: why the group's offsets are not known; "" if they are.
        waiting: the number of partitions that have not passed the next boundary, for each reason
            (`committed.rules.WaitsFor`).
        skipped_records: how many offsets the group has skipped since the observer started.
        committed_partitions: in how many partitions the group has a committed offset; None if that is not known.
    """

    at_ms: int
    problem: str
    waiting: Mapping[str, int]
    skipped_records: int
    committed_partitions: int | None = None


@dataclass(frozen=True, slots=True)
class PublicState:
    """A clock's state as one replica publishes it. Times and durations are milliseconds; None if unknown.

    Attributes:
        last_tick: the last tick, whose time is the global clock; None before the first tick.
        behind_ms: how far the global clock is behind the replica's wall clock.
        status: the clock's status; a str if a newer service sent a status that this version does not know.
        hold_since_ms: when the last tick was emitted; before the first tick, when the first leader started. It is set
            even if `hold` is None.
        partitions: None while the store does not answer.
        exclusions, pause: the operator overrides; () and None while the store does not answer.
        slowest: the lowest partition clocks, unknown ones first, at most 10.
        due_ticks: how many ticks are due and not emitted yet, as the leader last published it.
        leader: the name of the leader; None without a leader, or while the store does not answer.
        schedules: None if the clock has no schedules.
        source: where its progress comes from: `reports` or `committed`.
        after: its upstream clocks, in the order of the configuration, as its observer last read them.
        observer: None for a clock with source `reports`, before the first poll, and while the store does not answer.
    """

    clock: str
    last_tick: Tick | None
    interval_ms: int
    hold_after_ms: int
    max_out_of_orderness_ms: int | None
    behind_ms: int | None
    status: Status | str
    hold: Hold | None
    hold_since_ms: int | None
    partitions: PartitionCounts | None
    exclusions: tuple[Exclusion, ...]
    pause: Pause | None
    slowest: tuple[PublicPartition, ...]
    leader: str | None
    topics: tuple[str, ...]
    group: str
    heartbeats: HeartbeatState
    due_ticks: int | None = None
    schedules: SchedulesState | None = None
    source: str = "reports"
    after: tuple[UpstreamObservation, ...] = ()
    observer: ObserverState | None = None


def state_to_wire(state: PublicState) -> dict[str, Any]:
    """Return the JSON of `GET /v1/clocks/{clock}`."""
    last, hold = state.last_tick, state.hold
    return {
        "clock": state.clock,
        "time": None if last is None else to_rfc3339(last.at_ms),
        "timestamp_seconds": None if last is None else last.at_ms // 1000,
        "interval_seconds": state.interval_ms // 1000,
        "hold_after_seconds": state.hold_after_ms / 1000,
        "max_out_of_orderness_seconds": _seconds(state.max_out_of_orderness_ms),
        "behind_seconds": _seconds(state.behind_ms),
        "due_ticks": state.due_ticks,
        "status": str(state.status),
        "hold": None if hold is None else hold.to_wire() | {"since": time_to_wire(state.hold_since_ms)},
        "partitions": _counts_to_wire(state.partitions),
        **overrides_to_wire(state.exclusions, state.pause),
        "slowest": [public_partition_to_wire(partition) for partition in state.slowest],
        "leader": state.leader,
        "topics": list(state.topics),
        "group": state.group,
        "source": state.source,
        "after": [upstream_to_wire(upstream) for upstream in state.after],
        "observer": None if state.observer is None else _observer_to_wire(state.observer),
        "heartbeats": {
            "every_seconds": _seconds(state.heartbeats.every_ms),
            "last_success_at": time_to_wire(state.heartbeats.last_success_ms),
            **{outcome: (state.heartbeats.counts or {}).get(outcome) for outcome in OUTCOMES},
        },
        "schedules": None if state.schedules is None else schedules_to_wire(state.schedules),
        "last_tick": None if last is None else last.to_wire(),
    }


def brief_state_to_wire(state: PublicState) -> dict[str, Any]:
    """Return the JSON of a clock in the list `GET /v1/clocks?view=brief`. A list of a few clocks needs no more."""
    hold, last = state.hold, state.last_tick
    return {
        "clock": state.clock,
        "time": None if last is None else to_rfc3339(last.at_ms),
        "timestamp_seconds": None if last is None else last.at_ms // 1000,
        "interval_seconds": state.interval_ms // 1000,
        "behind_seconds": _seconds(state.behind_ms),
        "due_ticks": state.due_ticks,
        "status": str(state.status),
        "hold": None
        if hold is None
        else {
            "reason": str(hold.reason),
            "since": time_to_wire(state.hold_since_ms),
            "partitions": [partition_to_wire(partition) for partition in hold.partitions[:1]],
            "partition_count": len(hold.partitions),
            "upstream": None if hold.upstream is None else _name_to_wire(last_of_chain(hold.upstream)),
        },
        "partitions": _counts_to_wire(state.partitions),
        "source": state.source,
        "after": [{"clock": upstream.clock, "url": upstream.url} for upstream in state.after],
        "schedules": None if state.schedules is None else schedules_to_wire(replace(state.schedules, problems=())),
    }


def state_from_wire(wire: Mapping[str, Any]) -> PublicState:
    """The reverse of `state_to_wire`; unknown fields are ignored. `hold_since_ms` is None without a hold.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: not a clock's state.
    """
    hold, counts, heartbeats, last_tick = wire["hold"], wire["partitions"], wire["heartbeats"], wire["last_tick"]
    exclusions, pause = overrides_from_wire(wire)
    return PublicState(
        clock=wire["clock"],
        last_tick=None if last_tick is None else Tick.from_wire(last_tick),
        interval_ms=int(wire["interval_seconds"]) * 1000,
        hold_after_ms=round(wire["hold_after_seconds"] * 1000),
        max_out_of_orderness_ms=_from_seconds(wire["max_out_of_orderness_seconds"]),
        behind_ms=_from_seconds(wire["behind_seconds"]),
        status=_member(Status, wire["status"]) or wire["status"],
        hold=None if hold is None else Hold.from_wire(hold),
        hold_since_ms=None if hold is None else time_from_wire("since", hold["since"]),
        partitions=None
        if counts["known"] is None
        else PartitionCounts(counts["known"], counts["unknown"], counts["excluded"], counts["rejected"]),
        exclusions=exclusions,
        pause=pause,
        slowest=tuple(public_partition_from_wire(partition) for partition in wire["slowest"]),
        leader=wire["leader"],
        topics=tuple(wire["topics"]),
        group=wire["group"],
        heartbeats=HeartbeatState(
            every_ms=_from_seconds(heartbeats["every_seconds"]),
            last_success_ms=time_from_wire("last_success_at", heartbeats["last_success_at"]),
            counts=None
            if heartbeats[OUTCOMES[0]] is None
            else {outcome: int(heartbeats[outcome]) for outcome in OUTCOMES},
        ),
        due_ticks=wire["due_ticks"],
        schedules=None if wire["schedules"] is None else schedules_from_wire(wire["schedules"]),
        source=wire["source"],
        after=tuple(upstream_from_wire(upstream) for upstream in wire["after"]),
        observer=None if wire["observer"] is None else _observer_from_wire(wire["observer"]),
    )


def upstream_to_wire(upstream: UpstreamObservation) -> dict[str, Any]:
    """Return the JSON of one item of `after`."""
    last_ms = upstream.last_tick_ms
    return {
        "clock": upstream.clock,
        "url": upstream.url,
        "time": time_to_wire(last_ms),
        "timestamp_seconds": None if last_ms is None else last_ms // 1000,
        "status": upstream.status or None,
        "hold": upstream.hold,
        "problem": upstream.problem,
    }


def upstream_from_wire(wire: Mapping[str, Any]) -> UpstreamObservation:
    """The reverse of `upstream_to_wire`; unknown fields are ignored.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: not an upstream clock.
    """
    return UpstreamObservation(
        clock=wire["clock"],
        url=wire["url"],
        last_tick_ms=time_from_wire("time", wire["time"]),
        status=wire["status"] or "",
        hold=wire["hold"],
        problem=wire["problem"],
    )


def public_partition_to_wire(partition: PublicPartition) -> dict[str, Any]:
    """Return the JSON of one item of `GET /v1/clocks/{clock}/partitions`, and of `slowest`."""
    return partition_to_wire(partition.partition) | {
        "time": time_to_wire(partition.clock_ms),
        "timestamp_ms": partition.clock_ms,
        "behind_seconds": _seconds(partition.behind_ms),
        "reported_at": time_to_wire(partition.reported_at_ms),
        "reported_timestamp_ms": partition.reported_timestamp_ms,
        "excluded": partition.excluded,
        "refused": None if partition.rejected is None else str(partition.rejected),
        "committed_offset": None if partition.observed is None else partition.observed.committed,
        "end_offset": None if partition.observed is None else partition.observed.end,
        "waits_for": None if partition.observed is None else partition.observed.waits_for,
    }


def public_partition_from_wire(wire: Mapping[str, Any]) -> PublicPartition:
    """The reverse of `public_partition_to_wire`; unknown fields are ignored.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: not a partition clock.
    """
    return PublicPartition(
        partition=partition_from_wire(wire),
        clock_ms=wire["timestamp_ms"],
        behind_ms=_from_seconds(wire["behind_seconds"]),
        reported_at_ms=time_from_wire("reported_at", wire["reported_at"]),
        reported_timestamp_ms=wire["reported_timestamp_ms"],
        excluded=wire["excluded"],
        rejected=_member(Outcome, wire["refused"]),
        observed=None
        if wire["waits_for"] is None
        else PartitionObservation(wire["committed_offset"], wire["end_offset"], wire["waits_for"]),
    )


def _name_to_wire(stage: Mapping[str, Any]) -> dict[str, str]:
    return {"clock": stage["clock"], "url": stage["url"]}


def _observer_to_wire(observer: ObserverState) -> dict[str, Any]:
    return {
        "observed_at": time_to_wire(observer.at_ms),
        "problem": observer.problem,
        "waiting": dict(observer.waiting),
        "skipped_records": observer.skipped_records,
        "committed_partitions": observer.committed_partitions,
    }


def _observer_from_wire(wire: Mapping[str, Any]) -> ObserverState:
    at_ms = time_from_wire("observed_at", wire["observed_at"])
    if at_ms is None:
        raise ValueError("observed_at is null")
    waiting, committed = dict(wire["waiting"]), wire["committed_partitions"]
    return ObserverState(at_ms, wire["problem"], waiting, int(wire["skipped_records"]), committed)


def _counts_to_wire(counts: PartitionCounts | None) -> dict[str, int | None]:
    return {
        "known": None if counts is None else counts.known,
        "unknown": None if counts is None else counts.unknown,
        "excluded": None if counts is None else counts.excluded,
        "rejected": None if counts is None else counts.rejected,
    }


def _member(kind: type[E], value: str | None) -> E | str | None:
    """Return the enum's member; if this version does not know the value, return the value."""
    return next((member for member in kind if member.value == value), value)


def _seconds(duration_ms: int | None) -> float | None:
    return None if duration_ms is None else duration_ms / 1000


def _from_seconds(value: float | None) -> int | None:
    return None if value is None else round(value * 1000)
