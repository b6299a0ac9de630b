"""What only the in-memory store can do: be rolled back, be skewed, and stop answering in the middle of a wait."""

from threading import Thread

from clocksvc.clock.partition import Outcome
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.time import SystemTime
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore
from tests.interfaces.store_examples import (
    BASE,
    CLOCK,
    LEASE_MS,
    MINUTE,
    ORDERS_0,
    SINGLE,
    TOKEN,
    chain,
    lead,
    raw,
    send,
)


def test_rolled_back_to_a_snapshot() -> None:
    """Everything is as it was, as after a restart from an old dump; the snapshot itself stays as it is."""
    store = FaultyStore(CLOCK, SystemTime())
    lead(store, SINGLE)
    send(store, (ORDERS_0, BASE))
    store.publish(TOKEN, chain(0, 1, None))
    old = store.copy_state()

    for _ in range(2):
        send(store, (ORDERS_0, BASE + MINUTE))
        store.publish(TOKEN, chain(2, 3, 1))
        store.restore(old)
        assert raw(store, ORDERS_0) == BASE
        assert store.newest_ticks(10) == chain(0, 1, None)


def test_lease_and_future_follow_the_stores_own_clock() -> None:
    """A store whose clock is behind refuses more, and keeps a lease longer: it is asked for no other time."""
    time = ManualTime(BASE / 1000)
    store = FaultyStore(CLOCK, time)
    lead(store, SINGLE)

    assert store.now_ms() == BASE
    assert send(store, (ORDERS_0, BASE + MINUTE + 1)) == (Outcome.TOO_FAR_AHEAD,)
    assert send(store, (ORDERS_0, BASE + MINUTE)) == (Outcome.ACCEPTED,)
    time.set((BASE + LEASE_MS - 1) / 1000)
    assert store.snapshot().leader is not None
    time.set((BASE + LEASE_MS) / 1000)
    assert store.snapshot().leader is None


def test_store_that_breaks_ends_a_wait() -> None:
    """A waiting call ends at once with StoreUnavailable."""
    store = FaultyStore(CLOCK, SystemTime())
    ended: list[object] = []

    def follow() -> None:
        try:
            ended.append(store.follow(0, 30.0))
        except StoreUnavailable:
            ended.append("unavailable")

    thread = Thread(target=follow)
    thread.start()
    thread.join(0.05)
    store.broken = True
    thread.join(10.0)

    assert ended == ["unavailable"]
    store.broken = False
    assert store.now_ms() > BASE


def test_announcements_are_complete_at_once_after_the_clock_is_set_back() -> None:
    """What it heard `since` a time that is now far ahead counts from the next announcement on."""
    time = ManualTime(BASE / 1000)
    store = FaultyStore(CLOCK, time)
    store.wipe()
    store.announce("a", "digest", LEASE_MS)
    time.set((BASE - 60 * MINUTE) / 1000)
    lead(store, SINGLE)

    store.announce("a", "digest", LEASE_MS)

    assert store.read_progress(TOKEN, LEASE_MS).announcements_complete_since_ms == time.now_ms()
