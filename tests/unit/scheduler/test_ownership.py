"""Which replica should own a partition, and what a replica does about it: pure functions."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.interfaces.schedulers import PartitionLease, SchedulerAnnouncement, SchedulersReading
from clocksvc.scheduler.ownership import (
    COMPLETE_AFTER_MS,
    RANK_DELAY_S,
    REPLACE_FAILING_AFTER_S,
    TAKE_OVER_AFTER_S,
    Action,
    Outlook,
    OwnPartition,
    preferred_owners,
)
from clocksvc.scheduler.partition_state import PartitionState

pytestmark = pytest.mark.core

CLOCK = "checkins"
NOW_MS = 1_000_000
LOADING, LOADED, OWNER = PartitionState.LOADING, PartitionState.LOADED, PartitionState.OWNER
BOTH = frozenset({0, 1})
"""Of two partitions and two replicas, each replica is preferred for one."""


def announcement(name: str, **values: object) -> SchedulerAnnouncement:
    """The announcement of a replica."""
    return replace(SchedulerAnnouncement(name, f"http://{name}"), **values)  # type: ignore[arg-type]


def mine() -> int:
    """The partition for which the replica `a` is preferred."""
    owners = preferred_owners(CLOCK, 2, [announcement("a"), announcement("b")])
    return next(number for number, name in owners.items() if name == "a")


MINE = mine()
OTHERS = 1 - MINE


def decide(
    own: OwnPartition | None,
    partition: int = MINE,
    *,
    lease: str | None = None,
    a: SchedulerAnnouncement | None = None,
    b: SchedulerAnnouncement | None = None,
    complete: bool = True,
    started: bool = True,
    alone: bool = False,
) -> Action:
    """What the replica `a` does about a partition. The lease is written as `replica:token`."""
    live = [a or announcement("a", loaded=BOTH)] + ([] if alone else [b or announcement("b")])
    leases = {} if lease is None else {partition: PartitionLease(lease[2:], lease[0], f"http://{lease[0]}")}
    since_ms = NOW_MS - COMPLETE_AFTER_MS + (0 if complete else 1)
    return Outlook(CLOCK, 2, "a", SchedulersReading(NOW_MS, tuple(live), since_ms, leases), started).decide(
        partition, own
    )


REPLICAS = st.lists(st.integers(0, 99).map(lambda number: f"host-{number}:1 x"), min_size=1, max_size=7, unique=True)


@given(st.integers(1, 64), REPLICAS, st.randoms())
def test_the_shares_differ_by_at_most_one(partitions: int, names: list[str], chance: object) -> None:
    """Each partition has one preferred replica, regardless of the order in which replicas are listed."""
    owners = preferred_owners(CLOCK, partitions, [announcement(name) for name in names])
    shuffled = list(names)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    counts = Counter(owners.values())
    assert sorted(owners) == list(range(partitions))
    assert max(counts.values()) - min(counts[name] for name in names) <= 1
    assert owners == preferred_owners(CLOCK, partitions, [announcement(name) for name in shuffled])


@given(st.integers(1, 64), REPLICAS)
def test_a_replica_that_leaves_gets_nothing(partitions: int, names: list[str]) -> None:
    """Its partitions are shared by the others, and few others move."""
    before = preferred_owners(CLOCK, partitions, [announcement(name) for name in names])
    after = preferred_owners(CLOCK, partitions, [announcement(name, leaving=name == names[0]) for name in names])

    assert names[0] not in after.values()
    assert bool(after) == (len(names) > 1)
    moved = [number for number in after if before[number] not in (names[0], after[number])]
    assert len(moved) <= partitions / 2


@given(st.integers(1, 16), REPLICAS, st.data())
def test_failing_replicas_are_avoided(partitions: int, names: list[str], data: st.DataObject) -> None:
    """A partition with which a replica fails goes to one that has no problem at all, if there is one."""
    numbers = st.frozensets(st.integers(0, partitions - 1), max_size=2)
    live = [announcement(name, failing=data.draw(numbers)) for name in names]

    owners = preferred_owners(CLOCK, partitions, live)

    assert sorted(owners) == list(range(partitions))
    healthy = {one.replica for one in live if not one.failing}
    for number in frozenset[int]().union(*(one.failing for one in live)):
        assert owners[number] in (healthy or names)
    if not healthy or len(healthy) == len(names):
        assert owners == preferred_owners(CLOCK, partitions, [announcement(name) for name in names])


def test_few_partitions_move_when_a_replica_comes() -> None:
    """On average little more than its share, for 64 partitions and 2 to 6 replicas."""
    for count in range(2, 7):
        moved = 0
        for trial in range(20):
            names = [f"host-{trial}-{number}:1 x" for number in range(count + 1)]
            before = preferred_owners(CLOCK, 64, [announcement(name) for name in names[:-1]])
            after = preferred_owners(CLOCK, 64, [announcement(name) for name in names])
            moved += sum(before[number] != after[number] for number in before)
        assert moved / 20 <= 2 * 64 / (count + 1)


@pytest.mark.parametrize(
    ("complete", "started", "partition", "action"),
    [
        (True, True, MINE, Action.OPEN),
        (True, True, OTHERS, Action.NONE),
        (False, True, MINE, Action.NONE),
        (False, False, MINE, Action.OPEN),
    ],
)
def test_what_is_loaded(complete: bool, started: bool, partition: int, action: Action) -> None:
    """What this replica is preferred for. After a flush it waits for the announcements of others; at its start not."""
    assert decide(None, partition, complete=complete, started=started) is action


def test_a_replica_that_leaves_loads_nothing() -> None:
    """And closes what it does not own, with or without a lease."""
    leaving = announcement("a", leaving=True)

    assert decide(None, a=leaving) is Action.NONE
    assert decide(OwnPartition(LOADING), a=leaving) is Action.CLOSE
    assert decide(OwnPartition(LOADED), a=leaving) is Action.CLOSE
    assert decide(OwnPartition(LOADED, "t-1"), a=leaving, lease="a:t-1") is Action.CLOSE
    assert decide(OwnPartition(OWNER, "t-1", True), a=leaving, lease="a:t-1") is Action.NONE


def test_loading_ends_if_another_replica_is_preferred() -> None:
    """Unless this one still has the lease, because an owner loads the partition again."""
    assert decide(OwnPartition(LOADING)) is Action.NONE
    assert decide(OwnPartition(LOADING), OTHERS) is Action.CLOSE
    assert decide(OwnPartition(LOADING, "t-1"), OTHERS, lease="a:t-1") is Action.NONE
    assert decide(OwnPartition(LOADING, "t-1"), OTHERS, lease="b:t-2") is Action.CLOSE


def test_a_free_lease_is_acquired_by_the_preferred_of_the_loaded_replicas() -> None:
    """Each further one waits for a second more, in case the preferred one does not acquire it."""
    both = announcement("b", loaded=BOTH)

    assert decide(OwnPartition(LOADED), b=both) is Action.ACQUIRE
    assert decide(OwnPartition(LOADED), OTHERS, b=both) is Action.NONE
    assert decide(OwnPartition(LOADED, free_s=RANK_DELAY_S), OTHERS, b=both) is Action.ACQUIRE
    assert decide(OwnPartition(LOADED), OTHERS) is Action.ACQUIRE
    assert decide(OwnPartition(LOADED), a=announcement("a")) is Action.NONE
    assert decide(OwnPartition(LOADED, failing=True)) is Action.NONE


def test_nothing_is_acquired_while_announcements_are_incomplete() -> None:
    """The owner acquires a lost lease with its next announcement."""
    assert decide(OwnPartition(LOADED), complete=False) is Action.NONE
    assert decide(OwnPartition(LOADED, loaded_s=99.0), lease="b:t-2", complete=False) is Action.NONE


@pytest.mark.parametrize(
    ("b", "loaded_s", "action"),
    [
        (announcement("b", owned=BOTH), TAKE_OVER_AFTER_S - 0.1, Action.NONE),
        (announcement("b", owned=BOTH), TAKE_OVER_AFTER_S, Action.ACQUIRE),
        (announcement("b", owned=BOTH, failing=BOTH), REPLACE_FAILING_AFTER_S - 0.1, Action.NONE),
        (announcement("b", owned=BOTH, failing=BOTH), REPLACE_FAILING_AFTER_S, Action.ACQUIRE),
        (announcement("b", owned=BOTH, leaving=True), 0.0, Action.ACQUIRE),
        (announcement("c"), 0.0, Action.ACQUIRE),
    ],
    ids=["works", "works, 10 s", "fails", "fails, 3 s", "leaves", "is gone"],
)
def test_when_a_preferred_replica_takes_over(b: SchedulerAnnouncement, loaded_s: float, action: Action) -> None:
    """At once if the owner leaves or is gone; otherwise the preferred replica proves first that it stays."""
    owners = preferred_owners(CLOCK, 2, [announcement("a"), b])
    wanted = next(number for number, name in owners.items() if name == "a")

    assert decide(OwnPartition(LOADED, loaded_s=loaded_s), wanted, lease="b:t-2", b=b) is action


def test_a_replica_that_is_not_preferred_takes_nothing_over() -> None:
    """It keeps what it has loaded until a replica that stays owns it."""
    standby = OwnPartition(LOADED, loaded_s=99.0)

    assert decide(standby, OTHERS, lease="b:t-2", b=announcement("b", loaded=BOTH)) is Action.NONE
    assert decide(standby, OTHERS, lease="b:t-2", b=announcement("b", loaded=BOTH, owned=BOTH)) is Action.CLOSE


def test_fencing_follows_the_lease() -> None:
    """Also after this replica was fenced. Without the lease it becomes a standby. If it can't fence, it gives up."""
    assert decide(OwnPartition(LOADED, "t-1"), lease="a:t-1") is Action.FENCE
    assert decide(OwnPartition(LOADED, "t-1"), lease="b:t-2") is Action.STAND_BY
    assert decide(OwnPartition(LOADED, "t-1"), lease="a:t-3") is Action.STAND_BY
    assert decide(OwnPartition(LOADED, "t-1", failing=True), lease="a:t-1") is Action.STAND_BY


@pytest.mark.parametrize("partition", [MINE, OTHERS], ids=["preferred", "not preferred"])
def test_an_owner_works_until_it_is_fenced(partition: int) -> None:
    """Another replica that has the lease says that it owns the partition after it has fenced this one."""
    confirmed = OwnPartition(OWNER, "t-1", True)
    fencing, fenced = announcement("b", loaded=BOTH), announcement("b", loaded=BOTH, owned=BOTH)

    assert decide(confirmed, partition, lease="a:t-1", b=fenced) is Action.NONE
    assert decide(confirmed, partition, b=fenced) is Action.NONE
    assert decide(confirmed, partition, lease="b:t-2", b=fencing) is Action.NONE
    assert decide(confirmed, partition, lease="b:t-2", b=fenced) is Action.STAND_BY
    assert decide(confirmed, partition, lease="c:t-2") is Action.NONE


def test_a_fence_that_ended_after_the_lease_was_lost() -> None:
    """This replica may have fenced the right owner, so it becomes a standby. With the lease, or with none, it works."""
    late = OwnPartition(OWNER, "t-1", confirmed=False)

    assert decide(late, lease="b:t-2", b=announcement("b", loaded=BOTH)) is Action.STAND_BY
    assert decide(replace(late, token=None)) is Action.STAND_BY
    assert decide(late, lease="a:t-1") is Action.NONE
    assert decide(late) is Action.NONE


def test_the_store_that_lost_one_of_two_replicas() -> None:
    """A replica that thinks that it is alone loads everything, but takes no lease from an owner that works."""
    assert decide(None, OTHERS, alone=True) is Action.OPEN
    assert Outlook(CLOCK, 2, "a", SchedulersReading(0, (announcement("a"),), None), started=True).alone
