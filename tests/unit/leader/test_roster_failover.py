"""A roster grows, and the next leader asks a broker that does not list the new partition yet."""

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from tests.faulty.clock import FaultyClock
from tests.preconditions import require
from tests.unit.leader.clocks import hold_of, minutes, pass_time, times


@pytest.mark.parametrize("flushed", [False, True], ids=["store kept", "store flushed"])
def test_a_partition_on_any_roster_is_never_forgotten(flushed: bool) -> None:
    """No tick comes without a partition that any leader has put on the roster, even if the store is lost too."""
    clock = FaultyClock(partitions=3, now="2026-11-22T12:10:00Z")
    for partition in range(3):
        clock.report(partition, "2026-11-22T12:01:00Z")
    clock.topics.add_partitions("events", 1)
    pass_time(clock, 31, clock.leader)
    require(hold_of(clock)[0] is Reason.PARTITION_UNREPORTED, "the first leader has seen the new partition")

    clock.leader.leave()
    clock.topics.hide("events", 3)
    if flushed:
        clock.store_server.wipe()
    clock.leader = clock.new_leader("next")
    pass_time(clock, 10, clock.leader)
    for partition in range(3):
        clock.report(partition, "2026-11-22T12:02:00Z")

    assert times(clock) == minutes(1)
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 3),))
