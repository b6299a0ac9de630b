"""The interface of the replicas of the scheduler, and of the leases on partitions."""

from collections.abc import Mapping

import pytest

from clocksvc.interfaces.schedulers import PartitionLease, SchedulerAnnouncement, Schedulers, Stats
from tests.interfaces.store_examples import CLOCK, SINGLE, lead
from tests.interfaces.store_implementations import (
    RedisStoreImplementation,
    StoreImplementation,
)
from tests.waiting import eventually

SHORT_MS = 150
LONG_MS = 60_000
FIRST = SchedulerAnnouncement("a:1 x", "http://a:8081")
SECOND = SchedulerAnnouncement("b:1 y", "http://b:8081")


@pytest.fixture
def schedulers(implementation: StoreImplementation) -> Schedulers:
    """The schedulers of each implementation."""
    return implementation.server.schedulers(CLOCK)


def tokens(schedulers: Schedulers) -> Mapping[int, str]:
    """The tokens of the leases, by partition."""
    return {partition: lease.token for partition, lease in schedulers.read().leases.items()}


def replicas(schedulers: Schedulers) -> list[str]:
    """The names of the live replicas."""
    return [one.replica for one in schedulers.read().announcements]


def test_live_replicas_are_listed(schedulers: Schedulers) -> None:
    """With all that they announce, in the order of their names. An announcement replaces the last one."""
    assert schedulers.read().announcements == ()
    schedulers.announce(SECOND, LONG_MS, {})
    stats: dict[int, Stats] = {0: {"schedules": 12, "problem": None}, 7: {"state": "loading"}}
    some = frozenset({0, 7}), frozenset({7}), frozenset({5})
    changed = SchedulerAnnouncement("a:1 x", "http://a:9", True, *some, stats)
    schedulers.announce(FIRST, LONG_MS, {})

    reading = schedulers.announce(changed, LONG_MS, {})

    assert reading.announcements == schedulers.read().announcements == (changed, SECOND)
    assert reading.leases == {}


def test_a_replica_that_does_not_repeat_itself_is_forgotten(schedulers: Schedulers) -> None:
    """Its announcement lasts for its own TTL, and so do its leases."""
    schedulers.announce(FIRST, SHORT_MS, {3: "t-1"})
    schedulers.announce(SECOND, LONG_MS, {4: "t-2"})

    eventually(lambda: replicas(schedulers) == ["b:1 y"] and tokens(schedulers) == {4: "t-2"}, what="the first to end")


def test_a_free_lease_is_acquired_by_one_replica(schedulers: Schedulers) -> None:
    """The reading names its replica and its address. The same call can be repeated."""
    assert schedulers.acquire(3, "t-1", FIRST, LONG_MS, None)
    assert not schedulers.acquire(3, "t-2", SECOND, LONG_MS, None)
    assert schedulers.acquire(3, "t-1", FIRST, LONG_MS, None)
    assert schedulers.acquire(4, "t-3", SECOND, LONG_MS, None)

    assert schedulers.read().leases == {
        3: PartitionLease("t-1", "a:1 x", "http://a:8081"),
        4: PartitionLease("t-3", "b:1 y", "http://b:8081"),
    }


def test_a_lease_is_taken_over_only_from_the_expected_holder(schedulers: Schedulers) -> None:
    """If another replica was faster, or if the lease has ended, nothing is acquired."""
    schedulers.acquire(3, "t-1", FIRST, LONG_MS, None)

    assert not schedulers.acquire(3, "t-2", SECOND, LONG_MS, "t-0")
    assert not schedulers.acquire(4, "t-2", SECOND, LONG_MS, "t-1")
    assert schedulers.acquire(3, "t-2", SECOND, LONG_MS, "t-1")
    assert schedulers.acquire(3, "t-2", SECOND, LONG_MS, "t-1")
    assert not schedulers.acquire(3, "t-3", FIRST, LONG_MS, "t-1")

    assert tokens(schedulers) == {3: "t-2"}


def test_an_expired_lease_is_free(schedulers: Schedulers) -> None:
    """A takeover from its token fails, because it is not there."""
    schedulers.acquire(3, "t-1", FIRST, SHORT_MS, None)
    eventually(lambda: not tokens(schedulers), what="the lease to expire")

    assert not schedulers.acquire(3, "t-2", SECOND, LONG_MS, "t-1")
    assert schedulers.acquire(3, "t-2", SECOND, LONG_MS, None)


def test_an_announcement_renews_leases(schedulers: Schedulers) -> None:
    """Those of the given tokens, for the TTL of that call. Leases with other tokens stay as they are."""
    schedulers.acquire(1, "t-1", FIRST, SHORT_MS, None)
    schedulers.acquire(2, "t-2", FIRST, SHORT_MS, None)
    schedulers.acquire(3, "t-3", SECOND, LONG_MS, None)

    reading = schedulers.announce(FIRST, LONG_MS, {1: "t-1", 3: "t-9"})

    assert {number: lease.token for number, lease in reading.leases.items()} == {1: "t-1", 2: "t-2", 3: "t-3"}
    eventually(lambda: tokens(schedulers) == {1: "t-1", 3: "t-3"}, what="the lease that was not renewed to expire")


def test_an_owner_acquires_a_lost_lease_again(implementation: StoreImplementation, schedulers: Schedulers) -> None:
    """After a flush, with the token that it had."""
    schedulers.announce(FIRST, LONG_MS, {1: "t-1"})
    implementation.wipe()
    assert tokens(schedulers) == {}

    schedulers.announce(FIRST, LONG_MS, {1: "t-1"})

    assert tokens(schedulers) == {1: "t-1"}


def test_only_its_token_releases_a_lease(schedulers: Schedulers) -> None:
    """Another token's release does nothing, and a second release is harmless."""
    schedulers.acquire(1, "t-1", FIRST, LONG_MS, None)
    schedulers.release(1, "t-2")
    schedulers.release(2, "t-1")
    assert tokens(schedulers) == {1: "t-1"}

    schedulers.release(1, "t-1")
    schedulers.release(1, "t-1")

    assert tokens(schedulers) == {}
    assert schedulers.acquire(1, "t-2", SECOND, LONG_MS, None)


def test_a_replica_withdraws_everything_that_it_has(schedulers: Schedulers) -> None:
    """Its announcement and its leases, and nothing of others. It can be repeated."""
    schedulers.announce(FIRST, LONG_MS, {1: "t-1", 2: "t-2"})
    schedulers.announce(SECOND, LONG_MS, {3: "t-3"})

    schedulers.withdraw("a:1 x", {1: "t-1", 2: "t-2", 3: "t-1"})
    schedulers.withdraw("a:1 x", {1: "t-1"})

    assert (replicas(schedulers), tokens(schedulers)) == (["b:1 y"], {3: "t-3"})


def test_lost_announcements_are_noticed(implementation: StoreImplementation, schedulers: Schedulers) -> None:
    """They are complete from the first announcement on. Others and repetitions do not change this time; a flush does.
    While no announcement is there, it is not known."""
    assert schedulers.read().announcements_complete_since_ms is None
    first = schedulers.announce(FIRST, LONG_MS, {})
    eventually(lambda: schedulers.read().now_ms > first.now_ms, what="a millisecond to pass")
    schedulers.announce(FIRST, LONG_MS, {})
    again = schedulers.announce(SECOND, LONG_MS, {})
    schedulers.withdraw("a:1 x", {})
    implementation.wipe()
    lost = schedulers.read()
    after = schedulers.announce(FIRST, LONG_MS, {})

    assert first.announcements_complete_since_ms == first.now_ms
    assert again.announcements_complete_since_ms == first.now_ms
    assert lost.announcements_complete_since_ms is None
    assert (after.announcements_complete_since_ms or 0) > first.now_ms


def test_announcements_that_all_expired_are_lost(schedulers: Schedulers) -> None:
    """The replicas may have been unable to reach the store, so the time begins again."""
    first = schedulers.announce(FIRST, SHORT_MS, {})
    eventually(lambda: not replicas(schedulers), what="the announcement to expire")

    assert schedulers.read().announcements_complete_since_ms is None
    assert (schedulers.announce(FIRST, LONG_MS, {}).announcements_complete_since_ms or 0) > first.now_ms


def test_each_clock_has_its_own_replicas(implementation: StoreImplementation, schedulers: Schedulers) -> None:
    """Also clocks of the same log."""
    schedulers.announce(FIRST, LONG_MS, {1: "t-1"})

    other = implementation.server.schedulers("other")

    assert (other.read().announcements, other.read().leases) == ((), {})
    assert other.acquire(1, "t-2", SECOND, LONG_MS, None)
    assert tokens(schedulers) == {1: "t-1"}


def test_the_owner_of_a_partition(schedulers: Schedulers) -> None:
    """During a takeover this is the replica that still works; with several, the one that has the lease."""
    owner = SchedulerAnnouncement("a:1 x", "http://a:8081", loaded=frozenset({1}), owned=frozenset({1}))
    loaded = SchedulerAnnouncement("b:1 y", "http://b:8081", loaded=frozenset({1}))
    taken = SchedulerAnnouncement("b:1 y", "http://b:8081", loaded=frozenset({1}), owned=frozenset({1}))
    assert schedulers.read().owner(1) is None
    schedulers.announce(owner, LONG_MS, {1: "t-1"})
    schedulers.announce(loaded, LONG_MS, {})
    schedulers.acquire(1, "t-2", loaded, LONG_MS, "t-1")

    assert schedulers.read().owner(1) == owner
    assert schedulers.announce(taken, LONG_MS, {1: "t-2"}).owner(1) == taken
    assert schedulers.read().owner(2) is None


def test_no_leader_is_needed(implementation: StoreImplementation, schedulers: Schedulers) -> None:
    """The leader of the clock's log and the schedulers know nothing of each other."""
    lead(implementation.store, implementation.leases, SINGLE)
    schedulers.announce(FIRST, LONG_MS, {1: "t-1"})
    implementation.leases.release("token-1")

    assert tokens(schedulers) == {1: "t-1"}


@pytest.mark.servers
def test_a_clock_that_was_set_back_leaves_no_ghosts(on_redis: RedisStoreImplementation) -> None:
    """A replica and a lease that seem to be valid for longer than any can be are dropped by the next announcement, and
    announcements are complete from then on."""
    schedulers = on_redis.server.schedulers(CLOCK)
    now_ms = schedulers.announce(FIRST, LONG_MS, {1: "t-1"}).now_ms
    ahead_ms = now_ms + 10 * LONG_MS
    on_redis.raw.hset(on_redis.key("schedulers"), "since", ahead_ms)
    on_redis.raw.hset(on_redis.key("schedulers"), "ghost:1 z", f"{ahead_ms} {{}}")
    on_redis.raw.hset(on_redis.key("partition-leases"), "2", f"{ahead_ms} t-2 []")

    reading = schedulers.announce(SECOND, LONG_MS, {})

    assert [one.replica for one in reading.announcements] == ["a:1 x", "b:1 y"]
    assert list(reading.leases) == [1]
    assert now_ms <= (reading.announcements_complete_since_ms or 0) <= reading.now_ms


@pytest.mark.servers
@pytest.mark.parametrize("junk", ["", "mine", "9999999999999", "x y z"])
def test_strange_leases_are_no_leases(on_redis: RedisStoreImplementation, junk: str) -> None:
    """The partition is free."""
    schedulers = on_redis.server.schedulers(CLOCK)
    on_redis.raw.hset(on_redis.key("partition-leases"), "1", junk)

    assert schedulers.read().leases == {}
    assert schedulers.acquire(1, "t-1", FIRST, LONG_MS, None)
    assert tokens(schedulers) == {1: "t-1"}
