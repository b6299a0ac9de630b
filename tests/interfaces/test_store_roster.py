"""The store, the roster: unknown until reported, kept by topic id, and never partly lost unseen."""

from dataclasses import replace

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    CLOCK,
    IDENTITY,
    LEASE_MS,
    LOG,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    PAYMENTS_0,
    REPLICA,
    ROSTER,
    SINGLE,
    STARTED,
    TOKEN,
    lead,
    line,
    progress,
    raw,
    send,
    tick,
)
from tests.interfaces.store_implementations import StoreImplementation


def is_lost(leases: Leases) -> bool:
    """True if a round finds that the store has lost some of the clock's data."""
    return leases.read_round(TOKEN, LEASE_MS, [CLOCK]).progress[CLOCK] is None


def test_a_step_sees_the_lowest_and_the_stores_time(store: Store, leases: Leases) -> None:
    """The minimum over all partitions that must report, raw, with the store's own clock."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE + 2), (ORDERS_1, BASE + 1), (PAYMENTS_0, BASE + 3))
    before_ms = store.now_ms()
    reading = leases.read_round(TOKEN, LEASE_MS, [CLOCK])
    seen = reading.progress[CLOCK]

    assert seen is not None
    assert (seen.lowest_ms, seen.count, seen.generation, seen.last_tick_ms) == (BASE + 1, 3, 1, None)
    assert before_ms <= reading.now_ms <= store.now_ms()


def test_unknown_is_not_zero(store: Store, leases: Leases) -> None:
    """While one partition is unknown there is no minimum."""
    lead(store, leases)
    assert progress(leases).lowest_ms is None
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE))
    assert progress(leases).lowest_ms is None
    send(store, (PAYMENTS_0, BASE))
    assert progress(leases).lowest_ms == BASE


@pytest.mark.parametrize(
    "roster",
    [Roster({}), Roster({"orders": TopicMetadata("id-o", 0)}), Roster(SINGLE.topics, frozenset({ORDERS_0}))],
    ids=["no topics", "no partitions", "all excluded"],
)
def test_empty_roster_has_no_minimum(store: Store, roster: Roster, leases: Leases) -> None:
    """No partition must report: there is no minimum, and that is not a loss."""
    lead(store, leases, ROSTER)
    store.write_roster(TOKEN, roster, 2)

    assert (progress(leases).lowest_ms, progress(leases).count, progress(leases).generation) == (None, 0, 2)


def test_partitions_keep_what_was_reported(store: Store, leases: Leases) -> None:
    """A roster written again, or with more partitions, leaves those that were there alone; new ones are unknown."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE + 1))
    grown = Roster(
        {"orders": TopicMetadata("id-o", 4), "payments": TopicMetadata("id-p", 1), "new": TopicMetadata("id-n", 1)}
    )

    store.write_roster(TOKEN, grown, 2)

    numbers = [(str(line.partition), line.raw_ms) for line in store.partitions(None, 100)]
    assert numbers == [
        ("new:0", None),
        ("orders:0", BASE),
        ("orders:1", BASE + 1),
        ("orders:2", None),
        ("orders:3", None),
        ("payments:0", None),
    ]
    assert line(store, ORDERS_0).reported_ms is not None
    assert (progress(leases).count, progress(leases).generation) == (6, 2)


def test_recreated_topic_is_unknown_again(store: Store, leases: Leases) -> None:
    """Another topic id: what was reported belongs to other partitions, and nothing of it shows."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (PAYMENTS_0, BASE))
    send(store, (PAYMENTS_0, -1))

    store.write_roster(TOKEN, Roster({"orders": TopicMetadata("id-o", 2), "payments": TopicMetadata("id-2", 1)}), 2)

    recreated = line(store, PAYMENTS_0)
    assert (recreated.raw_ms, recreated.reported_ms, recreated.rejected) == (None, None, None)
    assert raw(store, ORDERS_0) == BASE


def test_reports_of_the_old_topic_do_not_count_for_the_recreated_one(store: Store, leases: Leases) -> None:
    """From the boundary after all that was reported of the old topic on, readings are of the new one; and then they are
    judged as ever. Other topics are not concerned, and a third topic of the name begins after the second."""
    past_ms = MINUTE + BOUNDS.out_of_orderness_ms
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (PAYMENTS_0, BASE + BOUNDS.out_of_orderness_ms))
    store.write_roster(TOKEN, Roster({**ROSTER.topics, "payments": TopicMetadata("id-2", 1)}), 2)
    store.write_roster(TOKEN, Roster({**ROSTER.topics, "payments": TopicMetadata("id-2", 2)}), 3)

    unchanged, payments_1 = Outcome.UNCHANGED, Partition("payments", 1)
    assert send(store, (PAYMENTS_0, BASE + past_ms - 1), (payments_1, BASE)) == (unchanged, unchanged)
    assert (raw(store, PAYMENTS_0), raw(store, payments_1)) == (None, None)
    assert send(store, (ORDERS_1, BASE - MINUTE), (PAYMENTS_0, BASE + past_ms)) == (Outcome.ACCEPTED,) * 2
    assert raw(store, PAYMENTS_0) == BASE + past_ms
    store.write_roster(TOKEN, Roster({**ROSTER.topics, "payments": TopicMetadata("id-3", 1)}), 4)
    assert send(store, (PAYMENTS_0, BASE + past_ms)) == (unchanged,)
    assert send(store, (PAYMENTS_0, BASE + MINUTE + past_ms)) == (Outcome.ACCEPTED,)


def test_a_topic_that_left_leaves_no_beginning_behind(store: Store, leases: Leases) -> None:
    """Recreated, removed from the clock and added again: its first report counts as it is."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (PAYMENTS_0, BASE))
    store.write_roster(TOKEN, Roster({**ROSTER.topics, "payments": TopicMetadata("id-2", 1)}), 2)
    store.write_roster(TOKEN, SINGLE, 3)
    store.write_roster(TOKEN, Roster({**ROSTER.topics, "payments": TopicMetadata("id-2", 1)}), 4)

    assert send(store, (PAYMENTS_0, BASE - MINUTE)) == (Outcome.ACCEPTED,)


def test_what_left_the_roster_is_forgotten(store: Store, leases: Leases) -> None:
    """A topic, or a partition, that comes back later under the same id is unknown."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE), (PAYMENTS_0, BASE))
    send(store, (ORDERS_1, -1), (PAYMENTS_0, -1))
    store.write_roster(TOKEN, SINGLE, 2)
    assert [line.partition for line in store.partitions(None, 100)] == [ORDERS_0]
    store.write_roster(TOKEN, ROSTER, 3)

    assert raw(store, ORDERS_0) == BASE
    for partition in (ORDERS_1, PAYMENTS_0):
        back = line(store, partition)
        assert (back.raw_ms, back.reported_ms, back.rejected) == (None, None, None)


def test_exclusion_keeps_the_partitions_clock(store: Store, leases: Leases) -> None:
    """Taken off and put back, it goes on from what it reported, before and meanwhile."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE + 1), (ORDERS_1, BASE), (PAYMENTS_0, BASE + 1))

    store.write_roster(TOKEN, Roster(ROSTER.topics, frozenset({ORDERS_1})), 2)
    assert (progress(leases).lowest_ms, progress(leases).count) == (BASE + 1, 2)
    assert (raw(store, ORDERS_1), line(store, ORDERS_1).excluded) == (BASE, True)
    store.write_roster(TOKEN, Roster(ROSTER.topics, frozenset({PAYMENTS_0})), 3)

    assert (progress(leases).lowest_ms, progress(leases).count) == (BASE, 2)
    assert [(str(line.partition), line.excluded) for line in store.partitions(None, 9)] == [
        ("orders:0", False),
        ("orders:1", False),
        ("payments:0", True),
    ]


def test_exclusion_of_what_does_not_exist_counts_for_nothing(store: Store, leases: Leases) -> None:
    """An exclusion of a partition that the topic has not got, or no more, is not on any roster."""
    lead(store, leases, Roster(SINGLE.topics, frozenset({ORDERS_1, Partition("gone", 0)})))

    assert [line.partition for line in store.partitions(None, 100)] == [ORDERS_0]
    assert store.snapshot().excluded == 0
    assert send(store, (ORDERS_1, BASE)) == (Outcome.UNKNOWN,)


def test_thousands_of_partitions(store: Store, leases: Leases) -> None:
    """A roster of several thousand partitions, with every third one excluded, is written whole and kept whole."""
    everyone = [Partition("orders", number) for number in range(3_500)]
    shape = {"orders": TopicMetadata("id-o", 3_500)}
    lead(store, leases, Roster(shape))
    send(store, *((p, BASE + p.number) for p in everyone))

    store.write_roster(TOKEN, Roster(shape, frozenset(everyone[::3])), 2)

    assert progress(leases).count == 3_500 - len(everyone[::3])
    assert progress(leases).lowest_ms == BASE + 1
    lines = store.partitions(None, 10_000)
    assert [line.partition for line in lines] == everyone
    assert [line.raw_ms for line in lines] == [BASE + number for number in range(3_500)]
    assert [line.excluded for line in lines] == [number % 3 == 0 for number in range(3_500)]


def test_generation_is_any_number_that_a_leader_draws(store: Store, leases: Leases) -> None:
    """48 random bits come back exactly."""
    lead(store, leases)
    store.write_roster(TOKEN, ROSTER, 2**48 - 3)

    assert progress(leases).generation == 2**48 - 3


def test_a_clock_without_a_roster_is_lost(store: Store, leases: Leases) -> None:
    """Parameters alone are not enough for a round."""
    lead(store, leases, None)

    assert is_lost(leases)


def test_a_clock_without_parameters_is_lost(store: Store, leases: Leases) -> None:
    """A roster alone is not enough either. With both, the round has the clock."""
    leases.acquire(TOKEN, REPLICA, LEASE_MS)
    store.write_roster(TOKEN, ROSTER, 1)

    assert is_lost(leases)
    store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    assert progress(leases).count == 3


def test_a_round_of_many_clocks_with_one_lost(implementation: StoreImplementation) -> None:
    """The reading has all clocks in question; the lost one is None, the others have their own values."""
    leases = implementation.server.leases(LOG)
    clocks = [name for number in range(400) if log_of(name := f"clock-{number}") == LOG][:12]
    for minute, name in enumerate(clocks):
        store = implementation.server.store(name)
        lead(store, leases, None if minute == 5 else SINGLE)
        if minute != 5:
            send(store, (ORDERS_0, BASE + minute * MINUTE))

    reading = leases.read_round(TOKEN, LEASE_MS, clocks)

    found = [None if one is None else one.lowest_ms for one in (reading.progress[name] for name in clocks)]
    assert found == [None if minute == 5 else BASE + minute * MINUTE for minute in range(12)]
    assert leases.read_round(TOKEN, LEASE_MS, []).progress == {}


def test_the_topics_of_the_roster_can_be_read(store: Store, leases: Leases) -> None:
    """Also by a leader that has not written it; {} before the first roster."""
    assert store.roster_topics() == {}
    lead(store, leases, Roster(ROSTER.topics, frozenset({ORDERS_1})))

    assert store.roster_topics() == ROSTER.topics


def test_rewritten_roster_keeps_the_crossing(store: Store, leases: Leases) -> None:
    """A boundary that was completed before still waits."""
    lead(store, leases, SINGLE)
    send(store, (ORDERS_0, BASE))
    boundary_crossed_at_ms = progress(leases).boundary_crossed_at_ms
    store.write_roster(TOKEN, SINGLE, 2)

    assert boundary_crossed_at_ms is not None
    assert progress(leases).boundary_crossed_at_ms == boundary_crossed_at_ms


def test_a_step_sees_what_the_next_tick_must_follow(store: Store, leases: Leases) -> None:
    """The stream's last tick; other than a leader published last means that the store was rolled back."""
    lead(store, leases)
    store.publish(TOKEN, [tick(0, None), tick(1, 0)])

    assert progress(leases).last_tick_ms == BASE + MINUTE


def test_a_roster_that_grew_ends_the_crossing(store: Store, leases: Leases) -> None:
    """The boundary is not complete any more. The report that completes it sets the time and notifies the leader."""
    lead(store, leases, SINGLE)
    send(store, (ORDERS_0, BASE))
    assert leases.wait_for_notification(0)
    store.write_roster(TOKEN, Roster({"orders": TopicMetadata("id-o", 2)}), 2)

    assert progress(leases).boundary_crossed_at_ms is None
    assert not leases.wait_for_notification(0)
    before_ms = store.now_ms()
    send(store, (ORDERS_1, BASE))
    assert leases.wait_for_notification(0)
    assert before_ms <= (progress(leases).boundary_crossed_at_ms or 0) <= store.now_ms()


@pytest.mark.parametrize("change", ["recreated", "included"])
def test_a_partition_that_becomes_unknown_or_is_included_ends_the_crossing(
    store: Store, leases: Leases, change: str
) -> None:
    """As a roster that grew."""
    topics = {"orders": TopicMetadata("id-o", 2)}
    lead(store, leases, Roster(topics, frozenset({ORDERS_1})))
    send(store, (ORDERS_0, BASE))
    assert progress(leases).boundary_crossed_at_ms is not None

    store.write_roster(TOKEN, Roster({"orders": TopicMetadata("id-2", 1)} if change == "recreated" else topics), 2)

    assert progress(leases).boundary_crossed_at_ms is None


def test_an_exclusion_completes_a_boundary(store: Store, leases: Leases) -> None:
    """The roster that leaves out the last unknown partition sets the time and notifies the leader."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE))
    assert not leases.wait_for_notification(0)

    store.write_roster(TOKEN, Roster(ROSTER.topics, frozenset({PAYMENTS_0})), 2)

    assert leases.wait_for_notification(0)
    assert progress(leases).boundary_crossed_at_ms is not None


def test_new_parameters_can_end_the_crossing(store: Store, leases: Leases) -> None:
    """With more out-of-orderness, the minimum is below the boundary again."""
    lead(store, leases, SINGLE)
    store.publish(TOKEN, [tick(0, None)])
    send(store, (ORDERS_0, BASE + MINUTE + 10_000))
    assert progress(leases).boundary_crossed_at_ms is not None

    store.claim(TOKEN, IDENTITY, replace(BOUNDS, out_of_orderness_ms=10_001), STARTED)

    assert progress(leases).boundary_crossed_at_ms is None
