"""The store, recent ticks: a whole chain, appended or replaced at once, and read from any point."""

from threading import Thread

import pytest

from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    LEASE_MS,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    RECENTLY,
    SINGLE,
    TOKEN,
    answer,
    chain,
    lead,
    send,
    tick,
)
from tests.interfaces.store_implementations import StoreImplementation
from tests.waiting import eventually


def end(store: Store) -> int | None:
    """What the next tick must name."""
    return store.read_progress(TOKEN, LEASE_MS).last_tick_ms


def test_published_ticks_come_back_as_they_were(store: Store) -> None:
    """Every field, exclusions too; publish answers with the store's time."""
    lead(store)
    before_ms = store.now_ms()
    ticks = [tick(0, None, RECENTLY + 1), tick(1, 0, RECENTLY + 22, [ORDERS_0, ORDERS_1]), tick(9, 1)]

    assert before_ms <= store.publish(TOKEN, ticks[:2]) <= store.now_ms()
    store.publish(TOKEN, ticks[2:])

    assert store.newest_ticks(10) == ticks
    assert (store.first_tick(), store.last_tick()) == (ticks[0], ticks[-1])


def test_empty_stream_has_no_ticks(store: Store) -> None:
    """All readers see it at once."""
    assert (store.first_tick(), store.last_tick()) == (None, None)
    assert store.newest_ticks(10) == store.ticks_after(0, 10) == store.follow(0, 0) == []


@pytest.mark.parametrize(
    ("kept", "given"),
    [
        ([], chain(1, 1, 0)),
        (chain(0, 2, None), chain(0, 0, None)),
        (chain(0, 2, None), chain(4, 4, 3)),
        (chain(0, 2, None), chain(2, 3, 1)),
        (chain(0, 2, None), chain(2, 2, 1)),
        (chain(0, 2, None), [tick(3, 2), tick(5, 4)]),
        (chain(0, 2, None), [tick(3, 2), tick(3, 3)]),
        (chain(0, 2, None), [tick(2, 2)]),
        (chain(0, 2, None), [tick(1, 2)]),
    ],
    ids=[
        "empty, but it has one before it",
        "a second beginning",
        "a gap",
        "an overlap",
        "once more",
        "a gap among those given",
        "twice among those given",
        "names itself",
        "goes back",
    ],
)
def test_broken_chain_is_refused_whole(store: Store, kept: list[Tick], given: list[Tick]) -> None:
    """Ticks that don't follow the stream's end, or one another, leave everything as it was."""
    lead(store)
    store.publish(TOKEN, kept)

    with pytest.raises(ChainBroken):
        store.publish(TOKEN, given)

    assert store.newest_ticks(10) == kept


def test_publishing_nothing_changes_nothing(store: Store) -> None:
    """It still answers with the store's time."""
    lead(store)

    assert store.publish(TOKEN, []) > BASE
    assert store.last_tick() is None


def test_a_batch_of_a_thousand(store: Store) -> None:
    """A jump of any length goes out in batches, each at once."""
    lead(store)
    ticks = chain(0, 1_999, None)

    store.publish(TOKEN, ticks[:1_000])
    store.publish(TOKEN, ticks[1_000:])

    assert store.newest_ticks(5_000) == ticks


def test_old_ticks_are_dropped(implementation: StoreImplementation) -> None:
    """What was emitted longer ago than `recent_ticks` goes with the next publication; the last tick always stays."""
    store = implementation.reopen(recent_ticks_ms=10 * MINUTE)
    lead(store)
    now_ms = store.now_ms()
    old = chain(0, 4, None, now_ms - 11 * MINUTE)
    store.publish(TOKEN, old)
    assert store.newest_ticks(10) == old[-1:]
    recent = chain(5, 7, 4, now_ms - 9 * MINUTE)
    store.publish(TOKEN, recent)

    assert store.newest_ticks(10) == recent
    assert (store.first_tick(), end(store)) == (recent[0], BASE + 7 * MINUTE)


def test_ticks_of_a_jump_are_kept_by_when_they_were_emitted(implementation: StoreImplementation) -> None:
    """Ticks for times long past that were emitted just now are recent."""
    store = implementation.reopen(recent_ticks_ms=10 * MINUTE)
    lead(store)
    ticks = chain(0, 20, None, store.now_ms())
    store.publish(TOKEN, ticks)

    assert store.newest_ticks(100) == ticks


def test_many_old_ticks_go_little_by_little(implementation: StoreImplementation) -> None:
    """Each publication drops a bounded number, more than it brings, so that the old ones do go."""
    store = implementation.reopen(recent_ticks_ms=10 * MINUTE)
    lead(store)
    now_ms = store.now_ms()
    store.rebuild(TOKEN, chain(0, 999, None, now_ms - 11 * MINUTE), BASE + 999 * MINUTE)

    for minute in range(1_000, 1_010):
        store.publish(TOKEN, [tick(minute, minute - 1, now_ms)])

    assert store.newest_ticks(5_000) == chain(1_000, 1_009, 999, now_ms)


def test_rebuilt_stream_replaces_the_old_one(store: Store) -> None:
    """Exactly the ticks that are given stand there then, however many, and the chain goes on from them."""
    lead(store)
    store.publish(TOKEN, chain(0, 9, None))
    ticks = [*chain(5, 2_504, 3), tick(2_600, 2_504)]

    store.rebuild(TOKEN, ticks, BASE + 2_600 * MINUTE)

    assert store.newest_ticks(5_000) == ticks
    with pytest.raises(ChainBroken):
        store.publish(TOKEN, chain(10, 10, 9))
    store.publish(TOKEN, [tick(2_601, 2_600)])
    assert end(store) == BASE + 2_601 * MINUTE


def test_rebuilt_stream_may_be_empty(store: Store) -> None:
    """Then a chain can begin again."""
    lead(store)
    store.publish(TOKEN, chain(0, 9, None))

    store.rebuild(TOKEN, [], None)

    assert (store.newest_ticks(10), end(store)) == ([], None)
    store.publish(TOKEN, [tick(3, None)])
    assert end(store) == BASE + 3 * MINUTE


def test_rebuilt_stream_may_begin_after_a_time_without_a_tick(store: Store) -> None:
    """`init` has set the first tick's `previous`: readers see no tick, and only a tick with it is accepted."""
    lead(store, SINGLE)
    store.rebuild(TOKEN, [], BASE)

    assert (end(store), store.last_tick(), store.newest_ticks(10)) == (BASE, None, [])
    assert (store.snapshot().last_tick_ms, answer(store).last_tick_ms) == (None, None)
    for wrong in (tick(1, None), tick(2, 1)):
        with pytest.raises(ChainBroken):
            store.publish(TOKEN, [wrong])
    store.publish(TOKEN, [tick(1, 0)])
    assert (end(store), store.snapshot().last_tick_ms) == (BASE + MINUTE, BASE + MINUTE)


def test_time_without_a_tick_is_what_must_be_passed(store: Store) -> None:
    """The leader is woken when the minimum reaches the boundary after it, not before."""
    lead(store, SINGLE)
    store.rebuild(TOKEN, [], BASE)

    send(store, (ORDERS_0, BASE + 20_000))
    assert not store.wait_for_notification(0)
    send(store, (ORDERS_0, BASE + MINUTE + 10_000))
    assert store.wait_for_notification(0)


def test_rebuilding_twice_is_as_good_as_once(store: Store) -> None:
    """A rebuild whose answer was lost is repeated; what the first left behind does no harm."""
    lead(store)
    store.rebuild(TOKEN, chain(0, 1_500, None), BASE + 1_500 * MINUTE)
    store.rebuild(TOKEN, chain(0, 3, None), BASE + 3 * MINUTE)
    store.rebuild(TOKEN, chain(0, 3, None), BASE + 3 * MINUTE)

    assert store.newest_ticks(5_000) == chain(0, 3, None)


def test_rebuilding_settles_what_waits(store: Store) -> None:
    """A crossing that the rebuilt stream has passed is gone; one that it has not reached wakes the leader."""
    lead(store, SINGLE)
    send(store, (ORDERS_0, BASE + 3 * MINUTE))
    store.wait_for_notification(0)

    store.rebuild(TOKEN, chain(0, 5, None), BASE + 5 * MINUTE)
    assert store.read_progress(TOKEN, LEASE_MS).boundary_crossed_at_ms is None
    assert not store.wait_for_notification(0)
    store.rebuild(TOKEN, chain(0, 1, None), BASE + MINUTE)
    assert store.read_progress(TOKEN, LEASE_MS).boundary_crossed_at_ms is not None
    assert store.wait_for_notification(0)


@pytest.mark.parametrize(
    ("after_ms", "first"),
    [(-1, 0), (0, 0), (BASE - 1, 0), (BASE, 1), (BASE + 1, 1), (BASE + MINUTE - 1, 1), (BASE + MINUTE, 2)],
)
def test_ticks_after_a_time(store: Store, after_ms: int, first: int) -> None:
    """Those strictly after it, ascending, at most so many; a cursor need not be a boundary."""
    lead(store)
    ticks = chain(0, 4, None)
    store.publish(TOKEN, ticks)

    assert store.ticks_after(after_ms, 100) == store.follow(after_ms, 0) == ticks[first:]
    assert store.ticks_after(after_ms, 2) == ticks[first : first + 2]
    assert store.ticks_after(after_ms, 0) == []


def test_after_the_last_tick_there_is_none(store: Store) -> None:
    """Neither for a reader nor, within its time, for one that waits."""
    lead(store)
    store.publish(TOKEN, chain(0, 4, None))

    assert store.ticks_after(BASE + 4 * MINUTE, 10) == store.follow(BASE + 4 * MINUTE, 0.05) == []
    assert store.follow(BASE + 100 * MINUTE, 0) == []


def test_newest_ticks_are_ascending(store: Store) -> None:
    """The last ones, at most so many."""
    lead(store)
    ticks = chain(0, 4, None)
    store.publish(TOKEN, ticks)

    assert store.newest_ticks(2) == ticks[-2:]
    assert store.newest_ticks(0) == []


def test_follower_gets_at_most_a_thousand_at_once(store: Store) -> None:
    """It comes back for the rest."""
    lead(store)
    ticks = chain(0, 1_500, None)
    store.publish(TOKEN, ticks)

    assert store.follow(0, 1.0) == ticks[:1_000]
    assert store.follow(ticks[999].at_ms, 1.0) == ticks[1_000:]


@pytest.mark.parametrize("kept", [0, 3])
def test_follower_that_waits_is_given_the_next_tick(store: Store, kept: int) -> None:
    """Whether the stream is still empty or not, a wait that has begun ends with the publication."""
    lead(store)
    store.publish(TOKEN, chain(0, kept - 1, None))
    given: list[list[Tick]] = []
    thread = Thread(target=lambda: given.append(store.follow(BASE + (kept - 1) * MINUTE, 30.0)))
    thread.start()
    thread.join(0.05)
    next_tick = tick(kept, kept - 1 if kept else None)
    store.publish(TOKEN, [next_tick])

    eventually(lambda: not thread.is_alive(), what="the follower to be given the tick")
    assert given == [[next_tick]]


def test_follower_that_waits_is_given_a_rebuilt_stream(store: Store) -> None:
    """Ticks that come with a rebuild end a wait too."""
    lead(store)
    given: list[list[Tick]] = []
    thread = Thread(target=lambda: given.append(store.follow(BASE, 30.0)))
    thread.start()
    thread.join(0.05)
    store.rebuild(TOKEN, chain(0, 3, None), BASE + 3 * MINUTE)

    eventually(lambda: not thread.is_alive(), what="the follower to be given the ticks")
    assert given == [chain(1, 3, 0)]
