"""A roster that grew, a new topic id and a new group are committed before they go to the store. A leader that dies in
between, a loss of the store and a lagging broker hide none of them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import decode_message
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.interfaces.topics import ClusterMetadata, TimestampType
from clocksvc.leader.leader import Phase
from tests.faulty.shared_log import SharedLog
from tests.faulty.topics import FaultyTopics
from tests.unit.leader.clocks import logged_times, minutes, phase_of, published_hold, stored_times

pytestmark = pytest.mark.core


class Case(NamedTuple):
    """A change of a clock with two partitions, and the partitions that are unknown afterwards."""

    why: str
    change: Callable[[SharedLog, str], None]
    unknown: tuple[int, ...]


def _grow(shared: SharedLog, name: str) -> None:
    shared.topics.add_partitions(name, 1)


def _recreate(shared: SharedLog, name: str) -> None:
    shared.topics.create(name, 3)


def _change_group(shared: SharedLog, name: str) -> None:
    shared.specs[name] = replace(shared.specs[name], group="another")


CASES = [
    Case("a partition was added", _grow, (2,)),
    Case("the topic was recreated", _recreate, (0, 1, 2)),
    Case("the group was changed", _change_group, (0, 1)),
]


def with_tick() -> tuple[SharedLog, str]:
    """A clock of two partitions whose first tick is 12:01, and whose reports have reached 12:01:30."""
    shared = SharedLog(1, partitions=2)
    (name,) = shared.names
    shared.add_leader()
    for partition in range(2):
        shared.report("2026-11-22T12:01:30Z", partition=partition)
    assert stored_times(shared.stores[name]) == minutes(1)
    return shared, name


def change(shared: SharedLog, name: str, case: Case) -> None:
    """Make the change. Its leader is a new one if the configuration has changed, and sees it within 31 s."""
    case.change(shared, name)
    if case.change is _change_group:
        shared.leaders.pop("leader").leave()
        shared.add_leader("changed", settle=False)


def roster_in_store(shared: SharedLog, name: str) -> tuple[object, ...]:
    """What the store has of the roster and the group."""
    content = shared.store_server.content.clock(name)
    parameters = content.parameters
    return dict(content.topics), content.roster_group, None if parameters is None else parameters.group


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_log_has_it_before_the_store(case: Case) -> None:
    """Until the commit is confirmed, the store has the old roster and group."""
    shared, name = with_tick()
    before = roster_in_store(shared, name)
    seen: list[bool] = []

    def watch(step: str) -> None:
        if step == "append.done":
            last = decode_message(shared.log.committed()[-1].message) if not _ends_with_snapshot(shared) else None
            if last is not None:
                seen.append(roster_in_store(shared, name) == before)

    shared.log.at = watch
    change(shared, name, case)
    shared.run(31)

    assert seen == [True]
    assert roster_in_store(shared, name) != before
    assert published_hold(shared.stores[name])[0] is Reason.PARTITION_UNREPORTED


@pytest.mark.parametrize("flushed", [False, True], ids=["store kept", "store flushed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_a_leader_that_dies_between_both_hides_nothing(case: Case, flushed: bool) -> None:
    """The next leader asks a broker that lags. No tick comes before all unknown partitions have been reported."""
    shared, name = with_tick()

    def die(step: str) -> None:
        if step == "append.done" and not _ends_with_snapshot(shared):
            shared.store_server.broken = True

    shared.log.at = die
    change(shared, name, case)
    shared.run(31, until=lambda: shared.store_server.broken)
    assert shared.store_server.broken
    shared.log.at = lambda _: None
    shared.leaders.clear()
    shared.store_server.broken = False
    if flushed:
        shared.store_server.wipe()
    if case.change is not _change_group:
        shared.topics.hide(name, 2)
    shared.add_leader("next")
    shared.run(8)
    assert phase_of(shared.leaders["next"]) is Phase.LEADING

    missing = set(case.unknown) if not flushed else set(range(3 if case.change is not _change_group else 2))
    assert published_hold(shared.stores[name]) == (
        Reason.PARTITION_UNREPORTED,
        tuple(Partition(name, number) for number in sorted(missing)),
    )
    for number in range(3 if case.change is not _change_group else 2):
        if number not in missing:
            shared.report(minutes(3)[0], partition=number)
    for number in sorted(missing):
        assert logged_times(shared.log, name) == minutes(1)
        shared.report(minutes(3)[0], partition=number)

    assert logged_times(shared.log, name) == stored_times(shared.stores[name]) == minutes(1, 2, 3)


def test_the_former_group_is_rejected() -> None:
    """Consumers of the old group that still run move nothing."""
    shared, name = with_tick()
    change(shared, name, CASES[2])
    shared.run(2)
    old = replace(shared.specs[name], group="group")
    new, shared.specs[name] = shared.specs[name], old
    assert [shared.send(minutes(9)[0], partition=number) for number in range(2)] == [[Outcome.FOREIGN_GROUP]] * 2
    shared.run(2)
    shared.specs[name] = new

    assert logged_times(shared.log, name) == minutes(1)


def test_ticks_are_due_only_with_the_roster_of_the_round_before() -> None:
    """The round whose metadata show a new partition commits the roster and no tick, also for a clock whose boundary was
    complete; another clock's tick is not delayed."""
    shared = SharedLog(2)
    grown, other = shared.names
    shared.add_leader()
    shared.report(minutes(1)[0])
    shared.topics.add_partitions(grown, 1)

    shared.report(minutes(2)[0])

    assert logged_times(shared.log, grown) == minutes(1)
    assert logged_times(shared.log, other) == minutes(1, 2)
    shared.report(minutes(2)[0], [grown], partition=1)
    assert logged_times(shared.log, grown) == minutes(1, 2)


def test_an_unchanged_roster_is_not_committed_again() -> None:
    """A new leader, a flushed store and a rolled-back store write no control record."""
    shared, _ = with_tick()
    state = shared.store_server.copy_state()
    before = [entry.message.type for entry in shared.log.committed()].count("control")
    shared.leaders.pop("leader").leave()
    shared.add_leader("next")
    shared.store_server.wipe()
    shared.run(5)
    shared.store_server.restore(state)
    shared.run(5)

    assert [entry.message.type for entry in shared.log.committed()].count("control") == before == 1


def _ends_with_snapshot(shared: SharedLog) -> bool:
    return shared.log.committed()[-1].message.type == "snapshot-end"


def test_a_log_that_lost_the_roster_hides_no_partition_that_the_store_has() -> None:
    """The tick log loses its last record, which has the new partition. The store still has the roster."""
    shared, name = with_tick()
    shared.topics.add_partitions(name, 1)
    shared.run(31)
    shared.log.lose_tail(2)  # the control record and its marker
    shared.leaders.clear()
    shared.topics.hide(name, 2)
    shared.add_leader("next")
    shared.run(5)
    for number in range(2):
        shared.report(minutes(3)[0], partition=number)

    assert logged_times(shared.log, name) == minutes(1)
    assert published_hold(shared.stores[name]) == (Reason.PARTITION_UNREPORTED, (Partition(name, 2),))


class LaggingTopics(FaultyTopics):
    """Topics of a broker that still gives the metadata of a deleted topic, for the topics in `outdated`."""

    outdated: Mapping[str, TopicMetadata] = MappingProxyType({})

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        listed = super().describe(topics)
        old = {name: self.outdated[name] for name in topics if name in self.outdated}
        return replace(listed, topics={**listed.topics, **old})


@pytest.mark.parametrize("loses_store", [False, True])
def test_a_lagging_broker_does_not_bring_a_former_topic_back(loses_store: bool) -> None:
    """The topic was recreated with more partitions. The next leader asks a broker that still gives the old topic."""
    shared = SharedLog(1, partitions=2)
    (name,) = shared.names
    shared.topics = LaggingTopics("memory")
    old = shared.topics.create(name, 2, TimestampType.LOG_APPEND_TIME)
    shared.add_leader()
    for number in range(2):
        shared.report("2026-11-22T12:01:30Z", partition=number)
    shared.topics.create(name, 3, TimestampType.LOG_APPEND_TIME)
    shared.run(31)
    shared.leaders.pop("leader").leave()
    shared.topics.outdated = {name: old}
    if loses_store:
        shared.store_server.wipe()
    shared.add_leader("next")
    shared.run(5)
    for number in range(2):
        shared.report(minutes(3)[0], partition=number)

    assert logged_times(shared.log, name) == minutes(1)

    shared.topics.outdated = {}
    shared.run(31)
    for number in range(3):
        shared.report(minutes(3)[0], partition=number)
    assert logged_times(shared.log, name) == minutes(1, 2, 3)
