"""Clocks that jump by minutes under a leader hide nothing."""

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.interfaces.progress import Report
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader
from clocksvc.testing import ManualTime
from tests.faulty.clock import FaultyClock
from tests.faulty.store import FaultyStore
from tests.faulty.tick_log import FaultyTickLog
from tests.unit.leader.clocks import hold_of


def _led_by(clock: FaultyClock, time: ManualTime, holder: str) -> Leader:
    ids = iter(f"{number:012x}{ord(holder[0]):020x}" for number in range(1, 100))
    parts = LeaderDependencies(clock.spec, clock.store, FaultyTickLog(clock.log), clock.topics, time, lambda: next(ids))
    return Leader(parts, holder)


def test_a_leader_whose_clock_is_set_back_shows_its_hold() -> None:
    """Its last tick is then in its future. The time since that tick is measured with the monotonic clock, so the hold
    shows."""
    clock, time = FaultyClock(interval_seconds=1), ManualTime()
    clock.leader = _led_by(clock, time, "wrong:1")
    clock.report(0, "2026-11-22T11:59:59Z")
    assert len(clock.ticks()) == 1

    time.set("2026-11-22T11:55:00Z")
    for _ in range(15):
        clock.time.advance(1)
        time.advance(1)
        clock.store.report(Report("group", (PartitionTimestamp(Partition("events", 0), clock.time.now_ms()),)))
        clock.settle()

    assert len(clock.ticks()) == 1
    assert hold_of(clock)[0] is Reason.AHEAD_OF_TIME


def test_a_store_that_lost_the_leaders_announcement_hides_no_conflict() -> None:
    """The store's clock jumps ahead: the leader's announcement has expired there, that of another configuration has
    not."""
    clock, time = FaultyClock(interval_seconds=1), ManualTime()
    clock.store = FaultyStore(clock.spec.name, time)
    clock.leader = _led_by(clock, clock.time, "leader:1")
    clock.report(0, "2026-11-22T11:59:58Z")
    assert len(clock.ticks()) == 1

    time.set("2026-11-22T12:00:08Z")
    clock.store.acquire_lease(f"{2:012x}{ord('l'):020x}", "leader:1", 3_000)
    clock.store.announce("other:2 x", "another", 6_000)
    clock.report(0, "2026-11-22T11:59:59Z")

    assert len(clock.ticks()) == 1
    assert hold_of(clock)[0] is Reason.CONFIG_CONFLICT
