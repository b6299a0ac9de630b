"""`clocksvc.testing`: what applications use in their own tests."""

import pytest

from clocksvc.clock.partition import Outcome
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.testing import InMemoryClock, ManualTime

pytestmark = pytest.mark.core


def at(time: str) -> int:
    return parse_timestamp("time", f"2026-11-22T{time}Z")


def test_time_moves_by_hand() -> None:
    """Both clocks, and only then."""
    time = ManualTime("2026-11-22T12:00:00Z")
    assert (time.now_ms(), time.monotonic()) == (at("12:00:00"), 0.0)

    time.advance(1.5)

    assert (time.now_ms(), time.monotonic()) == (at("12:00:01.500"), 1.5)


def test_a_clock_ticks_when_all_partitions_were_reported() -> None:
    """The first tick is one boundary; after a jump each boundary gets its own."""
    clock = InMemoryClock(topic="orders", partitions=2, now="2026-11-22T12:10:00Z")
    assert clock.report(0, "2026-11-22T12:01:07Z") is Outcome.ACCEPTED
    assert clock.ticks() == []

    clock.report(1, "2026-11-22T12:01:03Z")
    assert [tick.at_ms for tick in clock.ticks()] == [at("12:01:00")]

    clock.report(0, "2026-11-22T12:03:00Z")
    clock.report(1, "2026-11-22T12:04:00Z")
    assert [tick.at_ms for tick in clock.ticks()] == [at(f"12:0{minute}:00") for minute in (1, 2, 3)]


def test_another_replica_takes_over() -> None:
    """It continues the chain once the first leader has released its lease."""
    clock = InMemoryClock(topic="orders", now="2026-11-22T12:10:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.leader.leave()

    clock.leader = clock.new_leader("successor")
    clock.report(0, "2026-11-22T12:02:00Z")

    assert [(tick.previous_ms, tick.at_ms) for tick in clock.ticks()] == [
        (None, at("12:01:00")),
        (at("12:01:00"), at("12:02:00")),
    ]
