"""Clocks and installations that share a log: an error of one clock delays no other, and a log has one installation."""

import json
import uuid
from dataclasses import replace

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.progress import Report
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import another_leader, clock_with_ticks, logged_times, minutes, pass_time, published_hold

pytestmark = pytest.mark.core


class TwoClocks:
    """Two clocks of the same topic and log, and their leader."""

    def __init__(self) -> None:
        self.world = FaultyClock(now="2026-11-22T12:30:00Z")
        log = log_of(self.world.spec.name)
        neighbour = next(name for name in (f"other-{number}" for number in range(1_000)) if log_of(name) == log)
        specs = {name: replace(self.world.spec, name=name) for name in (self.world.spec.name, neighbour)}
        self.names = tuple(specs)
        self.stores = {name: self.world.store_server.store(name) for name in specs}
        parts = LeaderDependencies(
            log=log,
            installation="memory",
            specs=specs,
            leases=self.world.store_server.leases(log),
            stores=self.stores,
            ticklog=self.world.new_tick_log(),
            topics=self.world.topics,
            time=self.world.time,
            kafka_ready=self.world.kafka_ready,
            new_id=lambda: uuid.uuid4().hex,
        )
        self.leader = Leader(parts, "both")
        self.world.settle(self.leader)

    def report(self, minute: int) -> None:
        """Both clocks reach this minute after 12:00."""
        timestamp_ms = parse_timestamp("timestamp", minutes(minute)[0])
        for store in self.stores.values():
            store.report(Report("group", (PartitionTimestamp(Partition("events", 0), timestamp_ms),)))
        self.world.settle(self.leader)

    def logged(self) -> list[list[str]]:
        """The times of the committed ticks of each clock."""
        return [logged_times(self.world.log, name) for name in self.names]

    def holds(self) -> list[Reason | None]:
        """The reason of each clock's published hold."""
        return [published_hold(store)[0] for store in self.stores.values()]


def test_a_rejected_record_delays_no_other_clock() -> None:
    """The other clock ticks on. The rejected one holds by name, and gets every skipped tick afterwards."""
    clocks = TwoClocks()
    clocks.report(1)
    clocks.world.log.rejected_keys = {clocks.names[1].encode()}

    for minute in (2, 3, 4):
        clocks.report(minute)
        assert clocks.logged() == [minutes(*range(1, minute + 1)), minutes(1)]
        assert clocks.holds()[1] is Reason.TICKLOG_UNAVAILABLE
        pass_time(clocks.world, 2.0, clocks.leader)

    clocks.world.log.rejected_keys = set()
    pass_time(clocks.world, 60.0, clocks.leader)

    assert clocks.logged() == [minutes(1, 2, 3, 4)] * 2
    assert clocks.holds()[1] is not Reason.TICKLOG_UNAVAILABLE


def test_two_installations_on_one_log() -> None:
    """The second one holds and names both. It writes nothing, and does not disturb the first one."""
    first, second = clock_with_ticks(), FaultyClock(now="2026-11-22T12:30:00Z")
    second.log = first.log
    stranger = another_leader(second, "stranger", installation="other")
    before = len(first.log.entries)

    pass_time(second, 5.0, stranger)

    status = json.loads(second.store.snapshot().leader_status or "{}")
    assert status["hold"]["reason"] == "store_mismatch"
    assert "'memory'" in status["hold"]["detail"]
    assert "'other'" in status["hold"]["detail"]
    assert len(first.log.entries) == before
    first.report(0, minutes(4)[0])
    assert logged_times(first.log, first.spec.name) == minutes(1, 2, 3, 4)
