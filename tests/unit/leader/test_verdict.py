"""What the leader leaves in the store for readers: its word on the clock lasts for as long as it is true."""

from clocksvc.clock.holds import Reason
from tests.faulty.clock import FaultyClock
from tests.unit.leader.looks import (
    hold_of,
    pass_time,
)


def test_a_hold_that_lasts_is_said_again_before_the_store_forgets_it() -> None:
    """The store drops a verdict after half a minute: a hold that stays is there all the time, also minutes later."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED

    for _ in range(6):
        pass_time(clock, 20, clock.leader)

        assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED
