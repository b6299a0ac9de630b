"""No partition is forgotten, whether metadata lag, a store is rolled back, or a replica has outdated metadata."""

from collections.abc import Collection
from typing import Any

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader.leader import Phase
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import another_leader, clock_with_ticks, hold_of, minutes, pass_time, times


class _LastingOneReading:
    """Topics that, once armed, show everything for one more reading. After that the store does not answer, and metadata
    lag."""

    def __init__(self, clock: FaultyClock) -> None:
        self.armed = False
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock.topics, name)

    def describe(self, names: Collection[str]) -> ClusterMetadata:
        metadata = self._clock.topics.describe(names)
        if self.armed:
            self.armed = False
            self._clock.store_server.broken = True
            self._clock.topics.hide("events", 1)
        return metadata


def test_a_roster_that_was_rolled_back_is_written_again() -> None:
    """A store that comes back with the roster of a second ago lacks a partition: no tick comes without it."""
    clock = clock_with_ticks()
    clock.topics.add_partitions("events", 1)
    old = clock.store_server.copy_state()
    assert clock.report(1, "2026-11-22T12:03:00Z") is Outcome.UNKNOWN
    clock.time.advance(1)
    clock.settle()
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED
    clock.store_server.restore(old)

    clock.report(0, "2026-11-22T12:09:00Z")

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED


def test_metadata_that_lags_after_a_lost_commit_retires_nothing() -> None:
    """What this process has seen counts in its next term too, even if the log does not contain it yet."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.settle()
    clock.topics.hide("events", 1)
    clock.log.fence()
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)
    assert clock.leader.phase is Phase.LEADING

    clock.report(0, "2026-11-22T12:01:00Z")

    assert times(clock) == []
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 1),))


def test_metadata_of_a_failed_recovery_are_kept() -> None:
    """A recovery reads of two partitions and then fails at the tick log. The next one reads lagging metadata with one
    partition. Nothing else has the second one: still there is no tick without it."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.log.begin_foreign()
    clock.settle()
    assert hold_of(clock)[0] is Reason.TICKLOG_OPEN_TRANSACTION
    clock.topics.hide("events", 1)
    clock.log.end_foreign(committed=False)
    pass_time(clock, 6, clock.leader)
    assert clock.leader.phase is Phase.LEADING

    clock.report(0, "2026-11-22T12:01:00Z")

    assert times(clock) == []
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 1),))


def test_metadata_of_a_term_are_kept_after_it() -> None:
    """The store fails after the reading that shows a new partition and before the roster is written, and metadata lag
    from then on: there is no tick without that partition."""
    clock = clock_with_ticks()
    topics = _LastingOneReading(clock)
    clock.leader = another_leader(clock, "leader:2", topics=topics)
    pass_time(clock, 6, clock.leader)
    assert clock.leader.phase is Phase.LEADING
    clock.topics.add_partitions("events", 1)
    topics.armed = True
    pass_time(clock, 35, clock.leader)
    assert clock.store_server.broken
    clock.store_server.broken = False
    pass_time(clock, 6, clock.leader)
    assert clock.leader.phase is Phase.LEADING

    clock.report(0, "2026-11-22T12:09:00Z")

    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (Partition("events", 1),))


def test_the_log_wins_over_outdated_metadata_of_a_replica() -> None:
    """A replica remembers a topic as it was before it was recreated with 6 partitions. The log has them, and metadata
    lag: there is no tick without all 6."""
    clock = FaultyClock(partitions=3, now="2026-11-22T12:30:00Z")
    for number in range(3):
        clock.report(number, "2026-11-22T12:01:00Z")
    asleep, other = clock.leader, clock.new_leader("other")
    pass_time(clock, 4, other)
    clock.topics.create("events", 6)
    clock.leader = other
    pass_time(clock, 31, other)
    for number in range(6):
        clock.report(number, "2026-11-22T12:02:00Z")
    assert times(clock) == minutes(1, 2)

    clock.settle(asleep)
    clock.topics.hide("events", 3)
    other.leave()
    clock.store_server.wipe()
    clock.leader = asleep
    pass_time(clock, 8, asleep)
    assert asleep.phase is Phase.LEADING
    for number in range(3):
        clock.report(number, "2026-11-22T12:03:00Z")

    assert times(clock) == minutes(1, 2)
