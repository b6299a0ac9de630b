"""A topic's `message.timestamp.type` is changed while ticks flow."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.spec import CREATE_TIME_OUT_OF_ORDERNESS_MS
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.topics import TimestampType
from tests.faulty.clock import FaultyClock
from tests.preconditions import require
from tests.unit.leader.clocks import minutes, pass_time, times


@pytest.mark.parametrize("interval_seconds", [1, 10])
def test_create_time_gets_its_out_of_orderness(interval_seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timestamp type is read again every 30 s at any interval: a CreateTime topic gets an out-of-orderness of
    10 s."""
    clock = FaultyClock(interval_seconds=interval_seconds, now="2026-11-22T12:00:00Z")
    clock.leader = clock.new_leader("leader", replace(clock.spec, max_out_of_orderness_ms=None))

    def report_every_second(seconds: int) -> None:
        for _ in range(seconds):
            clock.time.advance(1)
            clock.report(0, clock.time.now_ms() / 1000)

    def out_of_orderness_ms() -> int | None:
        bounds = clock.store.snapshot().parameters
        return None if bounds is None else bounds.out_of_orderness_ms

    report_every_second(40)
    require(out_of_orderness_ms() == 0, "LogAppendTime topics have no out-of-orderness")

    create_time = {"events": TimestampType.CREATE_TIME}
    monkeypatch.setattr(clock.topics, "timestamp_types", lambda topics: create_time)
    report_every_second(60)

    assert out_of_orderness_ms() == CREATE_TIME_OUT_OF_ORDERNESS_MS


def with_unset_out_of_orderness() -> FaultyClock:
    """A clock of a LogAppendTime topic with the tick 12:01."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.leader = clock.new_leader("leader", replace(clock.spec, max_out_of_orderness_ms=None))
    clock.report(0, "2026-11-22T12:01:00Z")
    assert times(clock) == minutes(1)
    return clock


def report_create_time(clock: FaultyClock, timestamp: str) -> None:
    """Report a record whose timestamp type is CreateTime, and let the leader step."""
    reported = PartitionTimestamp(Partition("events", 0), parse_timestamp("timestamp", timestamp))
    clock.store.report(Report("group", (reported,), create_time_topics=("events",)))
    clock.settle()


def test_a_create_time_record_switches_at_once() -> None:
    """Brokers still name LogAppendTime. The report that completes a boundary says that its record has CreateTime: the
    tick waits for the out-of-orderness."""
    clock = with_unset_out_of_orderness()

    report_create_time(clock, "2026-11-22T12:02:00Z")
    assert times(clock) == minutes(1)
    report_create_time(clock, "2026-11-22T12:02:09.999Z")
    assert times(clock) == minutes(1)
    report_create_time(clock, "2026-11-22T12:02:10Z")

    assert times(clock) == minutes(1, 2)


def test_the_out_of_orderness_stays_while_such_records_come() -> None:
    """It stays for a minute after the last one, then the brokers' answer counts again."""
    clock = with_unset_out_of_orderness()
    for _ in range(5):
        report_create_time(clock, "2026-11-22T12:02:00Z")
        pass_time(clock, 40, clock.leader)
        assert times(clock) == minutes(1)
    pass_time(clock, 60, clock.leader)

    assert times(clock) == minutes(1, 2)


def test_a_flush_forgets_no_create_time_topic_for_long() -> None:
    """After FLUSHALL the brokers' answer counts, until the consumer's next report says CreateTime. This report is the
    one that makes the partition known, so no tick comes without the out-of-orderness."""
    clock = with_unset_out_of_orderness()
    report_create_time(clock, "2026-11-22T12:02:00Z")
    clock.store_server.wipe()
    pass_time(clock, 5, clock.leader)

    report_create_time(clock, "2026-11-22T12:02:09Z")

    assert times(clock) == minutes(1)


def test_a_configured_out_of_orderness_is_not_changed() -> None:
    """`max_out_of_orderness: 0s` is what the operator wants."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")

    report_create_time(clock, "2026-11-22T12:02:00Z")

    assert times(clock) == minutes(1, 2)


def test_types_are_read_every_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more often, while ticks flow and while the clock holds; a topic whose type is not known counts as
    CreateTime."""
    clock = with_unset_out_of_orderness()
    reads = []
    timestamp_types = clock.topics.timestamp_types

    def count(topics: Collection[str]) -> Mapping[str, TimestampType]:
        reads.append(clock.time.monotonic())
        return timestamp_types(topics)

    monkeypatch.setattr(clock.topics, "timestamp_types", count)
    clock.topics.hide_timestamp_type("events")
    pass_time(clock, 121, clock.leader)

    assert len(reads) == 4
    clock.report(0, "2026-11-22T12:02:00Z")
    assert times(clock) == minutes(1)
