"""A leader without any failures: first tick, skipped boundaries, batches, holds, new partitions."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import decode_record
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.interfaces.leases import RoundReading
from clocksvc.interfaces.progress import Report
from clocksvc.leader.leader import Phase
from clocksvc.memory.leases import MemoryLeases
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import hold_of, phase_of, times, transactions


def test_first_tick_is_the_floored_minimum() -> None:
    """The first tick comes once all partitions have been reported, at the floored minimum, with no previous one."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:05:00Z")

    clock.report(0, "2026-11-22T12:03:30Z")
    assert times(clock) == []
    clock.report(1, "2026-11-22T12:01:07Z")

    assert times(clock) == ["2026-11-22T12:01:00Z"]
    assert clock.ticks()[0].previous_ms is None


def test_skipped_boundaries_are_ticked_one_by_one() -> None:
    """A minimum that jumps over several boundaries gives a tick for each; each names the one before it."""
    clock = FaultyClock(now="2026-11-22T12:10:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")

    clock.report(0, "2026-11-22T12:04:59.999Z")

    assert times(clock) == [f"2026-11-22T12:0{minute}:00Z" for minute in (1, 2, 3, 4)]
    assert [tick.previous_ms for tick in clock.ticks()[1:]] == [tick.at_ms for tick in clock.ticks()[:-1]]


def test_a_long_jump_goes_out_in_batches() -> None:
    """2,500 boundaries at once become 2,500 ticks, at most 500 in each transaction."""
    clock = FaultyClock(interval_seconds=1, now="2026-11-22T14:00:00Z")
    clock.report(0, "2026-11-22T12:00:00Z")

    clock.report(0, "2026-11-22T12:41:40Z")

    assert len(times(clock)) == 2_501
    assert [len(ticks) for ticks in transactions(clock.log)] == [1] + [500] * 5


def test_out_of_orderness_is_subtracted_to_compare() -> None:
    """With an out-of-orderness of 10 s a partition passes 12:01:00 with a record of 12:01:10, not before."""
    clock = FaultyClock(max_out_of_orderness_seconds=10, now="2026-11-22T12:05:00Z")
    clock.report(0, "2026-11-22T12:00:10Z")

    clock.report(0, "2026-11-22T12:01:09.999Z")
    assert times(clock)[-1] == "2026-11-22T12:00:00Z"
    clock.report(0, "2026-11-22T12:01:10Z")

    assert times(clock)[-1] == "2026-11-22T12:01:00Z"


def test_no_tick_before_its_time() -> None:
    """If the minimum is ahead of the clocks of leader and store, the tick waits until both have passed the boundary."""
    clock = FaultyClock(now="2026-11-22T12:00:30Z")
    clock.report(0, "2026-11-22T12:00:00Z")
    clock.report(0, "2026-11-22T12:01:20Z")
    assert times(clock) == ["2026-11-22T12:00:00Z"]

    clock.time.advance(29.999)
    clock.settle()
    assert times(clock) == ["2026-11-22T12:00:00Z"]
    clock.time.advance(0.001)
    clock.settle()

    assert times(clock) == ["2026-11-22T12:00:00Z", "2026-11-22T12:01:00Z"]


def test_a_new_partition_holds_until_its_first_report() -> None:
    """A partition that Kafka lists and no report has named is unknown: it holds the clock, and the hold names it."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.topics.add_partitions("events", 1)

    clock.report(0, "2026-11-22T12:02:30Z")
    assert times(clock) == ["2026-11-22T12:01:00Z"]
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 1),))
    clock.report(1, "2026-11-22T12:02:00Z")

    assert times(clock) == ["2026-11-22T12:01:00Z", "2026-11-22T12:02:00Z"]
    assert hold_of(clock) == (None, ())


def test_a_report_on_an_unknown_partition_makes_the_leader_look() -> None:
    """A report of a partition that is not on the roster is answered `unknown`; a second later it is on the roster."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.topics.add_partitions("events", 1)

    assert clock.report(1, "2026-11-22T12:02:00Z") is Outcome.UNKNOWN
    clock.time.advance(1)
    clock.settle()

    assert clock.report(1, "2026-11-22T12:02:00Z") is Outcome.ACCEPTED


def test_metadata_is_read_after_the_minimum() -> None:
    """A partition that appears between the minimum and the commit delays the tick until it is reported."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.store.report(Report("group", (PartitionTimestamp(Partition("events", 0), clock.time.now_ms()),)))
    read_round = MemoryLeases.read_round

    def grow_afterwards(leases: MemoryLeases, token: str, ttl_ms: int, clocks: Sequence[str]) -> RoundReading:
        reading = read_round(leases, token, ttl_ms, clocks)
        clock.topics.add_partitions("events", 1)
        return reading

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryLeases, "read_round", grow_afterwards)
        clock.leader.step()
    clock.settle()

    assert times(clock) == ["2026-11-22T12:01:00Z"]


def test_a_recreated_topic_is_unknown() -> None:
    """Another topic id under the same name: all its partitions are unknown again."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.report(1, "2026-11-22T12:01:00Z")
    clock.topics.create("events", 1)
    clock.time.advance(31)
    clock.settle()

    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 0),))


def test_absence_retires_nothing() -> None:
    """A topic that Kafka does not list holds the clock by name. When it is back, the clock continues where it was."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.report(1, "2026-11-22T12:01:00Z")
    clock.topics.hide("events", 0)
    clock.report(0, "2026-11-22T12:02:00Z")
    clock.report(1, "2026-11-22T12:02:00Z")

    assert hold_of(clock)[0] is Reason.TOPIC_MISSING
    clock.topics.hide("events", 1)
    clock.time.advance(2)
    clock.settle()
    assert times(clock)[-1] == "2026-11-22T12:02:00Z"
    clock.report(0, "2026-11-22T12:03:00Z")

    assert times(clock)[-1] == "2026-11-22T12:02:00Z"


def test_lagging_partitions_are_named_after_a_while() -> None:
    """A partition that does not move is no hold at once; after `hold_after` it is, with its name."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.report(1, "2026-11-22T12:01:00Z")
    clock.report(0, "2026-11-22T12:09:00Z")
    assert hold_of(clock) == (None, ())

    clock.time.advance(120)
    clock.settle()

    assert hold_of(clock) == (Reason.PARTITION_BEHIND, (Partition("events", 1),))


def test_rejected_reports_are_named() -> None:
    """If the newest report of the lagging partition was rejected, that is the reason."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    assert clock.report(0, "2026-11-22T13:30:00Z") is Outcome.TOO_FAR_AHEAD
    clock.time.advance(120)
    clock.settle()

    assert hold_of(clock) == (Reason.REPORTS_REJECTED, (Partition("events", 0),))
    clock.report(0, "2026-11-22T12:02:00Z")
    assert times(clock)[-1] == "2026-11-22T12:02:00Z"


def test_seconds_are_named_as_the_cause_of_the_hold() -> None:
    """On a fresh clock and on a running one: the hold says what is wrong and what to do. Ordinary reports end it."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    seconds = clock.time.now_ms() / 10**6

    for last in ("2026-11-22T12:01:00Z", "2026-11-22T12:02:00Z"):
        assert clock.report(0, seconds) is Outcome.NOT_MILLISECONDS
        clock.time.advance(120)
        clock.settle()
        assert hold_of(clock) == (Reason.REPORTS_REJECTED, (Partition("events", 0),))
        detail = json.loads(clock.store.snapshot().leader_status or "")["hold"]["detail"]
        assert "not_milliseconds (the timestamps look like seconds or microseconds: report milliseconds" in detail
        clock.report(0, last)
        assert times(clock)[-1] == last


def test_replicas_with_different_configurations_hold_the_clock() -> None:
    """While replicas with different configurations live there is no tick; when one has ended, the other continues."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    other = clock.new_leader("other", replace(clock.spec, interval_ms=300_000))
    other.step()

    clock.report(0, "2026-11-22T12:02:00Z")
    assert hold_of(clock)[0] is Reason.CONFIG_CONFLICT
    clock.leader.leave()
    for _ in range(20):
        clock.time.advance(0.5)
        clock.settle(other)
    clock.leader = other
    clock.report(0, "2026-11-22T12:12:00Z")

    assert times(clock) == ["2026-11-22T12:01:00Z", "2026-11-22T12:05:00Z", "2026-11-22T12:10:00Z"]


def test_each_record_carries_the_state() -> None:
    """The log's last record is enough for the next leader: last tick, partition counts, digest."""
    clock = FaultyClock(partitions=3, now="2026-11-22T12:30:00Z")
    for number in range(3):
        clock.report(number, "2026-11-22T12:01:00Z")

    message = clock.log.committed()[-1].message
    record = decode_record("tick", message.value or b"")

    assert to_rfc3339(record.state.last_tick_ms or 0) == "2026-11-22T12:01:00Z"
    assert record.state.topics["events"].partitions == 3


def test_a_leaving_leader_releases_the_lease() -> None:
    """Another replica leads at its next step and does not wait for the lease to expire."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    other = clock.new_leader("other")
    other.step()
    assert phase_of(other) is Phase.STANDBY

    clock.leader.leave()
    clock.settle(other)

    assert phase_of(other) is Phase.LEADING
