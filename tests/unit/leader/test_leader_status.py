"""The leader's status in the store: it stays valid as long as it is true."""

from clocksvc.clock.holds import Reason
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import hold_of, pass_time


def test_a_lasting_hold_is_published_again_before_its_ttl_ends() -> None:
    """The store drops a status after 30 s; a lasting hold is visible all the time, minutes later too."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED

    for _ in range(6):
        pass_time(clock, 20, clock.leader)

        assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED
