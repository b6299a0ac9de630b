"""The store, recent ticks: a complete chain, appended or restored, and read from any point."""

from dataclasses import replace

import pytest

from clocksvc.clock.spec import DAY_MS
from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken, LeaseLost
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_stream import StreamBounds
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    CLOCK,
    IDENTITY,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    RECENTLY,
    SINGLE,
    STARTED,
    TOKEN,
    answer,
    chain,
    lead,
    progress,
    send,
    tick,
)
from tests.interfaces.store_implementations import StoreImplementation


def end(leases: Leases) -> int | None:
    """What the next tick must name."""
    return progress(leases).last_tick_ms


def test_published_ticks_come_back_as_they_were(store: Store, leases: Leases) -> None:
    """Every field, exclusions too; publish answers with the store's time."""
    lead(store, leases)
    before_ms = store.now_ms()
    ticks = [tick(0, None, RECENTLY + 1), tick(1, 0, RECENTLY + 22, [ORDERS_0, ORDERS_1]), tick(9, 1)]

    assert before_ms <= store.publish(TOKEN, ticks[:2]) <= store.now_ms()
    store.publish(TOKEN, ticks[2:])

    assert store.newest_ticks(10) == ticks
    assert (store.bounds().first, store.bounds().last) == (ticks[0], ticks[-1])


def test_empty_stream_has_no_ticks(store: Store) -> None:
    """All readers see it at once."""
    assert store.bounds() == StreamBounds(None, None, None, written=False, restoring=False)
    assert store.newest_ticks(10) == store.ticks_after(0, 10) == []


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
def test_broken_chain_is_refused_whole(store: Store, kept: list[Tick], given: list[Tick], leases: Leases) -> None:
    """Ticks that don't follow the stream's end, or one another, leave everything as it was."""
    lead(store, leases)
    store.publish(TOKEN, kept)

    with pytest.raises(ChainBroken):
        store.publish(TOKEN, given)

    assert store.newest_ticks(10) == kept


def test_publishing_nothing_changes_nothing(store: Store, leases: Leases) -> None:
    """It still answers with the store's time."""
    lead(store, leases)

    assert store.publish(TOKEN, []) > BASE
    assert store.bounds().last is None


def test_a_batch_of_a_thousand(store: Store, leases: Leases) -> None:
    """A jump of any length goes out in batches, each at once."""
    lead(store, leases)
    ticks = chain(0, 1_999, None)

    store.publish(TOKEN, ticks[:1_000])
    store.publish(TOKEN, ticks[1_000:])

    assert store.newest_ticks(5_000) == ticks


def test_old_ticks_are_dropped(implementation: StoreImplementation, leases: Leases) -> None:
    """What was emitted longer ago than `recent_ticks` goes with the next publication; the last tick always stays."""
    store = implementation.server.store(CLOCK, recent_ticks_ms=10 * MINUTE)
    lead(store, leases)
    now_ms = store.now_ms()
    old = chain(0, 4, None, now_ms - 11 * MINUTE)
    store.publish(TOKEN, old)
    assert store.newest_ticks(10) == old[-1:]
    recent = chain(5, 7, 4, now_ms - 9 * MINUTE)
    store.publish(TOKEN, recent)

    assert store.newest_ticks(10) == recent
    assert (store.bounds().first, end(leases)) == (recent[0], BASE + 7 * MINUTE)


def test_ticks_of_a_jump_are_kept_by_when_they_were_emitted(
    implementation: StoreImplementation, leases: Leases
) -> None:
    """Ticks for times long past that were emitted just now are recent."""
    store = implementation.server.store(CLOCK, recent_ticks_ms=10 * MINUTE)
    lead(store, leases)
    ticks = chain(0, 20, None, store.now_ms())
    store.publish(TOKEN, ticks)

    assert store.newest_ticks(100) == ticks


def test_many_old_ticks_go_little_by_little(implementation: StoreImplementation, leases: Leases) -> None:
    """Each publication drops a bounded number, more than it brings, so that the old ones do go."""
    store = implementation.server.store(CLOCK, recent_ticks_ms=10 * MINUTE)
    lead(store, leases)
    now_ms = store.now_ms()
    old = chain(0, 999, None, now_ms - 11 * MINUTE)
    store.begin(TOKEN, old[-1].at_ms, restoring=True)
    store.stage(TOKEN, old, first=True)
    assert store.finish_restoring(TOKEN)

    for minute in range(1_000, 1_010):
        store.publish(TOKEN, [tick(minute, minute - 1, now_ms)])

    assert store.newest_ticks(5_000) == chain(1_000, 1_009, 999, now_ms)


def test_a_stream_can_begin_again(store: Store, leases: Leases) -> None:
    """It is empty, without a restoration, and a chain can begin."""
    lead(store, leases)
    store.publish(TOKEN, chain(0, 9, None))

    store.begin(TOKEN, None, restoring=False)

    assert store.bounds() == StreamBounds(None, None, None, written=True, restoring=False)
    assert (store.newest_ticks(10), end(leases)) == ([], None)
    store.publish(TOKEN, [tick(3, None)])
    assert end(leases) == BASE + 3 * MINUTE


def test_a_stream_can_begin_after_a_time_without_a_tick(store: Store, leases: Leases) -> None:
    """`init` has set the first tick's `previous`: readers see no tick, and only a tick with it is accepted."""
    lead(store, leases, SINGLE)
    store.begin(TOKEN, BASE, restoring=False)

    assert store.bounds() == StreamBounds(None, None, BASE, written=True, restoring=False)
    assert (end(leases), store.bounds().end_ms, store.newest_ticks(10)) == (BASE, BASE, [])
    assert (store.snapshot().last_tick_ms, answer(store).last_tick_ms) == (None, None)
    for wrong in (tick(1, None), tick(2, 1)):
        with pytest.raises(ChainBroken):
            store.publish(TOKEN, [wrong])
    store.publish(TOKEN, [tick(1, 0)])
    assert (end(leases), store.snapshot().last_tick_ms) == (BASE + MINUTE, BASE + MINUTE)


def test_time_without_a_tick_is_what_must_be_passed(store: Store, leases: Leases) -> None:
    """The leader is notified when the minimum reaches the boundary after it, not before."""
    lead(store, leases, SINGLE)
    store.begin(TOKEN, BASE, restoring=False)

    send(store, (ORDERS_0, BASE + 20_000))
    assert not leases.wait_for_notification(0)
    send(store, (ORDERS_0, BASE + MINUTE + 10_000))
    assert leases.wait_for_notification(0)


def test_beginning_settles_what_waits(store: Store, leases: Leases) -> None:
    """A crossing that the base has passed is gone; one that it has not reached notifies the leader."""
    lead(store, leases, SINGLE)
    send(store, (ORDERS_0, BASE + 3 * MINUTE))
    leases.wait_for_notification(0)

    store.begin(TOKEN, BASE + 5 * MINUTE, restoring=True)
    assert not leases.wait_for_notification(0)
    assert progress(leases).boundary_crossed_at_ms is None
    store.begin(TOKEN, BASE + MINUTE, restoring=True)
    assert leases.wait_for_notification(0)
    assert progress(leases).boundary_crossed_at_ms is not None


def test_live_ticks_come_before_older_ones_are_restored(store: Store, leases: Leases) -> None:
    """Staged ticks are invisible; then the stream has all of them, and the chain goes on."""
    lead(store, leases)
    older = [*chain(5, 2_504, 3), tick(2_600, 2_504)]
    store.begin(TOKEN, older[-1].at_ms, restoring=True)
    live = [tick(2_601, 2_600), tick(2_602, 2_601)]

    store.stage(TOKEN, older[:2_000], first=True)
    store.publish(TOKEN, live[:1])
    store.stage(TOKEN, older[2_000:], first=False)
    store.publish(TOKEN, live[1:])

    assert store.newest_ticks(5_000) == store.ticks_after(0, 5_000) == live
    assert store.bounds() == StreamBounds(live[0], live[1], older[-1].at_ms, written=True, restoring=True)
    store.stage(TOKEN, live, first=False)
    assert store.finish_restoring(TOKEN)
    assert store.newest_ticks(5_000) == [*older, *live]
    assert (store.bounds().first, store.bounds().last, store.bounds().restoring) == (older[0], live[1], False)
    store.publish(TOKEN, [tick(2_603, 2_602)])
    assert end(leases) == BASE + 2_603 * MINUTE


def test_a_stream_without_live_ticks_is_restored_up_to_its_base(store: Store, leases: Leases) -> None:
    """The staged ticks end with the base."""
    lead(store, leases)
    store.begin(TOKEN, BASE + 3 * MINUTE, restoring=True)
    store.stage(TOKEN, chain(0, 3, None), first=True)

    assert store.finish_restoring(TOKEN)
    assert store.newest_ticks(9) == chain(0, 3, None)


@pytest.mark.parametrize("staged", [[], chain(0, 2, None), chain(0, 4, None)], ids=["nothing", "too few", "too many"])
def test_staged_ticks_with_another_end_are_not_used(store: Store, leases: Leases, staged: list[Tick]) -> None:
    """The answer is False, and the stream stays as it is, with `restoring`."""
    lead(store, leases)
    store.begin(TOKEN, BASE + 2 * MINUTE, restoring=True)
    store.publish(TOKEN, [tick(3, 2)])
    if staged:
        store.stage(TOKEN, staged, first=True)

    assert not store.finish_restoring(TOKEN)

    assert (store.newest_ticks(9), store.bounds().restoring) == ([tick(3, 2)], True)
    store.stage(TOKEN, chain(0, 3, None), first=True)
    assert store.finish_restoring(TOKEN)


def test_a_restoration_without_older_ticks_keeps_the_stream(store: Store, leases: Leases) -> None:
    """The stream is complete as it is."""
    lead(store, leases)
    store.begin(TOKEN, BASE + 2 * MINUTE, restoring=True)
    store.publish(TOKEN, [tick(3, 2)])
    store.stage(TOKEN, chain(0, 1, None), first=True)

    store.stage(TOKEN, [], first=True)

    assert store.finish_restoring(TOKEN)
    assert (store.newest_ticks(9), store.bounds().restoring) == ([tick(3, 2)], False)


def test_staging_from_the_beginning_discards_earlier_ticks(store: Store, leases: Leases) -> None:
    """A restoration that was interrupted is repeated; a new stream discards staged ticks, too."""
    lead(store, leases)
    store.begin(TOKEN, BASE + 3 * MINUTE, restoring=True)
    store.stage(TOKEN, chain(0, 1_500, None), first=True)
    store.stage(TOKEN, chain(0, 3, None), first=True)
    assert store.finish_restoring(TOKEN)
    assert store.newest_ticks(5_000) == chain(0, 3, None)

    store.stage(TOKEN, chain(0, 5, None), first=True)
    store.begin(TOKEN, BASE + 5 * MINUTE, restoring=True)
    assert not store.finish_restoring(TOKEN)
    store.stage(TOKEN, [], first=True)
    store.begin(TOKEN, BASE + 5 * MINUTE, restoring=True)
    assert not store.finish_restoring(TOKEN)
    assert store.bounds().restoring


@pytest.mark.parametrize(
    ("after_ms", "first"),
    [(-1, 0), (0, 0), (BASE - 1, 0), (BASE, 1), (BASE + 1, 1), (BASE + MINUTE - 1, 1), (BASE + MINUTE, 2)],
)
def test_ticks_after_a_time(store: Store, after_ms: int, first: int, leases: Leases) -> None:
    """Those strictly after it, ascending, at most so many; a cursor need not be a boundary."""
    lead(store, leases)
    ticks = chain(0, 4, None)
    store.publish(TOKEN, ticks)

    assert store.ticks_after(after_ms, 100) == ticks[first:]
    assert store.ticks_after(after_ms, 2) == ticks[first : first + 2]
    assert store.ticks_after(after_ms, 0) == []


def test_after_the_last_tick_there_is_none(store: Store, leases: Leases) -> None:
    """A cursor after the end of the stream gets nothing."""
    lead(store, leases)
    store.publish(TOKEN, chain(0, 4, None))

    assert store.ticks_after(BASE + 4 * MINUTE, 10) == []
    assert store.ticks_after(BASE + 100 * MINUTE, 10) == []


def test_newest_ticks_are_ascending(store: Store, leases: Leases) -> None:
    """The last ones, at most so many."""
    lead(store, leases)
    ticks = chain(0, 4, None)
    store.publish(TOKEN, ticks)

    assert store.newest_ticks(2) == ticks[-2:]
    assert store.newest_ticks(0) == []


def test_a_round_reads_what_a_failover_of_the_store_can_undo(store: Store, leases: Leases) -> None:
    """The leader compares it with what it has written: the out-of-orderness, and whether older ticks are missing."""
    lead(store, leases)
    assert (progress(leases).out_of_orderness_ms, progress(leases).restoring) == (BOUNDS.out_of_orderness_ms, False)

    store.claim(TOKEN, IDENTITY, replace(BOUNDS, out_of_orderness_ms=10_001), STARTED)
    store.begin(TOKEN, BASE, restoring=True)

    assert (progress(leases).out_of_orderness_ms, progress(leases).restoring) == (10_001, True)
    store.stage(TOKEN, [], first=True)
    assert store.finish_restoring(TOKEN)
    assert not progress(leases).restoring


def test_ticks_of_several_clocks_are_published_together(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """Each clock's stream gets its ticks, and has its own retention. A broken chain of one clock leaves its stream as
    it was, and does not concern the others."""
    lead(store, leases)
    second, third = "c8", "c10"  # of the same log
    stores = {name: implementation.server.store(name) for name in (second, third)}
    for one in stores.values():
        one.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    now_ms = store.now_ms()
    old = chain(0, 2, None, now_ms - 11 * MINUTE)
    ticks = {
        CLOCK: old,
        second: [replace(one, clock=second) for one in chain(1, 2, 0)],
        third: [replace(one, clock=third) for one in chain(0, 1, None)],
    }

    published = leases.publish(TOKEN, ticks, {CLOCK: 10 * MINUTE, second: DAY_MS, third: DAY_MS})

    assert isinstance(published[second], ChainBroken)
    assert [name for name, result in published.items() if isinstance(result, int) and result >= now_ms] == [
        CLOCK,
        third,
    ]
    assert store.newest_ticks(10) == old[-1:]
    assert (stores[second].newest_ticks(10), stores[third].newest_ticks(10)) == ([], ticks[third])
    with pytest.raises(LeaseLost):
        leases.publish("another", {third: [tick(2, 1)]}, {third: DAY_MS})
    assert leases.publish(TOKEN, {}, {}) == {}
