"""What a leader publishes while a hold lasts: without gaps, and with the right partitions."""

import json
from collections.abc import Mapping, Sequence

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.interfaces.hold_history import StatusUpdate
from clocksvc.interfaces.progress import Report
from clocksvc.memory.leases import MemoryLeases
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import clock_with_ticks, detail_of, hold_of, pass_time


def test_a_hold_stays_while_metadata_are_read() -> None:
    """Metadata of a missing topic are read every second; the hold stays published all the time."""
    clock = clock_with_ticks()
    clock.topics.hide("events", 0)
    clock.report(0, "2026-11-22T12:04:00Z")
    said: list[str] = []
    say = MemoryLeases.publish_statuses

    def listen(leases: MemoryLeases, token: str, updates: Mapping[str, StatusUpdate], ttl_ms: int) -> None:
        said.extend(json.loads(update.status)["hold"]["reason"] for update in updates.values())
        say(leases, token, updates, ttl_ms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryLeases, "publish_statuses", listen)
        pass_time(clock, 25, clock.leader)

    assert said
    assert set(said) == {"topic_missing"}
    assert hold_of(clock)[0] is Reason.TOPIC_MISSING


@pytest.mark.parametrize(
    ("refused", "reason"), [((0,), Reason.PARTITION_UNREPORTED), ((0, 1), Reason.REPORTS_REJECTED)]
)
def test_a_rejection_does_not_hide_partitions_without_reports(refused: Sequence[int], reason: Reason) -> None:
    """Rejected reports are the reason only if every partition that holds has one. All that hold are named either
    way."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    for number in refused:
        clock.report(number, "2026-11-22T13:30:00Z")
    pass_time(clock, 1, clock.leader)

    assert hold_of(clock) == (reason, (Partition("events", 0), Partition("events", 1)))


def test_the_reports_of_another_topic_are_the_cause_that_a_hold_names() -> None:
    """The consumers read another topic: the clock has no tick, and the detail names both topics while it lasts."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    assert clock.report(0, "2026-11-22T12:01:00Z", topic="brk") is Outcome.FOREIGN_TOPIC
    pass_time(clock, 1, clock.leader)

    assert clock.ticks() == []
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 0),))
    assert "consumers report topic 'brk', but the clock has events: " in detail_of(clock)

    pass_time(clock, 31, clock.leader)
    assert "brk" not in detail_of(clock)


def test_a_consumer_of_another_topic_in_another_group_is_the_cause_that_a_hold_names() -> None:
    """Its reporter sends only its own rejections. The detail names both groups."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    rejected = (PartitionTimestamp(Partition("brk", 0), -1), Outcome.FOREIGN_TOPIC)
    pass_time(clock, 1, clock.leader)
    clock.store.report(Report("staging", (), (rejected,)))
    pass_time(clock, 1, clock.leader)

    assert "consumers of group 'staging' report, but the clock has group 'group': " in detail_of(clock)


def test_the_reports_of_another_topic_beside_those_of_the_clock_are_no_cause() -> None:
    """A hold of a partition that is reported, but has no newer record, does not name them."""
    clock = clock_with_ticks()
    clock.time.advance(140)
    clock.report(0, "2026-11-22T12:03:00Z")
    clock.report(0, "2026-11-22T12:01:00Z", topic="brk")
    pass_time(clock, 1, clock.leader)

    assert hold_of(clock)[0] is Reason.PARTITION_BEHIND
    assert "brk" not in detail_of(clock)


def test_the_group_of_rejected_reports_is_named() -> None:
    """With the clock's group."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    reported = PartitionTimestamp(Partition("events", 0), clock.time.now_ms())
    clock.settle()
    clock.store.report(Report("canary", (reported,)))
    pass_time(clock, 1, clock.leader)

    assert hold_of(clock)[0] is Reason.REPORTS_REJECTED
    assert "consumers of group 'canary' report, but the clock has group 'group': " in detail_of(clock)
