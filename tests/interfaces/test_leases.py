"""The leases: one leader a log, a token in every write, live replicas, and notifications of the leader."""

from collections.abc import Callable, Mapping
from threading import Thread

import pytest

from clocksvc.clock.log_owner import StoreMark
from clocksvc.errors import LeaseLost, StoreMismatch
from clocksvc.interfaces.hold_history import StatusUpdate
from clocksvc.interfaces.leases import Announcement, Leases
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    CLOCK,
    HOST_AND_PID,
    IDENTITY,
    LEASE_MS,
    LOG,
    ORDERS_0,
    OTHER_REPLICA,
    OTHER_TOKEN,
    REPLICA,
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
    "publish": lambda store, token: store.publish(token, [tick(0, None)]),
    "publish nothing": lambda store, token: store.publish(token, []),
    "begin": lambda store, token: store.begin(token, BASE, restoring=True),
    "stage": lambda store, token: store.stage(token, [tick(5, 4)], first=True),
    "finish_restoring": lambda store, token: store.finish_restoring(token),
    "write_request_results": lambda store, token: store.write_request_results(token, {}, LEASE_MS),
}


def publish_status(leases: Leases, status: str, ttl_ms: int = LEASE_MS) -> None:
    """Publish the leader's status of the clock."""
    leases.publish_statuses(TOKEN, {CLOCK: StatusUpdate(status)}, ttl_ms)


def announced(digest: str, replica: str = REPLICA, ready_ms: int | None = None) -> Announcement:
    """An announcement with one clock."""
    return Announcement(replica, {CLOCK: digest}, ready_ms)


def live(leases: Leases) -> Mapping[str, str]:
    """The digest of the clock by live replica."""
    return {one.replica: one.digests[CLOCK] for one in leases.read_lease().announcements}


def test_one_token_has_the_lease(leases: Leases) -> None:
    """Another token does not get it. The token that has it can renew it for longer."""
    assert leases.acquire(TOKEN, REPLICA, SHORT_MS)
    assert not leases.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS)
    assert leases.acquire(TOKEN, REPLICA, LEASE_MS)
    assert (leases.read_lease().holder, leases.read_lease().expired_holder) == (REPLICA, None)


def test_each_log_has_its_own_lease(implementation: StoreImplementation, leases: Leases) -> None:
    """Nothing of a log concerns another one."""
    other = implementation.server.leases((LOG + 1) % 16)
    leases.acquire(TOKEN, REPLICA, LEASE_MS)
    leases.announce(announced("a"), LEASE_MS, {"a": "{}"})
    leases.notify()

    assert (other.read_lease().holder, other.read_lease().announcements, other.configs()) == (None, (), {})
    assert not other.wait_for_notification(0)
    assert other.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS)
    assert leases.read_lease().holder == REPLICA


def test_lease_expires(leases: Leases) -> None:
    """A lease that is not renewed ends. The reading names the replica that did not release it, until another one
    acquires it; then the first one's token does not have it any more."""
    leases.acquire(TOKEN, REPLICA, SHORT_MS)

    eventually(lambda: leases.read_lease().holder is None, what="the lease to expire")

    assert leases.read_lease().expired_holder == REPLICA
    assert leases.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS)
    assert (leases.read_lease().holder, leases.read_lease().expired_holder) == (OTHER_REPLICA, None)
    assert not leases.acquire(TOKEN, REPLICA, LEASE_MS)


def test_no_leader_after_the_lease_expired(store: Store, leases: Leases) -> None:
    """A reader sees no leader then, and the former one can't write or read a round."""
    lead(store, leases)
    progress(leases, TOKEN, SHORT_MS)

    eventually(lambda: store.snapshot().leader is None, what="the lease to expire")

    with pytest.raises(LeaseLost):
        progress(leases)
    with pytest.raises(LeaseLost):
        store.publish(TOKEN, [tick(0, None)])


def test_reading_a_round_renews_the_lease(store: Store, leases: Leases) -> None:
    """It lasts from then on for the TTL of that call, longer or shorter than before."""
    lead(store, leases)
    progress(leases, TOKEN, SHORT_MS)
    progress(leases, TOKEN, 600_000)
    leases.announce(announced("a"), 2 * SHORT_MS, {})

    eventually(lambda: not live(leases), what="a time longer than the first lease")
    assert store.snapshot().leader == HOST_AND_PID


def test_only_its_token_releases_the_lease(store: Store, leases: Leases) -> None:
    """Another token's release does nothing. After the own one the lease is free at once, and counts as released; a
    second release is harmless."""
    leases.acquire(TOKEN, REPLICA, LEASE_MS)
    leases.release(OTHER_TOKEN)
    assert store.snapshot().leader == HOST_AND_PID
    leases.release(TOKEN)
    leases.release(TOKEN)

    assert store.snapshot().leader is None
    assert (leases.read_lease().holder, leases.read_lease().expired_holder) == (None, None)
    assert leases.acquire(OTHER_TOKEN, OTHER_REPLICA, LEASE_MS)


def test_a_flush_leaves_no_expired_lease(implementation: StoreImplementation, leases: Leases) -> None:
    """The lease is free, and no replica is named."""
    leases.acquire(TOKEN, REPLICA, LEASE_MS)
    implementation.wipe()

    assert (leases.read_lease().holder, leases.read_lease().expired_holder) == (None, None)


@pytest.mark.parametrize("write", WRITES)
def test_every_write_of_a_leader_checks_its_token(store: Store, leases: Leases, write: str) -> None:
    """Another token, or a part of the right one, raises LeaseLost and changes nothing."""
    lead(store, leases)
    before = (store.snapshot().parameters, store.partitions(None, 10), store.bounds())

    for token in (OTHER_TOKEN, TOKEN[:-1], ""):
        with pytest.raises(LeaseLost):
            WRITES[write](store, token)
        with pytest.raises(LeaseLost):
            progress(leases, token)

    assert (store.snapshot().parameters, store.partitions(None, 10), store.bounds()) == before
    assert progress(leases).generation == 1


@pytest.mark.parametrize("write", WRITES)
def test_writes_without_a_lease_are_rejected(store: Store, leases: Leases, write: str) -> None:
    """Without a lease, no token is accepted."""
    for token in (TOKEN, ""):
        with pytest.raises(LeaseLost):
            WRITES[write](store, token)
        with pytest.raises(LeaseLost):
            progress(leases, token)


def test_the_lease_of_another_log_is_not_enough(implementation: StoreImplementation, store: Store) -> None:
    """A token counts only for clocks of its own log."""
    implementation.server.leases((LOG + 1) % 16).acquire(TOKEN, REPLICA, LEASE_MS)

    with pytest.raises(LeaseLost):
        store.publish(TOKEN, [tick(0, None)])


def test_the_mark_of_a_log(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """The leader writes it. It stays without a lease, and is lost with everything else."""
    assert leases.read_lease().mark is None
    lead(store, leases)
    assert leases.read_round(TOKEN, LEASE_MS, []).mark is None

    for mark in (StoreMark("a1"), StoreMark("b2", adopts="a1"), StoreMark("b2")):
        leases.write_mark(TOKEN, mark)
        assert leases.read_round(TOKEN, LEASE_MS, []).mark == mark
    leases.release(TOKEN)

    assert leases.read_lease().mark == leases.read_mark() == StoreMark("b2")
    assert implementation.server.leases((LOG + 1) % 16).read_lease().mark is None
    with pytest.raises(LeaseLost):
        leases.write_mark(TOKEN, StoreMark("c3"))
    implementation.wipe()
    assert (leases.read_lease().mark, leases.read_mark()) == (None, None)


def test_only_a_store_without_a_mark_adopts_a_log(store: Store, leases: Leases) -> None:
    """A command does it without a lease, and can be repeated. A mark is never replaced."""
    mark = StoreMark("b2", adopts="a1")

    assert (leases.adopt(mark), leases.adopt(mark)) == (True, True)
    assert not leases.adopt(StoreMark("c3", adopts="a1"))

    assert leases.read_lease().mark == mark


def test_marks_of_another_cluster_are_never_mixed(store: Store, leases: Leases) -> None:
    """The error names both clusters, and nothing is written."""
    lead(store, leases)

    with pytest.raises(StoreMismatch, match=r"cluster-1.*cluster-2"):
        store.claim(TOKEN, StoreIdentity("cluster-2"), ClockParameters("other", ("orders",), 1_000, 0, 0), 1)

    assert store.snapshot().parameters == BOUNDS


def test_marks_of_another_format_are_never_mixed(store: Store, leases: Leases) -> None:
    """The error names both formats."""
    lead(store, leases)

    with pytest.raises(StoreMismatch, match=r"format 2.*format 3"):
        store.claim(TOKEN, StoreIdentity("cluster-1", 3), BOUNDS, STARTED)


def test_next_leader_writes_new_bounds_and_keeps_the_first_start(store: Store, leases: Leases) -> None:
    """Under the same marks bounds may change; since when the clock has been led stays."""
    lead(store, leases)
    bounds = ClockParameters("other-group", ("orders",), 1_000, 0, 5_000)

    store.claim(TOKEN, IDENTITY, bounds, STARTED + 5)

    assert (store.snapshot().parameters, store.snapshot().started_ms) == (bounds, STARTED)


def test_live_replicas_are_listed(store: Store, leases: Leases) -> None:
    """With digests and readiness, in the order of their names, for leaders and standbys. A replica can announce itself
    again with other values, and can withdraw its announcement."""
    lead(store, leases)
    assert leases.read_lease().announcements == ()
    second = Announcement("b:1 x", {CLOCK: "digest-1", "other": "digest-2"}, None)
    first = Announcement("a:1 x", {}, 12_345)
    leases.announce(second, LEASE_MS, {})
    leases.announce(first, LEASE_MS, {})
    assert leases.read_lease().announcements == (first, second)
    assert leases.read_round(TOKEN, LEASE_MS, []).announcements == (first, second)

    leases.announce(Announcement("a:1 x", {CLOCK: "digest-3"}, 0), LEASE_MS, {})
    leases.announce(second, 0, {})
    leases.announce(Announcement("unknown", {}, None), 0, {})
    assert leases.read_lease().announcements == (Announcement("a:1 x", {CLOCK: "digest-3"}, 0),)


def test_announced_configurations_are_kept_by_digest(leases: Leases) -> None:
    """The answer is True once the store has all of them. They are dropped with the last replica that has them."""
    assert not leases.announce(announced("d-1"), LEASE_MS, {})
    assert leases.announce(announced("d-1"), LEASE_MS, {"d-1": '{"interval": "60s"}'})
    assert leases.announce(announced("d-1", OTHER_REPLICA), LEASE_MS, {})
    assert not leases.announce(announced("d-2"), LEASE_MS, {})
    assert leases.announce(announced("d-2"), LEASE_MS, {"d-2": '{"group": "a b"}'})
    assert leases.configs() == {"d-1": '{"interval": "60s"}', "d-2": '{"group": "a b"}'}

    leases.announce(announced("d-1", OTHER_REPLICA), 0, {})
    assert leases.configs() == {"d-2": '{"group": "a b"}'}
    assert leases.announce(announced("d-2"), 0, {})
    assert leases.configs() == {}


def test_a_flush_loses_the_configurations(implementation: StoreImplementation, leases: Leases) -> None:
    """The next announcement is answered with False, so the replica sends them again."""
    leases.announce(announced("d-1"), LEASE_MS, {"d-1": "{}"})
    implementation.wipe()

    assert not leases.announce(announced("d-1"), LEASE_MS, {})


def test_a_lost_announcement_is_noticed(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """A flush restarts the time in which replicas may be unseen; another replica and a repetition do not."""
    implementation.wipe()
    lead(store, leases)
    assert leases.read_lease().announcements_complete_since_ms is None
    assert leases.read_round(TOKEN, LEASE_MS, []).announcements_complete_since_ms is None
    before_ms = store.now_ms()
    leases.announce(announced("digest", "a"), LEASE_MS, {})
    first = leases.read_round(TOKEN, LEASE_MS, [])
    eventually(lambda: store.now_ms() > first.now_ms, what="a millisecond to pass")
    leases.announce(announced("digest", "a"), LEASE_MS, {})
    leases.announce(announced("digest", "b"), LEASE_MS, {})
    again = leases.read_lease()
    implementation.wipe()
    leases.announce(announced("digest", "a"), LEASE_MS, {})

    assert before_ms <= (first.announcements_complete_since_ms or 0) <= first.now_ms
    assert again.announcements_complete_since_ms == first.announcements_complete_since_ms
    assert (leases.read_lease().announcements_complete_since_ms or 0) > first.now_ms


def test_a_round_reads_for_how_long_the_lease_was_valid(store: Store, leases: Leases) -> None:
    """Before the reading renewed it: so a leader finds that the store has lost a renewal."""
    lead(store, leases)
    leases.acquire(TOKEN, "replica", 2 * LEASE_MS)
    first = leases.read_round(TOKEN, LEASE_MS, [])
    second = leases.read_round(TOKEN, LEASE_MS, [])

    assert LEASE_MS < first.lease_left_ms <= 2 * LEASE_MS
    assert 0 < second.lease_left_ms <= LEASE_MS


def test_replica_that_does_not_repeat_itself_is_forgotten(leases: Leases) -> None:
    """An announcement lasts for its own TTL, independent of others."""
    leases.announce(announced("digest-1", "a"), SHORT_MS, {})
    leases.announce(announced("digest-2", "b"), LEASE_MS, {})

    eventually(lambda: live(leases) == {"b": "digest-2"}, what="the first announcement to end")


def test_status_lasts_for_its_ttl(store: Store, leases: Leases) -> None:
    """The newest one shows, and none once its time is over."""
    lead(store, leases)
    assert store.snapshot().leader_status is None
    publish_status(leases, '{"hold": null}')
    publish_status(leases, '{"hold": {"reason": "paused"}}', SHORT_MS)
    assert store.snapshot().leader_status == '{"hold": {"reason": "paused"}}'

    eventually(lambda: store.snapshot().leader_status is None, what="the status to end")


def test_status_outlives_the_lease(store: Store, leases: Leases) -> None:
    """The status stays after the leader has left."""
    lead(store, leases)
    publish_status(leases, '{"hold": null}')
    leases.release(TOKEN)

    assert store.snapshot().leader_status == '{"hold": null}'


def test_reports_do_not_need_a_leader(store: Store, leases: Leases) -> None:
    """Between two leaders, partition clocks go on."""
    lead(store, leases)
    leases.release(TOKEN)
    send(store, (ORDERS_0, BASE))

    assert raw(store, ORDERS_0) == BASE


def test_a_notification_ends_one_wait(leases: Leases) -> None:
    """Several notifications before the wait count once."""
    leases.notify()
    leases.notify()

    assert leases.wait_for_notification(5.0)
    assert not leases.wait_for_notification(0)
    assert not leases.wait_for_notification(0.05)


def test_a_notification_ends_a_wait_that_has_begun(leases: Leases) -> None:
    """A wait that has begun ends with the call."""
    notified: list[bool] = []
    thread = Thread(target=lambda: notified.append(leases.wait_for_notification(30.0)))
    thread.start()
    thread.join(0.05)
    leases.notify()
    thread.join(10.0)

    assert notified == [True]


def test_readers_see_that_the_leader_lacks_a_clock(store: Store, leases: Leases) -> None:
    """The leader's announcement names its clocks. Without an announcement nothing is known."""
    lead(store, leases)
    assert not store.snapshot().leader_lacks_clock

    leases.announce(Announcement(REPLICA, {"another": "digest"}, None), LEASE_MS, {})
    assert store.snapshot().leader_lacks_clock

    leases.announce(Announcement(REPLICA, {"another": "digest", CLOCK: "digest"}, None), LEASE_MS, {})
    assert not store.snapshot().leader_lacks_clock


def test_a_round_clears_the_notification(store: Store, leases: Leases) -> None:
    """The reading contains what the leader was notified of. A later notification is kept for the next wait."""
    lead(store, leases)
    leases.notify()
    progress(leases)
    assert not leases.wait_for_notification(0)

    leases.notify()

    assert leases.wait_for_notification(0)
