"""Clocks that jump by minutes under a leader hide nothing."""

from clocksvc.clock.holds import Reason
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.interfaces.leases import Announcement
from clocksvc.interfaces.progress import Report
from clocksvc.memory.leases import MemoryLeases
from clocksvc.testing import ManualTime
from tests.faulty.clock import FaultyClock
from tests.faulty.store import FaultyStoreServer
from tests.unit.leader.clocks import another_leader, hold_of


class RecordedLeases(MemoryLeases):
    """Leases that remember the newest token."""

    token = ""

    def acquire(self, token: str, replica: str, ttl_ms: int) -> bool:
        self.token = token
        return super().acquire(token, replica, ttl_ms)


def test_a_leader_whose_clock_is_set_back_shows_its_hold() -> None:
    """Its last tick is then in its future. The time since that tick is measured with the monotonic clock, so the hold
    shows."""
    clock, time = FaultyClock(interval_seconds=1), ManualTime()
    clock.leader = another_leader(clock, "wrong:1", time=time)
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
    server = FaultyStoreServer(time)
    clock.store, leases = server.store(clock.spec.name), RecordedLeases(server.access, log_of(clock.spec.name))
    clock.leader = another_leader(clock, "leader:1", store=clock.store, leases=leases, time=clock.time)
    clock.report(0, "2026-11-22T11:59:58Z")
    assert len(clock.ticks()) == 1

    time.set("2026-11-22T12:00:08Z")
    leases.acquire(leases.token, "leader:1", 3_000)
    leases.announce(Announcement("other:2 x", {clock.spec.name: "another"}, None), 6_000, {})
    clock.report(0, "2026-11-22T11:59:59Z")

    assert len(clock.ticks()) == 1
    assert hold_of(clock)[0] is Reason.CONFIG_CONFLICT
