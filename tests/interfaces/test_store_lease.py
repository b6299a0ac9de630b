"""The store, the lease: one holder, a token in every write, and what replicas and leader say with an end."""

from collections.abc import Callable
from threading import Thread

import pytest

from clocksvc.clock.spec import Replica
from clocksvc.errors import LeaseLost, StoreMismatch
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    HOLDER,
    IDENTITY,
    LEASE_MS,
    ORDERS_0,
    OTHER_TOKEN,
    ROSTER,
    SINGLE,
    STARTED,
    TOKEN,
    lead,
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
    "read_progress": lambda store, token: store.read_progress(token, LEASE_MS),
    "publish": lambda store, token: store.publish(token, [tick(0, None)]),
    "publish nothing": lambda store, token: store.publish(token, []),
    "rebuild": lambda store, token: store.rebuild(token, [tick(5, 4)], tick(5, 4).at_ms),
    "rebuild empty": lambda store, token: store.rebuild(token, [], None),
    "publish_status": lambda store, token: store.publish_status(token, "{}", LEASE_MS),
}


def test_one_token_holds_the_lease(store: Store) -> None:
    """Who comes second is refused; who holds it may take it again, which makes it last from then on."""
    assert store.acquire_lease(TOKEN, HOLDER, SHORT_MS)
    assert not store.acquire_lease(OTHER_TOKEN, "replica-b:1", LEASE_MS)
    assert store.acquire_lease(TOKEN, HOLDER, LEASE_MS)
    assert store.snapshot().leader == HOLDER


def test_lease_expires(store: Store) -> None:
    """Unless it is renewed, another may take it after its time; then the first one's token is worth nothing."""
    store.acquire_lease(TOKEN, HOLDER, SHORT_MS)

    eventually(lambda: store.acquire_lease(OTHER_TOKEN, "replica-b:1", LEASE_MS), what="the lease to expire")

    assert store.snapshot().leader == "replica-b:1"
    assert not store.acquire_lease(TOKEN, HOLDER, LEASE_MS)


def test_no_leader_after_the_lease_expired(store: Store) -> None:
    """A reader sees no leader then, and the former one can't write."""
    lead(store)
    store.read_progress(TOKEN, SHORT_MS)

    eventually(lambda: store.snapshot().leader is None, what="the lease to expire")

    with pytest.raises(LeaseLost):
        store.read_progress(TOKEN, LEASE_MS)


def test_reading_the_minimum_renews_the_lease(store: Store) -> None:
    """It lasts from then on as long as that call said."""
    store.acquire_lease(TOKEN, HOLDER, LEASE_MS)
    store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    store.write_roster(TOKEN, ROSTER, 1)
    store.read_progress(TOKEN, SHORT_MS)
    store.read_progress(TOKEN, 600_000)
    store.announce("a", "digest", 2 * SHORT_MS)

    eventually(lambda: not store.read_progress(TOKEN, 600_000).digests, what="a time longer than the first lease")
    assert store.snapshot().leader == HOLDER


def test_only_the_holder_gives_the_lease_up(store: Store) -> None:
    """Another's release does nothing, the holder's frees it at once; twice is harmless."""
    store.acquire_lease(TOKEN, HOLDER, LEASE_MS)
    store.release_lease(OTHER_TOKEN)
    assert store.snapshot().leader == HOLDER
    store.release_lease(TOKEN)
    store.release_lease(TOKEN)

    assert store.snapshot().leader is None
    assert store.acquire_lease(OTHER_TOKEN, "replica-b:1", LEASE_MS)


@pytest.mark.parametrize("write", WRITES)
def test_every_write_of_a_leader_checks_its_token(store: Store, write: str) -> None:
    """Another's token, or one that is a part of the holder's, raises LeaseLost and changes nothing."""
    lead(store)
    before = (store.snapshot().parameters, store.partitions(None, 10), store.newest_ticks(10))

    for token in (OTHER_TOKEN, TOKEN[:-1], ""):
        with pytest.raises(LeaseLost):
            WRITES[write](store, token)

    assert (store.snapshot().parameters, store.partitions(None, 10), store.newest_ticks(10)) == before
    assert store.read_progress(TOKEN, LEASE_MS).generation == 1


@pytest.mark.parametrize("write", WRITES)
def test_writes_without_a_lease_are_refused(store: Store, write: str) -> None:
    """Without a lease, no token is accepted."""
    for token in (TOKEN, ""):
        with pytest.raises(LeaseLost):
            WRITES[write](store, token)


def test_marks_of_another_cluster_are_never_mixed(store: Store) -> None:
    """The error names both clusters, and nothing is written."""
    lead(store)

    with pytest.raises(StoreMismatch, match=r"cluster-1.*cluster-2"):
        store.claim(TOKEN, StoreIdentity("cluster-2"), ClockParameters("other", ("orders",), 1_000, 0, 0), 1)

    assert store.snapshot().parameters == BOUNDS


def test_marks_of_another_format_are_never_mixed(store: Store) -> None:
    """The error names both formats."""
    lead(store)

    with pytest.raises(StoreMismatch, match=r"format 1.*format 2"):
        store.claim(TOKEN, StoreIdentity("cluster-1", 2), BOUNDS, STARTED)


def test_next_leader_writes_new_bounds_and_keeps_the_first_start(store: Store) -> None:
    """Under the same marks bounds may change; since when the clock has been led stays."""
    lead(store)
    bounds = ClockParameters("other-group", ("orders",), 1_000, 0, 5_000)

    store.claim(TOKEN, IDENTITY, bounds, STARTED + 5)

    assert (store.snapshot().parameters, store.snapshot().started_ms) == (bounds, STARTED)


def test_read_progress_returns_the_digests_of_live_replicas(store: Store) -> None:
    """Two with one configuration give one digest; another configuration shows; who leaves is forgotten."""
    lead(store)
    assert store.read_progress(TOKEN, LEASE_MS).digests == frozenset()
    store.announce("a", "digest-1", LEASE_MS)
    store.announce("b", "digest-1", LEASE_MS)
    assert store.read_progress(TOKEN, LEASE_MS).digests == {"digest-1"}
    store.announce("b", "digest-2", LEASE_MS)
    assert store.read_progress(TOKEN, LEASE_MS).digests == {"digest-1", "digest-2"}
    store.announce("a", "", 0)
    assert store.read_progress(TOKEN, LEASE_MS).digests == {"digest-2"}
    store.announce("b", "digest-2", 0)
    store.announce("unknown", "", 0)
    assert store.read_progress(TOKEN, LEASE_MS).digests == frozenset()


def test_replicas_lists_live_replicas_by_name(store: Store) -> None:
    """Each with its digest and its configuration; of the name, only the part before the space: `host:pid`."""
    store.announce("host:1 x", "digest-1", LEASE_MS, '{"interval": "60s"}')
    store.announce("host:1 y", "digest-2", LEASE_MS, '{"group": "a b"}')
    store.announce("gone:3", "digest-3", SHORT_MS)
    store.announce("left:4", "digest-4", LEASE_MS)
    store.announce("left:4", "", 0)

    wanted = {Replica("host:1", "digest-1", '{"interval": "60s"}'), Replica("host:1", "digest-2", '{"group": "a b"}')}
    eventually(lambda: set(store.replicas()) == wanted, what="the silent one to be forgotten")


def test_a_lost_announcement_is_noticed(implementation: StoreImplementation, store: Store) -> None:
    """A flush restarts the time in which replicas may be unseen; another replica and a repetition do not."""
    implementation.wipe()
    lead(store)
    assert store.read_progress(TOKEN, LEASE_MS).announcements_complete_since_ms is None
    before_ms = store.now_ms()
    store.announce("a", "digest", LEASE_MS)
    first = store.read_progress(TOKEN, LEASE_MS)
    eventually(lambda: store.now_ms() > first.now_ms, what="a millisecond to pass")
    store.announce("a", "digest", LEASE_MS)
    store.announce("b", "digest", LEASE_MS)
    again = store.read_progress(TOKEN, LEASE_MS)
    implementation.wipe()
    lead(store)
    store.announce("a", "digest", LEASE_MS)

    assert before_ms <= (first.announcements_complete_since_ms or 0) <= first.now_ms
    assert again.announcements_complete_since_ms == first.announcements_complete_since_ms
    assert (store.read_progress(TOKEN, LEASE_MS).announcements_complete_since_ms or 0) > first.now_ms


def test_replica_that_falls_silent_is_forgotten(store: Store) -> None:
    """An announcement lasts for its own TTL, independent of others."""
    lead(store)
    store.announce("a", "digest-1", SHORT_MS)
    store.announce("b", "digest-2", LEASE_MS)

    eventually(
        lambda: store.read_progress(TOKEN, LEASE_MS).digests == {"digest-2"}, what="the first announcement to end"
    )


def test_verdict_lasts_as_long_as_the_leader_says(store: Store) -> None:
    """The newest one shows, and none once its time is over."""
    lead(store)
    assert store.snapshot().leader_status is None
    store.publish_status(TOKEN, '{"hold": null}', LEASE_MS)
    store.publish_status(TOKEN, '{"hold": {"reason": "paused"}}', SHORT_MS)
    assert store.snapshot().leader_status == '{"hold": {"reason": "paused"}}'

    eventually(lambda: store.snapshot().leader_status is None, what="the verdict to end")


def test_verdict_outlives_the_lease(store: Store) -> None:
    """The status stays after the leader has left."""
    lead(store)
    store.publish_status(TOKEN, '{"hold": null}', LEASE_MS)
    store.release_lease(TOKEN)

    assert store.snapshot().leader_status == '{"hold": null}'


def test_reports_do_not_need_a_leader(store: Store) -> None:
    """Between two leaders, partition clocks go on."""
    lead(store)
    store.release_lease(TOKEN)
    send(store, (ORDERS_0, BASE))

    assert raw(store, ORDERS_0) == BASE


def test_wake_up_ends_a_wait_and_is_used_up_by_it(store: Store) -> None:
    """However often the leader was called, it is woken once."""
    store.notify()
    store.notify()

    assert store.wait_for_notification(5.0)
    assert not store.wait_for_notification(0)
    assert not store.wait_for_notification(0.05)


def test_wake_up_reaches_a_leader_that_waits(store: Store) -> None:
    """A wait that has begun ends with the call."""
    woken: list[bool] = []
    thread = Thread(target=lambda: woken.append(store.wait_for_notification(30.0)))
    thread.start()
    thread.join(0.05)
    store.notify()
    thread.join(10.0)

    assert woken == [True]
