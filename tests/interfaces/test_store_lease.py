"""The store, the lease: one holder, a token in every write, and what replicas and leader say with an end."""

from collections.abc import Callable
from threading import Thread

import pytest

from clocksvc.clock.spec import Replica
from clocksvc.errors import LeaseLost, StoreMismatch
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    IDENTITY,
    LEASE_MS,
    ORDERS_0,
    OTHER_TOKEN,
    REPLICA,
    ROSTER,
    SINGLE,
    STARTED,
    TOKEN,
    lead,
    progress,
    raw,
    send,
    tick,
)
from tests.interfaces.store_implementations import StoreImplementation
from tests.waiting import eventually

SHORT_MS = 150

WRITES: dict[str, Callable[[Store, str], object]] = {
    "claim": lambda store, token: store.claim(token, IDENTITY, ClockParameters("other", ("orders",), 1_000, 0, 0), 1),
    "write_roster": lambda store, token: store.write_roster(token, SINGLE, 9),
    "read_progress": lambda store, token: progress(leases, token, LEASE_MS),
    "publish": lambda store, token: store.publish(token, [tick(0, None)]),
    "publish nothing": lambda store, token: store.publish(token, []),
    "rebuild": lambda store, token: store.rebuild(token, [tick(5, 4)], tick(5, 4).at_ms),
    "rebuild empty": lambda store, token: store.rebuild(token, [], None),
    "publish_status": lambda store, token: store.publish_status(token, "{}", LEASE_MS),
}


def test_one_token_holds_the_lease(store: Store, leases: Leases) -> None:
    """Who comes second is refused; who holds it may take it again, which makes it last from then on."""
    assert leases.acquire(TOKEN, REPLICA, SHORT_MS)
    assert not leases.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS)
    assert leases.acquire(TOKEN, REPLICA, LEASE_MS)
    assert store.snapshot().leader == REPLICA


def test_lease_expires(store: Store, leases: Leases) -> None:
    """Unless it is renewed, another may take it after its time; then the first one's token is worth nothing."""
    leases.acquire(TOKEN, REPLICA, SHORT_MS)

    eventually(lambda: leases.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS), what="the lease to expire")

    assert store.snapshot().leader == OTHER_REPLICA
    assert not leases.acquire(TOKEN, REPLICA, LEASE_MS)


def test_no_leader_after_the_lease_expired(store: Store, leases: Leases) -> None:
    """A reader sees no leader then, and the former one can't write."""
    lead(store, leases)
    progress(leases, TOKEN, SHORT_MS)

    eventually(lambda: store.snapshot().leader is None, what="the lease to expire")

    with pytest.raises(LeaseLost):
        progress(leases)


def test_reading_the_minimum_renews_the_lease(store: Store, leases: Leases) -> None:
    """It lasts from then on as long as that call said."""
    leases.acquire(TOKEN, REPLICA, LEASE_MS)
    store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    store.write_roster(TOKEN, ROSTER, 1)
    progress(leases, TOKEN, SHORT_MS)
    progress(leases, TOKEN, 600_000)
    leases.announce("a", "digest", 2 * SHORT_MS)

    eventually(lambda: not progress(leases, TOKEN, 600_000).digests, what="a time longer than the first lease")
    assert store.snapshot().leader == REPLICA


def test_only_the_holder_gives_the_lease_up(store: Store, leases: Leases) -> None:
    """Another's release does nothing, the holder's frees it at once; twice is harmless."""
    leases.acquire(TOKEN, REPLICA, LEASE_MS)
    leases.release(OTHER_TOKEN)
    assert store.snapshot().leader == REPLICA
    leases.release(TOKEN)
    leases.release(TOKEN)

    assert store.snapshot().leader is None
    assert leases.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS)


@pytest.mark.parametrize("write", WRITES)
def test_every_write_of_a_leader_checks_its_token(store: Store, write: str, leases: Leases) -> None:
    """Another's token, or one that is a part of the holder's, raises LeaseLost and changes nothing."""
    lead(store, leases)
    before = (store.snapshot().parameters, store.partitions(None, 10), store.newest_ticks(10))

    for token in (OTHER_TOKEN, TOKEN[:-1], ""):
        with pytest.raises(LeaseLost):
            WRITES[write](store, token)

    assert (store.snapshot().parameters, store.partitions(None, 10), store.newest_ticks(10)) == before
    assert progress(leases).generation == 1


@pytest.mark.parametrize("write", WRITES)
def test_writes_without_a_lease_are_refused(store: Store, write: str) -> None:
    """Without a lease, no token is accepted."""
    for token in (TOKEN, ""):
        with pytest.raises(LeaseLost):
            WRITES[write](store, token)


def test_marks_of_another_cluster_are_never_mixed(store: Store, leases: Leases) -> None:
    """The error names both clusters, and nothing is written."""
    lead(store, leases)

    with pytest.raises(StoreMismatch, match=r"cluster-1.*cluster-2"):
        store.claim(TOKEN, StoreIdentity("cluster-2"), ClockParameters("other", ("orders",), 1_000, 0, 0), 1)

    assert store.snapshot().parameters == BOUNDS


def test_marks_of_another_format_are_never_mixed(store: Store, leases: Leases) -> None:
    """The error names both formats."""
    lead(store, leases)

    with pytest.raises(StoreMismatch, match=r"format 1.*format 2"):
        store.claim(TOKEN, StoreIdentity("cluster-1", 2), BOUNDS, STARTED)


def test_next_leader_writes_new_bounds_and_keeps_the_first_start(store: Store, leases: Leases) -> None:
    """Under the same marks bounds may change; since when the clock has been led stays."""
    lead(store, leases)
    bounds = ClockParameters("other-group", ("orders",), 1_000, 0, 5_000)

    store.claim(TOKEN, IDENTITY, bounds, STARTED + 5)

    assert (store.snapshot().parameters, store.snapshot().started_ms) == (bounds, STARTED)


def test_read_progress_returns_the_digests_of_live_replicas(store: Store, leases: Leases) -> None:
    """Two with one configuration give one digest; another configuration shows; who leaves is forgotten."""
    lead(store, leases)
    assert progress(leases).digests == frozenset()
    leases.announce("a", "digest-1", LEASE_MS)
    leases.announce("b", "digest-1", LEASE_MS)
    assert progress(leases).digests == {"digest-1"}
    leases.announce("b", "digest-2", LEASE_MS)
    assert progress(leases).digests == {"digest-1", "digest-2"}
    leases.announce("a", "", 0)
    assert progress(leases).digests == {"digest-2"}
    leases.announce("b", "digest-2", 0)
    leases.announce("unknown", "", 0)
    assert progress(leases).digests == frozenset()


def test_replicas_lists_live_replicas_by_name(store: Store, leases: Leases) -> None:
    """Each with its digest and its configuration; of the name, only the part before the space: `host:pid`."""
    leases.announce("host:1 x", "digest-1", LEASE_MS, '{"interval": "60s"}')
    leases.announce("host:1 y", "digest-2", LEASE_MS, '{"group": "a b"}')
    leases.announce("gone:3", "digest-3", SHORT_MS)
    leases.announce("left:4", "digest-4", LEASE_MS)
    leases.announce("left:4", "", 0)

    wanted = {Replica("host:1", "digest-1", '{"interval": "60s"}'), Replica("host:1", "digest-2", '{"group": "a b"}')}
    eventually(lambda: set(store.replicas()) == wanted, what="the silent one to be forgotten")


def test_a_lost_announcement_is_noticed(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """A flush restarts the time in which replicas may be unseen; another replica and a repetition do not."""
    implementation.wipe()
    lead(store, leases)
    assert progress(leases).announcements_complete_since_ms is None
    before_ms = store.now_ms()
    leases.announce("a", "digest", LEASE_MS)
    first = progress(leases)
    eventually(lambda: store.now_ms() > first.now_ms, what="a millisecond to pass")
    leases.announce("a", "digest", LEASE_MS)
    leases.announce("b", "digest", LEASE_MS)
    again = progress(leases)
    implementation.wipe()
    lead(store, leases)
    leases.announce("a", "digest", LEASE_MS)

    assert before_ms <= (first.announcements_complete_since_ms or 0) <= first.now_ms
    assert again.announcements_complete_since_ms == first.announcements_complete_since_ms
    assert (progress(leases).announcements_complete_since_ms or 0) > first.now_ms


def test_replica_that_falls_silent_is_forgotten(store: Store, leases: Leases) -> None:
    """An announcement lasts for its own TTL, independent of others."""
    lead(store, leases)
    leases.announce("a", "digest-1", SHORT_MS)
    leases.announce("b", "digest-2", LEASE_MS)

    eventually(lambda: progress(leases).digests == {"digest-2"}, what="the first announcement to end")


def test_verdict_lasts_as_long_as_the_leader_says(store: Store, leases: Leases) -> None:
    """The newest one shows, and none once its time is over."""
    lead(store, leases)
    assert store.snapshot().leader_status is None
    store.publish_status(TOKEN, '{"hold": null}', LEASE_MS)
    store.publish_status(TOKEN, '{"hold": {"reason": "paused"}}', SHORT_MS)
    assert store.snapshot().leader_status == '{"hold": {"reason": "paused"}}'

    eventually(lambda: store.snapshot().leader_status is None, what="the verdict to end")


def test_verdict_outlives_the_lease(store: Store, leases: Leases) -> None:
    """The status stays after the leader has left."""
    lead(store, leases)
    store.publish_status(TOKEN, '{"hold": null}', LEASE_MS)
    leases.release(TOKEN)

    assert store.snapshot().leader_status == '{"hold": null}'


def test_reports_do_not_need_a_leader(store: Store, leases: Leases) -> None:
    """Between two leaders, partition clocks go on."""
    lead(store, leases)
    leases.release(TOKEN)
    send(store, (ORDERS_0, BASE))

    assert raw(store, ORDERS_0) == BASE


def test_wake_up_ends_a_wait_and_is_used_up_by_it(store: Store, leases: Leases) -> None:
    """However often the leader was called, it is woken once."""
    leases.notify()
    leases.notify()

    assert leases.wait_for_notification(5.0)
    assert not leases.wait_for_notification(0)
    assert not leases.wait_for_notification(0.05)


def test_wake_up_reaches_a_leader_that_waits(store: Store, leases: Leases) -> None:
    """A wait that has begun ends with the call."""
    woken: list[bool] = []
    thread = Thread(target=lambda: woken.append(leases.wait_for_notification(30.0)))
    thread.start()
    thread.join(0.05)
    leases.notify()
    thread.join(10.0)

    assert woken == [True]
