"""What only the in-memory store can do: go back to older content, be skewed, and stop answering during a wait."""

from collections.abc import Callable
from threading import Thread

import pytest

from clocksvc.clock.partition import Outcome
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.leases import Announcement
from clocksvc.interfaces.time import SystemTime
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStoreServer
from tests.interfaces.store_examples import (
    BASE,
    CLOCK,
    LEASE_MS,
    LOG,
    MINUTE,
    ORDERS_0,
    REPLICA,
    SINGLE,
    TOKEN,
    chain,
    lead,
    raw,
    send,
)

ANNOUNCEMENT = Announcement(REPLICA, {}, None)


@pytest.mark.parametrize("go_back", [FaultyStoreServer.restore, FaultyStoreServer.fail_over])
def test_older_content(go_back: Callable[..., None]) -> None:
    """Everything is as it was, as after a restart from an old file; the copy itself stays as it is."""
    server = FaultyStoreServer(SystemTime())
    store, leases = server.store(CLOCK), server.leases(LOG)
    lead(store, leases, SINGLE)
    send(store, (ORDERS_0, BASE))
    store.publish(TOKEN, chain(0, 1, None))
    old = server.copy_state()

    for _ in range(2):
        send(store, (ORDERS_0, BASE + MINUTE))
        store.publish(TOKEN, chain(2, 3, 1))
        go_back(server, old)
        assert raw(store, ORDERS_0) == BASE
        assert store.newest_ticks(10) == chain(0, 1, None)


def test_announcements_are_incomplete_after_a_restart_and_not_after_a_failover() -> None:
    """A file is too old for announcements, which live for seconds. A replica of the server has most of them."""
    server = FaultyStoreServer(SystemTime())
    leases = server.leases(LOG)
    leases.announce(ANNOUNCEMENT, LEASE_MS, {})
    old = server.copy_state()

    server.fail_over(old)
    assert leases.read_lease().announcements_complete_since_ms == 0
    server.restore(old)
    assert leases.read_lease().announcements_complete_since_ms is None
    assert server.leases(LOG + 1).read_lease().announcements_complete_since_ms is None


def test_lower_numbers_of_notices_after_a_failover_are_noticed() -> None:
    """At once, also in simulated time."""
    server = FaultyStoreServer(ManualTime(BASE / 1000))
    store, leases, reader = server.store(CLOCK), server.leases(LOG), server.notices([CLOCK])
    lead(store, leases, SINGLE)
    old = server.copy_state()
    assert (reader.read(0), reader.read(0)) == (None, [])
    store.publish(TOKEN, chain(0, 1, None))
    assert reader.read(0) == [CLOCK]

    server.fail_over(old)

    assert (reader.read(0), reader.read(0)) == (None, [])


def test_lease_and_future_follow_the_stores_own_clock() -> None:
    """A store whose clock is behind rejects more, and keeps a lease longer: no other time counts."""
    time = ManualTime(BASE / 1000)
    server = FaultyStoreServer(time)
    store = server.store(CLOCK)
    lead(store, server.leases(LOG), SINGLE)

    assert store.now_ms() == BASE
    assert send(store, (ORDERS_0, BASE + MINUTE + 1)) == (Outcome.TOO_FAR_AHEAD,)
    assert send(store, (ORDERS_0, BASE + MINUTE)) == (Outcome.ACCEPTED,)
    time.set((BASE + LEASE_MS - 1) / 1000)
    assert store.snapshot().leader is not None
    time.set((BASE + LEASE_MS) / 1000)
    assert store.snapshot().leader is None


@pytest.mark.parametrize("wait", ["notification", "notices"])
def test_store_that_breaks_ends_a_wait(wait: str) -> None:
    """A waiting call ends at once with StoreUnavailable."""
    server = FaultyStoreServer(SystemTime())
    leases, reader = server.leases(LOG), server.notices([CLOCK])
    reader.read(0)
    ended: list[object] = []

    def block() -> None:
        try:
            ended.append(leases.wait_for_notification(30.0) if wait == "notification" else reader.read(30.0))
        except StoreUnavailable:
            ended.append("unavailable")

    thread = Thread(target=block)
    thread.start()
    thread.join(0.05)
    server.broken = True
    thread.join(10.0)

    assert ended == ["unavailable"]
    server.broken = False
    assert server.store(CLOCK).now_ms() > BASE
    assert reader.read(0) == (None if wait == "notices" else [])


def test_announcements_are_complete_at_once_after_the_clock_is_set_back() -> None:
    """A time of the first announcement that is now far ahead counts from the next announcement on."""
    time = ManualTime(BASE / 1000)
    server = FaultyStoreServer(time)
    leases = server.leases(LOG)
    server.wipe()
    leases.announce(ANNOUNCEMENT, LEASE_MS, {})
    time.set((BASE - 60 * MINUTE) / 1000)

    leases.announce(ANNOUNCEMENT, LEASE_MS, {})

    assert leases.read_lease().announcements_complete_since_ms == time.now_ms()
