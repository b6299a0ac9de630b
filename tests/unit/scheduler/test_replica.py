"""Replicas of the scheduler share partitions, and move them without a gap, also without the store.

Kafka's part, fencing, is simulated: an owner that was fenced can't write, and notices it at its next append.
"""

import random
from collections import Counter

import pytest

from clocksvc.interfaces.schedulers import SchedulerAnnouncement
from clocksvc.scheduler.ownership import TAKE_OVER_AFTER_S, TTL_MS, preferred_owners
from clocksvc.scheduler.partition_state import PartitionState
from clocksvc.scheduler.replica import FAILING_AFTER_S, LEAVE_WITHIN_S
from tests.preconditions import require
from tests.unit.scheduler.fleet import CLOCK, STEP_S, Fleet, Pace

pytestmark = pytest.mark.core

SETTLED_S = 20.0
"""After this time, all partitions are where they should be."""


def settled(*names: str, partitions: int = 8) -> Fleet:
    """Replicas that own all partitions."""
    fleet = Fleet(partitions)
    for name in names:
        fleet.start(name)
    fleet.run(SETTLED_S)
    assert len(fleet.owners()) == partitions
    return fleet


def check_settled(fleet: Fleet) -> None:
    """Each partition is owned by the preferred replica, has its lease, and is in memory only there."""
    preferred = preferred_owners(CLOCK, fleet.partitions, fleet.reading().announcements)
    owners = {number: f"{name}:1 x" for number, name in fleet.owners().items()}
    assert owners == preferred
    assert {number: lease.replica for number, lease in fleet.reading().leases.items()} == preferred
    assert fleet.tables() == Counter(range(fleet.partitions))
    assert all(replica.settled for replica in fleet.replicas.values())
    for number, replica in preferred.items():
        owner = fleet.reading().owner(number)
        assert owner is not None
        assert owner.replica == replica


def leases_of(fleet: Fleet, name: str) -> list[int]:
    """The partitions whose lease a replica has."""
    return [number for number, lease in fleet.reading().leases.items() if lease.replica == f"{name}:1 x"]


def test_one_replica_owns_everything() -> None:
    """It loads at once, and owns as soon as it knows that no other replica does."""
    fleet = Fleet()
    replica = fleet.start("a")
    assert not replica.settled

    fleet.run(3.0)

    check_settled(fleet)
    assert fleet.announcement("a").loaded == fleet.announcement("a").owned == frozenset(range(8))
    assert fleet.announcement("a").stats[3]["state"] == "owner"


def test_replicas_that_start_together_share_the_partitions() -> None:
    """Each loads and fences only its own."""
    fleet = settled("a", "b", "c")

    check_settled(fleet)
    assert sorted(Counter(fleet.owners().values()).values()) == [2, 3, 3]
    assert set(fleet.brokers.fences.values()) == {1}


def test_a_new_replica_takes_its_share_over() -> None:
    """It loads first, and waits for 10 s. No partition is without an owner but for the fence, and each one that moves
    is fenced once."""
    fleet = settled("a")
    fleet.start("b")
    fleet.run(TAKE_OVER_AFTER_S)
    assert set(fleet.owners().values()) == {"a"}
    assert len(fleet.announcement("b").loaded) == 4
    assert fleet.announcement("b").owned == frozenset()

    fleet.run(SETTLED_S)

    check_settled(fleet)
    assert Counter(fleet.owners().values()) == {"a": 4, "b": 4}
    assert Counter(fleet.brokers.fences.values()) == {1: 4, 2: 4}
    assert max(fleet.gaps.values()) == 0.0


def test_a_replica_that_crashes_soon_after_its_start_moves_nothing() -> None:
    """Again and again."""
    fleet = settled("a")
    for _ in range(5):
        fleet.start("b")
        fleet.run(TAKE_OVER_AFTER_S)
        fleet.kill("b")
        fleet.run(5.0)

    check_settled(fleet)
    assert set(fleet.brokers.fences.values()) == {1}


def test_a_replica_that_leaves_works_until_others_have_taken_over() -> None:
    """They load its partitions and take them over at once. It knows from their announcements that it was fenced,
    although it appends nothing for a minute, and ends. Then nothing of it is left in the store."""
    fleet = Fleet()
    fleet.start("a", Pace(append_every_s=60.0))
    fleet.start("b")
    fleet.run(SETTLED_S)

    leaving = fleet.replicas["a"]
    leaving.leave()
    fleet.run(1.0)
    assert fleet.announcement("a").leaving
    assert len([name for name in fleet.owners().values() if name == "a"]) == 4
    fleet.run(5.0)

    assert leaving.left
    assert leaving.join(0)
    check_settled(fleet)
    assert [one.replica for one in fleet.reading().announcements] == ["b:1 x"]
    assert max(fleet.gaps.values()) == 0.0


def test_a_lone_replica_ends_at_once() -> None:
    """No replica could take over. Its leases are free for the next one."""
    fleet = settled("a")
    replica = fleet.replicas["a"]
    replica.leave()
    fleet.run(2 * STEP_S + 1.0)

    assert replica.left
    assert (fleet.reading().announcements, fleet.reading().leases) == ((), {})


def test_a_replica_leaves_after_30_s_at_the_latest() -> None:
    """The other one loads for too long."""
    fleet = settled("a")
    fleet.start("b", Pace(load_s=1_000))
    fleet.run(5.0)
    replica = fleet.replicas["a"]
    replica.leave()
    fleet.run(LEAVE_WITHIN_S - 2)
    assert not replica.left
    assert set(fleet.owners().values()) == {"a"}

    fleet.run(4.0)

    assert replica.left


def test_a_replica_ends_after_its_partitions() -> None:
    """It leaves while it fences: the fence takes effect, then it has left."""
    fleet = settled("a")
    replica = fleet.start("b", Pace(fence_s=6.0))
    fleet.run(2.5 + TAKE_OVER_AFTER_S + 1.0)
    require(len(leases_of(fleet, "b")) == 4, "the new replica has its leases")
    replica.leave()
    fleet.run(3.0)
    assert not replica.left
    assert fleet.tables() == Counter(range(8))

    fleet.run(4.0)

    assert replica.left
    fleet.run(5.0)
    check_settled(fleet)


def test_a_replica_leaves_while_the_store_is_down() -> None:
    """No replica can take over, but the store may come back: the replica works for 30 s."""
    fleet = settled("a", "b")
    fleet.server.broken = True
    replica = fleet.replicas["a"]
    replica.leave()
    fleet.run(LEAVE_WITHIN_S - 2)
    assert (replica.left, len(fleet.owners())) == (False, 8)

    fleet.run(4.0)

    assert replica.left


def test_rolling_restart_of_three() -> None:
    """A new replica starts, is loaded, then an old one leaves. The longest time without an owner is a fence."""
    fleet = settled("a", "b", "c", partitions=12)
    for old, new in (("a", "d"), ("b", "e"), ("c", "f")):
        fleet.start(new)
        fleet.run(4.0)
        assert fleet.replicas[new].settled
        fleet.replicas[old].leave()
        fleet.run(6.0)
        assert old not in fleet.replicas
    fleet.run(SETTLED_S)

    check_settled(fleet)
    assert max(fleet.gaps.values()) == 0.0


def test_partitions_of_a_killed_replica_are_loaded_elsewhere() -> None:
    """After its announcement and leases have expired: the gap is this time, loading and fencing."""
    fleet = settled("a", "b")
    fleet.kill("b")
    fleet.run(TTL_MS / 1000 + 1.0 + 2.0 + 1.0 + 0.5 + STEP_S)

    check_settled(fleet)


def test_a_flush_moves_nothing() -> None:
    """Owners acquire their leases again, and no replica loads or fences anything."""
    fleet = settled("a", "b", "c")
    before = fleet.brokers.fences.copy()
    for wait_s in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0):
        fleet.server.wipe()
        fleet.run(wait_s)
        assert fleet.tables() == Counter(range(8))
    fleet.run(SETTLED_S)

    check_settled(fleet)
    assert fleet.brokers.fences == before
    assert max(fleet.gaps.values()) == 0.0


def test_owners_work_while_the_store_is_down() -> None:
    """Nothing moves then, and nothing afterwards, although all leases have expired."""
    fleet = settled("a", "b")
    before = fleet.brokers.fences.copy()
    fleet.server.broken = True
    fleet.run(60.0)
    assert len(fleet.owners()) == 8
    fleet.server.broken = False
    fleet.run(SETTLED_S)

    check_settled(fleet)
    assert fleet.brokers.fences == before
    assert max(fleet.gaps.values()) == 0.0


def test_replicas_with_different_stores_do_not_fence_each_other_all_the_time() -> None:
    """Each has the leases in its own store, as after a failover of Redis that one of them has not noticed. They fence
    each other again with growing delays, and one of them can always write."""
    one = settled("a", partitions=2)
    other = Fleet(2, one.brokers)
    other.start("b")
    other.run(5.0)
    before = one.brokers.fences.copy()
    idle = Counter[int]()
    for _ in range(round(300 / STEP_S)):
        one.run(STEP_S)
        other.run(STEP_S)
        idle.update(number for number in range(2) if number not in one.owners() and number not in other.owners())

    assert all(6 <= one.brokers.fences[number] - before[number] <= 60 for number in range(2))
    assert idle == {}
    other.kill("b")
    one.run(SETTLED_S)
    check_settled(one)


def test_a_partition_is_not_in_memory_twice() -> None:
    """It is loaded again after its thread has ended, which can be long after it was closed."""
    fleet = settled("a")
    fleet.start("b", Pace(fence_s=100.0))
    fleet.run(2.5 + TAKE_OVER_AFTER_S + FAILING_AFTER_S + 2.0 + 60.0)
    assert fleet.announcement("b").failing == frozenset()
    assert fleet.tables() == Counter(range(8))

    fleet.run(30.0)

    assert Counter(fleet.tables().values()) == {1: 4, 2: 4}


def test_a_problem_counts_only_while_the_store_answers() -> None:
    """Kafka and the store come back at about the same time, and no replica is avoided."""
    fleet = settled("a", "b")
    before = fleet.brokers.fences.copy()
    partitions = [one for replica in fleet.replicas.values() for one in replica.partitions.values()]
    for partition in partitions:
        partition.problem = "Kafka does not answer"
    fleet.run(5.0)
    fleet.server.broken = True
    fleet.run(60.0)
    fleet.server.broken = False
    fleet.run(5.0)
    assert fleet.announcement("a").failing == fleet.announcement("b").failing == frozenset()
    for partition in partitions:
        partition.problem = None
    fleet.run(SETTLED_S)

    check_settled(fleet)
    assert fleet.brokers.fences == before


def test_a_fenced_owner_with_the_lease_fences_again() -> None:
    """Another program fenced it: it has the lease, so it is the right owner."""
    fleet = settled("a", "b")
    fleet.brokers.fence(3, object())
    fleet.run(3.0)

    check_settled(fleet)
    assert fleet.brokers.fences[3] == 3


def test_an_owner_that_fences_again_checks_its_lease_again() -> None:
    """Another replica took the lease just before the fence was complete, and died. The owner becomes a standby,
    acquires the lease, and fences with it."""
    fleet = settled("a")
    fleet.paces["a"].fence_s = STEP_S
    fleet.brokers.fence(3, object())
    while fleet.replicas["a"].partitions[3].state is PartitionState.OWNER:
        fleet.run(STEP_S)
    token = fleet.reading().leases[3].token
    dead = SchedulerAnnouncement("dead:1 x", "http://dead:8081")
    assert fleet.server.schedulers(CLOCK).acquire(3, "t-dead", dead, TTL_MS, token)

    fleet.run(10.0)

    check_settled(fleet)
    assert fleet.brokers.fences[3] == 4


def test_a_fence_that_takes_too_long_moves_nothing() -> None:
    """The owner works meanwhile. The new replica gives the lease up. When its late fence takes effect, the owner, which
    has the lease again, fences it."""
    fleet = settled("a")
    fleet.start("b", Pace(fence_s=40.0))
    fleet.run(2.5 + TAKE_OVER_AFTER_S + FAILING_AFTER_S + 2)
    assert set(fleet.owners().values()) == {"a"}
    assert len(fleet.announcement("b").failing) == 4
    assert fleet.announcement("b").loaded == frozenset()
    assert len(leases_of(fleet, "a")) == 8

    fleet.run(26.0)

    assert set(fleet.owners().values()) == {"a"}
    assert len(fleet.owners()) == len(leases_of(fleet, "a")) == 8
    assert Counter(fleet.brokers.fences.values()) == {1: 4, 3: 4}
    assert max(fleet.gaps.values()) < 3.0


@pytest.mark.parametrize("others", [0, 1])
def test_a_fence_that_takes_too_long_is_awaited_if_no_other_replica_is_left(others: int) -> None:
    """Brokers were out of reach for longer than a problem may last. Once they answer, nothing waits any more."""
    fleet = Fleet(2)
    fleet.start("a", Pace(fence_s=FAILING_AFTER_S + 20.0))
    for number in range(others):
        fleet.start(f"b{number}", Pace(fence_s=FAILING_AFTER_S + 20.0))
    fleet.run(FAILING_AFTER_S + 6.0)
    for number in range(others):
        fleet.kill(f"b{number}")

    fleet.run(2 * FAILING_AFTER_S + 30.0)

    assert fleet.owners() == {0: "a", 1: "a"}
    check_settled(fleet)


def test_a_lease_that_is_lost_during_a_fence() -> None:
    """The store is emptied after the lease was acquired, and the previous owner gets its lease back first. The new
    replica gives up, and takes over with the next attempt."""
    fleet = settled("a")
    fleet.start("b", Pace(fence_s=4.0))
    fleet.run(2.5 + TAKE_OVER_AFTER_S + 1.0)
    require(len(leases_of(fleet, "b")) == 4, "the new replica has its leases")
    fleet.server.wipe()
    fleet.replicas["a"].step()
    require(len(leases_of(fleet, "a")) == 8, "the old replica has all leases")

    fleet.run(30.0)

    check_settled(fleet)
    assert Counter(fleet.owners().values()) == {"a": 4, "b": 4}
    assert max(fleet.gaps.values()) < 2.0


def test_an_owner_with_a_problem_is_replaced() -> None:
    """After 15 s another replica is preferred for this partition alone, loads it and takes it over. The first one is
    preferred again a minute later at the latest."""
    fleet = settled("a", "b")
    number = next(number for number, name in fleet.owners().items() if name == "b")
    broken = fleet.replicas["b"].partitions[number]
    broken.problem = "the broker does not answer"

    fleet.run(FAILING_AFTER_S + 9.0)

    assert fleet.owners()[number] == "a"
    assert number in fleet.announcement("b").failing
    assert Counter(fleet.owners().values()) == {"a": 5, "b": 3}
    assert broken.closed
    fleet.run(60.0 + SETTLED_S)
    check_settled(fleet)
    assert Counter(fleet.owners().values()) == {"a": 4, "b": 4}


@pytest.mark.parametrize("everything", [True, False], ids=["Kafka", "the tick log"])
def test_a_problem_of_all_replicas_moves_nothing(everything: bool) -> None:
    """Kafka is down, or only owners have a problem, because a broker that has the ticks is down: there is no better
    replica."""
    fleet = settled("a", "b")
    before = fleet.brokers.fences.copy()
    for _ in range(400):
        for replica in fleet.replicas.values():
            for partition in replica.partitions.values():
                if everything or partition.state is PartitionState.OWNER:
                    partition.problem = "Kafka does not answer"
        fleet.run(STEP_S)
    for replica in fleet.replicas.values():
        for partition in replica.partitions.values():
            partition.problem = None
    fleet.run(SETTLED_S)

    check_settled(fleet)
    assert fleet.brokers.fences == before


@pytest.mark.parametrize("seed", range(25))
def test_after_any_faults_the_partitions_are_shared_again(seed: int) -> None:
    """Starts, kills, departures, flushes, a store that is down or goes back in time, replicas that stop for a while,
    slow fences and fences by others. Afterwards the preferred replicas own everything, and nothing moves any more."""
    chance = random.Random(seed)
    fleet = settled(*"abc", partitions=5)
    names = iter("defghijklmnopqrstuvwxyz")
    state = fleet.server.copy_state()
    for _ in range(10):
        kind = chance.choice(["start", "kill", "leave", "flush", "down", "restore", "fence", "pace", "wait", "pause"])
        running = list(fleet.replicas)
        if kind == "start" and len(running) < 5 and (name := next(names, None)):
            fleet.start(name, Pace(chance.choice([0.0, 2.0, 8.0]), chance.choice([0.0, 0.5, 6.0])))
        elif kind == "kill" and len(running) > 1:
            fleet.kill(chance.choice(running))
        elif kind == "leave" and running:
            fleet.replicas[chance.choice(running)].leave()
        elif kind == "flush":
            fleet.server.wipe()
        elif kind == "down":
            fleet.server.broken = not fleet.server.broken
        elif kind == "restore":
            fleet.server.fail_over(state)
        elif kind == "fence":
            fleet.brokers.fence(chance.randrange(5), object())
        elif kind == "pace" and running:
            fleet.paces[chance.choice(running)].fence_s = chance.choice([0.0, 0.5, 12.0])
        elif kind == "pause" and running:
            fleet.pause(chance.choice(running), chance.choice([1.0, 4.0, 20.0]))
        if chance.random() < 0.3:
            state = fleet.server.copy_state()
        fleet.run(chance.choice([0.25, 0.5, 1.0, 3.0, 12.0]))
    fleet.server.broken = False
    fleet.start("last")
    for pace in fleet.paces.values():
        pace.fence_s = 0.5
    fleet.run(LEAVE_WITHIN_S + 2 * SETTLED_S)

    before = fleet.brokers.fences.copy()
    fleet.run(30.0)
    check_settled(fleet)
    assert fleet.brokers.fences == before
