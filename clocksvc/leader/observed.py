"""Clocks that follow committed offsets: the limit of their upstream clocks, and holds with what was observed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clocksvc.clock import boundary
from clocksvc.clock.holds import Hold, HoldInputs, Reason
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.spec import ClockSpec, upstream_name
from clocksvc.clock.tick import partition_from_wire
from clocksvc.clock.time_format import describe_duration, time_to_wire, to_rfc3339
from clocksvc.clock.upstream_hold import chain, cut_upstream
from clocksvc.interfaces.observations import Observation, UpstreamObservation, silent_after_ms
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.leader.term import ClockTerm

_MAX_QUOTED = 500
_NOTHING_OBSERVED = (
    "no committed offsets were read yet: the observer of the leader's replica begins with its next poll. If this "
    "lasts, the log of this process has the cause"
)
_WAITS_FOR: Mapping[str, str] = {
    "not_observed": "not read yet",
    "no_answer": "no answer of Kafka (check the leaders of the partitions and the coordinator of the group)",
    "recreated": "the topic was deleted and created again, and the group's offsets don't count yet (its owner "
    "restarts the consumers, or the group processes a record 5 minutes later)",
    "above_end": "the committed offset is above the end of the partition, so it belongs to a former topic, or Kafka "
    "has lost records (the group's owner restarts the consumers, or it processes a record 5 minutes later)",
    "nothing_committed": "the group {group!r} has committed nothing for partitions with records (check that its "
    "consumers run and commit. With auto.offset.reset=latest, a consumer commits nothing before the next record)",
    "leader_unconfirmed": "its end does not count yet: the observer has started, or the partition's leader in Kafka "
    "has changed, less than drain_delay ago",
    "not_processed": "the group {group!r} has not committed all records up to the boundary (check its lag)",
    "open_transaction": "a transaction of a producer is open, and consumers can't read further (find it with "
    "kafka-transactions.sh)",
    "too_far_ahead": "the newest processed record has a timestamp that is further ahead than max_future (check the "
    "clocks of the producers)",
    "no_timestamp": "the newest processed record has no timestamp (producers must set one)",
}
"""What a partition waits for, and what to check, by `PartitionObservation.waits_for`."""


def with_upstream(clock: ClockTerm, inputs: HoldInputs) -> HoldInputs:
    """Return inputs with the limit and the exclusions of the upstream clocks.

    Call it after the minimum was read: the observer writes an observation before it reports progress that depends on
    it, so the exclusions of all boundaries that the minimum has reached are in it.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    observation = _observation(clock)
    if observation is None:
        return replace(inputs, upstream_ms=0)
    return replace(inputs, upstream_ms=observation.upstream_ms or 0, upstream_excluded=observation.excluded)


def name_observed(clock: ClockTerm, inputs: HoldInputs, hold: Hold, lagging: Sequence[PartitionClock]) -> Hold:
    """Return the hold of a clock that follows committed offsets, with its partitions and what they wait for.

    Args:
        hold: a hold because of partitions or of an upstream clock.
        lagging: the partitions that hold the clock.
    """
    if hold.reason is Reason.PARTITION_UNREPORTED and not lagging:
        return hold  # all partitions are excluded, or were reported after the minimum was read
    spec, observation = clock.spec, _observation(clock)
    named = tuple(line.partition for line in lagging)
    # Without a present observation, it is not known how far upstream clocks are: they must not be blamed.
    reason = Reason.PARTITION_BEHIND if hold.reason is Reason.UPSTREAM_BEHIND else hold.reason
    if observation is None:
        return Hold(reason, named, f"{hold.detail}; {_NOTHING_OBSERVED}")
    age_ms = inputs.leader_now_ms - observation.at_ms
    if age_ms > silent_after_ms(spec.poll_ms):
        silent = (
            f"committed offsets were last read {describe_duration(age_ms)} ago: the observer of the leader's replica "
            "has stopped, or waits for Kafka, and the log of this process has the cause"
        )
        return Hold(reason, named, f"{hold.detail}; {silent}")
    if hold.reason is Reason.UPSTREAM_BEHIND or _waits_for_upstream(spec, inputs, hold, observation):
        return _upstream_hold(inputs, observation)
    detail = f"{hold.detail}; {observation.problem}" if observation.problem else hold.detail
    return replace(hold, partitions=named, detail=detail + _describe_partitions(spec, lagging))


def _observation(clock: ClockTerm) -> Observation | None:
    """Return the observation of the clock; None if there is none with the clock's upstream clocks.

    After a change of these, the observer of a process that is suspended or stuck can still write.
    """
    found = clock.store.observation()
    if found is None or {(one.clock, one.url) for one in found.upstreams} != {
        (one.clock, one.url) for one in clock.spec.after
    }:
        return None
    return found


def _next_ms(inputs: HoldInputs) -> int:
    return boundary.next_boundary(inputs.state.last_tick_ms or 0, inputs.interval_ms)


def _waits_for_upstream(spec: ClockSpec, inputs: HoldInputs, hold: Hold, observation: Observation) -> bool:
    """True if the upstream clocks are the cause of a hold because of partitions.

    A partition can also be unknown because the store has lost it. Then it is reported at the last tick of the upstream
    clocks, also if they have not reached the next boundary.
    """
    if not spec.after or observation.upstream_ms is None:
        return bool(spec.after)
    return hold.reason is Reason.PARTITION_BEHIND and observation.upstream_ms < _next_ms(inputs)


def _upstream_hold(inputs: HoldInputs, observation: Observation) -> Hold:
    """Return the hold of a clock that waits for an upstream clock: the one that is furthest behind."""
    last_tick_ms = inputs.state.last_tick_ms
    next_ms = 0 if last_tick_ms is None else _next_ms(inputs)
    behind = [one for one in observation.upstreams if one.last_tick_ms is None or one.last_tick_ms < next_ms]
    if not behind:
        return Hold(Reason.UPSTREAM_BEHIND, detail="the last ticks of the upstream clocks are not known yet")
    slowest = min(behind, key=lambda one: -1 if one.last_tick_ms is None else one.last_tick_ms)
    wanted = "its first tick" if last_tick_ms is None else to_rfc3339(next_ms)
    upstream = cut_upstream(_upstream_to_wire(slowest))
    detail = f"the upstream clock {upstream_name(slowest.clock, slowest.url)} has not reached {wanted}"
    if slowest.problem:
        detail += f": {slowest.problem}"
    elif slowest.last_tick_ms is not None:
        detail += f": its last tick is {to_rfc3339(slowest.last_tick_ms)}"
    return Hold(Reason.UPSTREAM_BEHIND, detail=detail + _describe_cause(upstream), upstream=upstream)


def _upstream_to_wire(upstream: UpstreamObservation) -> dict[str, Any]:
    return {
        "clock": upstream.clock,
        "url": upstream.url,
        "time": time_to_wire(upstream.last_tick_ms),
        "status": upstream.status or None,
        "hold": upstream.hold,
    }


def _describe_cause(upstream: Mapping[str, Any] | None) -> str:
    """Return a text about the hold of the last clock in a chain of upstream clocks; "" if none of them holds."""
    held = [stage for stage in chain(upstream) if stage["hold"] is not None]
    if not held:
        return ""
    stage = held[-1]
    hold, name = stage["hold"], upstream_name(stage["clock"], stage["url"])
    partitions = name_first([partition_from_wire(one) for one in hold["partitions"]])
    named = f" ({partitions})" if partitions else ""
    return f"; clock {name} holds: {hold['reason']}{named}: {hold['detail'][:_MAX_QUOTED]}"


def _describe_partitions(spec: ClockSpec, lagging: Sequence[PartitionClock]) -> str:
    """Return a text about what partitions wait for."""
    waiting: dict[str, list[Partition]] = {}
    for line in lagging:
        reason = "not_observed" if line.observed is None else line.observed.waits_for
        if reason:
            waiting.setdefault(reason, []).append(line.partition)
    texts = (
        f"{_WAITS_FOR.get(reason, reason).format(group=spec.group)}: {name_first(partitions)}"
        for reason, partitions in waiting.items()
    )
    return "".join(f"; {text}" for text in texts)
