"""The interface of a store: progress belongs to the group that reported it."""

from clocksvc.clock.partition import Outcome
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.progress import ClockParameters
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    CLOCK,
    IDENTITY,
    LEASE_MS,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    OTHER_REPLICA,
    OTHER_TOKEN,
    ROSTER,
    SINGLE,
    STARTED,
    TOKEN,
    lead,
    progress,
    raw,
    send,
)
from tests.preconditions import require


def bounds_of(group: str) -> ClockParameters:
    """The clock's bounds with this consumer group."""
    return ClockParameters(group, ("orders",), MINUTE, 0, MINUTE)


def change_group(store: Store, group: str, roster: Roster, generation: int) -> None:
    """Claim the store with another group and write the roster."""
    store.claim(TOKEN, IDENTITY, bounds_of(group), STARTED)
    store.write_roster(TOKEN, roster, generation)


def test_another_group_begins_with_unknown_partitions(store: Store, leases: Leases) -> None:
    """After a change of the group every partition is unknown until the new group has reported it."""
    lead(store, leases, SINGLE, bounds_of("old"))
    require(send(store, (ORDERS_0, BASE), group="old") == (Outcome.ACCEPTED,), "the old group reports")

    change_group(store, "new", SINGLE, 2)

    assert progress(leases).lowest_ms is None
    assert send(store, (ORDERS_0, BASE - MINUTE), group="new") == (Outcome.ACCEPTED,)
    assert progress(leases).lowest_ms == BASE - MINUTE


def test_nothing_of_the_old_group_is_shown(store: Store, leases: Leases) -> None:
    """Neither when a partition was reported, nor why a report was rejected."""
    lead(store, leases, ROSTER, bounds_of("old"))
    send(store, (ORDERS_0, BASE), (ORDERS_1, -1), group="old")

    change_group(store, "new", ROSTER, 2)

    assert [(one.raw_ms, one.reported_ms, one.rejected) for one in store.partitions(None, 9)] == [(None,) * 3] * 3


def test_the_old_group_is_not_heard_any_more(store: Store, leases: Leases) -> None:
    """Its reports are rejected as those of another group; with the old group again, all partitions are unknown."""
    lead(store, leases, SINGLE, bounds_of("old"))
    send(store, (ORDERS_0, BASE), group="old")
    change_group(store, "new", SINGLE, 2)

    assert send(store, (ORDERS_0, BASE), group="old") == (Outcome.FOREIGN_GROUP,)
    change_group(store, "old", SINGLE, 3)
    assert progress(leases).lowest_ms is None


def test_a_leader_that_does_not_write_the_roster_mixes_no_groups(store: Store, leases: Leases) -> None:
    """A leader claims the store for another group and dies before it writes the roster. Reports of that group are
    unknown, and do not count for the old group when the next leader returns to it."""
    lead(store, leases, SINGLE, bounds_of("old"))
    send(store, (ORDERS_0, BASE), group="old")
    store.claim(TOKEN, IDENTITY, bounds_of("new"), STARTED)

    assert progress(leases).lowest_ms is None
    assert send(store, (ORDERS_0, BASE + 9 * MINUTE), group="new") == (Outcome.UNKNOWN,)
    change_group(store, "old", SINGLE, 2)
    assert progress(leases).lowest_ms == BASE


def test_a_new_group_and_a_recreated_topic(store: Store, leases: Leases) -> None:
    """The partitions are unknown, and reports of the old topic do not count for the new one."""
    lead(store, leases, SINGLE, bounds_of("old"))
    send(store, (ORDERS_0, BASE), group="old")

    change_group(store, "new", Roster({"orders": TopicMetadata("id-2", 1)}), 2)

    assert send(store, (ORDERS_0, BASE), group="new") == (Outcome.UNCHANGED,)
    assert progress(leases).lowest_ms is None
    assert send(store, (ORDERS_0, BASE + MINUTE), group="new") == (Outcome.ACCEPTED,)


def test_a_leader_that_has_not_claimed_the_store_keeps_nothing(store: Store, leases: Leases) -> None:
    """A failover can bring back the group of an earlier term, whose progress must not count for the present group. So a
    leader gets no reading, and its roster keeps no timestamps, until it has claimed the store with its own token."""
    lead(store, leases, SINGLE, bounds_of("old"))
    send(store, (ORDERS_0, BASE), group="old")
    leases.release(TOKEN)
    leases.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS)

    assert leases.read_round(OTHER_TOKEN, LEASE_MS, [CLOCK]).progress == {CLOCK: None}
    store.write_roster(OTHER_TOKEN, SINGLE, 2)
    assert raw(store, ORDERS_0) is None
    assert leases.read_round(OTHER_TOKEN, LEASE_MS, [CLOCK]).progress == {CLOCK: None}
    store.claim(OTHER_TOKEN, IDENTITY, bounds_of("old"), STARTED)
    assert progress(leases, OTHER_TOKEN).generation == 2
