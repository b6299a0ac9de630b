"""Clocks that follow committed offsets: whose reports count, the limit of upstream clocks, and what a hold says."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.log_record import decode_message
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.spec import Source, UpstreamSpec
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.committed.rules import WaitsFor
from clocksvc.interfaces.observations import Observation, PartitionObservation, UpstreamObservation
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.topics import TimestampType
from clocksvc.leader import observed
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import minutes, pass_time, times

EVENTS_0, EVENTS_1 = Partition("events", 0), Partition("events", 1)
RAW_7 = Partition("raw", 7)
NOON = "2026-11-22T12:{:02d}:00Z"


def at(minute: int) -> int:
    """A minute after 12:00, in ms."""
    return parse_timestamp("time", NOON.format(minute))


def observed_clock(*after: UpstreamSpec, partitions: int = 1, now: str = "2026-11-22T12:30:00Z") -> FaultyClock:
    """A clock with `source: committed`, whose topics have CreateTime."""
    clock = FaultyClock(partitions=partitions, now=now, timestamp_type=TimestampType.CREATE_TIME)
    clock.spec = replace(clock.spec, source=Source.COMMITTED, after=after, max_out_of_orderness_ms=None)
    clock.leader = clock.new_leader("leader", clock.spec)
    return clock


def pipeline(partitions: int = 1) -> FaultyClock:
    """The same, after the clock `raw`."""
    return observed_clock(UpstreamSpec("raw"), partitions=partitions)


def observe(clock: FaultyClock, upstream: int | None, *excluded: Partition, **fields: Any) -> None:
    """What the observer writes when the clock `raw` has ticked a minute; None: it has not ticked."""
    upstream_ms = None if upstream is None else at(upstream)
    observation = Observation(
        clock.time.now_ms(),
        upstreams=(UpstreamObservation("raw", "", upstream_ms, "running"),),
        upstream_ms=upstream_ms,
        excluded=excluded,
    )
    clock.store.write_observation(replace(observation, **fields), {})


def hold(clock: FaultyClock) -> Hold | None:
    """The hold that the leader published last."""
    wire = json.loads(clock.store.snapshot().leader_status or "{}").get("hold")
    return None if wire is None else Hold.from_wire(wire)


def held(clock: FaultyClock) -> Hold:
    """The same; there is one."""
    found = hold(clock)
    assert found is not None
    return found


def held_by(raw: Mapping[str, Any] | None) -> Hold:
    """The hold of a pipeline whose upstream clock holds with this JSON."""
    clock = pipeline()
    observe(clock, 1)
    clock.report(0, NOON.format(1))
    pass_time(clock, 150, clock.leader)
    observe(clock, 1, upstreams=(UpstreamObservation("raw", "", at(1), "holding", raw),))
    pass_time(clock, 1, clock.leader)
    return held(clock)


# -- whose reports count ------------------------------------------------------------------------------------------


def test_a_reporter_of_the_group_does_not_count() -> None:
    """Only the observer reports with the name of the committed offsets. The hold says what to remove."""
    clock = observed_clock()
    clock.settle()
    timestamp = PartitionTimestamp(EVENTS_0, at(20))
    assert clock.store.report(Report("group", (timestamp,))).outcomes == (Outcome.FOREIGN_GROUP,)
    observe(clock, None, upstreams=())
    pass_time(clock, 1, clock.leader)

    assert held(clock).reason is Reason.PARTITION_UNREPORTED
    assert "remove their Reporter, or set source: reports" in held(clock).detail
    assert clock.store.report(Report("committed offsets of group", (timestamp,))).outcomes == (Outcome.ACCEPTED,)


@pytest.mark.parametrize("change", [{"source": Source.REPORTS}, {"after": (UpstreamSpec("raw"),)}])
def test_a_change_of_the_source_makes_all_partitions_unknown(change: dict[str, Any]) -> None:
    """Progress by another rule does not count. The tick log has the new name before the store."""
    clock = observed_clock()
    clock.report(0, NOON.format(20))
    ticked = times(clock)
    clock.leader.leave()
    clock.leader = clock.new_leader("next", replace(clock.spec, **change))
    pass_time(clock, 10, clock.leader)

    assert len(ticked) == 1
    assert clock.store.snapshot().unknown == 1
    spec = replace(clock.spec, **change)
    records = [decode_message(one.message) for one in clock.log.committed() if one.message.key == b"clock"]
    assert records[-1].state.group == spec.reporting_group


# -- upstream clocks ----------------------------------------------------------------------------------------------


def test_a_tick_waits_for_the_upstream_clocks() -> None:
    """However far the partitions are: a partition that was reported too far does not make a tick early."""
    clock = pipeline()
    clock.report(0, NOON.format(1))
    assert times(clock) == []
    observe(clock, 1)
    pass_time(clock, 1, clock.leader)
    assert times(clock) == minutes(1)

    clock.report(0, NOON.format(5))
    assert times(clock) == minutes(1)
    observe(clock, 3)
    pass_time(clock, 1, clock.leader)
    assert times(clock) == minutes(1, 2, 3)


def test_a_lost_observation_holds_the_tick() -> None:
    """It could contain partitions that upstream ticks excluded. Upstream clocks are not blamed."""
    clock = pipeline()
    observe(clock, 1)
    clock.report(0, NOON.format(1))
    content = clock.store_server.content.clock("clock")
    content.observation = None
    clock.report(0, NOON.format(2))
    pass_time(clock, 150, clock.leader)

    assert times(clock) == minutes(1)
    assert held(clock).reason is Reason.PARTITION_BEHIND
    assert "no committed offsets were read yet" in held(clock).detail


def test_timestamps_do_not_count_after_upstream_clocks() -> None:
    """CreateTime or not, the out-of-orderness is 0: else a partition that was reported at a boundary would seem to have
    passed a later one when the topic changes to LogAppendTime."""
    clock = pipeline()
    clock.settle()
    parameters = clock.store.snapshot().parameters

    assert parameters is not None
    assert parameters.out_of_orderness_ms == 0


def test_what_upstream_ticks_excluded_is_in_each_tick() -> None:
    """Beside what is excluded here. When the observer does not name it any more, it is in no tick."""
    clock = pipeline()
    observe(clock, 2, RAW_7)
    clock.report(0, NOON.format(1))
    clock.report(0, NOON.format(2))
    observe(clock, 3)
    clock.report(0, NOON.format(3))

    assert [tick.excluded for tick in clock.ticks()] == [(RAW_7,), (RAW_7,), ()]


# -- holds --------------------------------------------------------------------------------------------------------


def test_a_hold_names_the_stage_to_blame() -> None:
    """With the upstream clock's own hold, and in the detail the last one of the chain."""
    partitions = [{"topic": "orders", "partition": 3}]
    inner = {"reason": "partition_behind", "since": None, "partitions": partitions}
    inner |= {"detail": "the slowest partition has not reached the next boundary", "upstream": None}
    stage = {"clock": "orders", "url": "https://other", "time": NOON.format(1), "status": "holding", "hold": inner}
    raw: dict[str, Any] = {
        "reason": "upstream_behind",
        "since": None,
        "partitions": [],
        "detail": "…",
        "upstream": stage,
    }

    found = held_by(raw)

    assert (found.reason, found.partitions) == (Reason.UPSTREAM_BEHIND, ())
    assert found.upstream == {"clock": "raw", "url": "", "time": NOON.format(1), "status": "holding", "hold": raw}
    assert found.detail == (
        "the upstream clock raw has not reached 2026-11-22T12:02:00Z: its last tick is 2026-11-22T12:01:00Z; clock "
        "orders@https://other holds: partition_behind (orders:3): the slowest partition has not reached the next "
        "boundary"
    )


def test_an_upstream_clock_without_a_hold_is_named_too() -> None:
    """It is only slow."""
    found = held_by(None)

    assert found.upstream is not None
    assert found.upstream["hold"] is None
    assert found.detail.endswith("its last tick is 2026-11-22T12:01:00Z")


def test_an_upstream_clock_that_can_not_be_read_is_named_with_the_cause() -> None:
    """Its last tick is not known. With several upstream clocks it is the first to blame."""
    clock = observed_clock(UpstreamSpec("raw"), UpstreamSpec("bills", "https://other"))
    running = UpstreamObservation("raw", "", at(1), "running")
    unknown = UpstreamObservation("bills", "https://other", None, problem="no answer of https://other")
    observe(clock, None, upstreams=(running, unknown))
    pass_time(clock, 30, clock.leader)
    observe(clock, None, upstreams=(running, unknown))
    pass_time(clock, 1, clock.leader)

    found = held(clock)
    assert found.reason is Reason.UPSTREAM_BEHIND
    assert found.upstream is not None
    assert (found.upstream["clock"], found.upstream["time"], found.upstream["status"]) == ("bills", None, None)
    assert found.detail == (
        "the upstream clock bills@https://other has not reached its first tick: no answer of https://other"
    )


def test_a_slow_upstream_clock_is_no_hold_before_hold_after() -> None:
    """A healthy pipeline waits for its upstream clock most of the time."""
    clock = pipeline()
    observe(clock, 1)
    clock.report(0, NOON.format(1))
    pass_time(clock, 100, clock.leader)

    assert hold(clock) is None


def test_the_observation_of_a_process_with_other_upstream_clocks_does_not_count() -> None:
    """It does not know what the present ones excluded."""
    clock = pipeline()
    observe(clock, 1)
    clock.report(0, NOON.format(1))
    clock.report(0, NOON.format(3))
    observe(clock, 3, upstreams=(UpstreamObservation("other", "", at(3), "running"),))
    pass_time(clock, 5, clock.leader)
    before = times(clock)
    observe(clock, 3, RAW_7)
    pass_time(clock, 5, clock.leader)

    assert before == minutes(1)
    assert [tick.excluded for tick in clock.ticks()][1:] == [(RAW_7,)] * 2


def test_a_partition_that_is_behind_its_upstream_clocks_is_this_clocks_own_hold() -> None:
    """The upstream clock has ticked the next boundary. The partition is named with what it waits for."""
    clock = pipeline(partitions=2)
    observe(clock, 1)
    clock.report(0, NOON.format(1))
    clock.report(1, NOON.format(1))
    clock.report(0, NOON.format(2))
    pass_time(clock, 150, clock.leader)
    observe(clock, 2)
    behind = PartitionObservation(5, 9, "not_processed")
    found = clock.store.observation()
    assert found is not None
    clock.store.write_observation(found, {EVENTS_1: behind})
    pass_time(clock, 1, clock.leader)

    assert (held(clock).reason, held(clock).partitions) == (Reason.PARTITION_BEHIND, (EVENTS_1,))
    assert held(clock).detail.endswith(
        "; the group 'group' has not committed all records up to the boundary (check its lag): events:1"
    )


def test_partitions_without_committed_offsets_are_grouped_by_what_they_wait_for() -> None:
    """Nothing in the detail is about Reporters or heartbeats."""
    clock = observed_clock(partitions=3)
    nothing, drained = PartitionObservation(None, 9, "nothing_committed"), PartitionObservation(None, 0, "no_answer")
    partitions = {EVENTS_0: nothing, EVENTS_1: nothing, Partition("events", 2): drained}
    clock.settle()
    clock.store.write_observation(Observation(clock.time.now_ms()), partitions)
    pass_time(clock, 1, clock.leader)

    detail = held(clock).detail
    assert held(clock).reason is Reason.PARTITION_UNREPORTED
    assert "the group 'group' has committed nothing for partitions with records" in detail
    assert ": events:0, events:1; no answer of Kafka" in detail
    assert detail.endswith(": events:2")
    assert not any(word in detail for word in ("Reporter", "heartbeat", "database"))


def test_a_problem_of_the_group_is_in_the_detail() -> None:
    """Such as a missing permission."""
    clock = observed_clock()
    observe(clock, None, problem="the Kafka user lacks Describe on group group", upstreams=())
    pass_time(clock, 1, clock.leader)

    assert "; the Kafka user lacks Describe on group group; not read yet: events:0" in held(clock).detail


def test_an_observer_that_has_stopped_is_the_cause() -> None:
    """After three polls and 10 s. Before, the last observation counts, and the upstream clock is the cause."""
    clock = pipeline()
    observe(clock, None)
    pass_time(clock, 25, clock.leader)
    assert held(clock).reason is Reason.UPSTREAM_BEHIND
    pass_time(clock, 2, clock.leader)

    assert held(clock).reason is Reason.PARTITION_UNREPORTED
    assert "committed offsets were last read 2" in held(clock).detail


def test_without_an_observation_the_hold_says_who_reads_offsets() -> None:
    """A leader that has just begun, or a store that was flushed."""
    clock = observed_clock()
    clock.settle()

    assert "no committed offsets were read yet" in held(clock).detail


def test_a_clock_whose_partitions_are_all_excluded_has_its_own_detail() -> None:
    """All are excluded: upstream clocks have no part in it."""
    clock = pipeline()
    observe(clock, None)
    clock.settle()
    content = clock.store_server.content.clock("clock")
    inputs_hold = Hold(Reason.PARTITION_UNREPORTED, detail="all are excluded")

    assert content.observation is not None
    assert observed.name_observed(None, None, inputs_hold, []) == inputs_hold  # type: ignore[arg-type]


def test_each_obstacle_has_a_text() -> None:
    """Also one that is added later."""
    assert observed._WAITS_FOR.keys() == {str(waits_for) for waits_for in WaitsFor}
