"""The store, readers: the clock at one moment, its partitions in pages, who is behind, and the counters."""

import pytest

from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    HOST_AND_PID,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    PAYMENTS_0,
    ROSTER,
    STARTED,
    TOKEN,
    lead,
    line,
    send,
    tick,
)

TOPICS = ("B", "Z.z", "a", "a-b", "a.b", "aa", "b", "b_c")
"""In the order of their bytes: no language's order."""


def test_snapshot_of_an_empty_store(store: Store) -> None:
    """Nothing is known, and nothing is made up."""
    seen = store.snapshot()

    assert (seen.parameters, seen.leader_status, seen.leader, seen.started_ms, seen.last_tick_ms) == (None,) * 5
    assert (seen.known, seen.unknown, seen.excluded, seen.slowest) == (0, 0, 0, ())


def test_snapshot_shows_the_clock(store: Store, leases: Leases) -> None:
    """Bounds, leader, last tick, and how many partitions are known, unknown and excluded, at the store's time."""
    lead(store, leases, Roster({"orders": TopicMetadata("id-o", 4)}, frozenset({Partition("orders", 3)})))
    send(store, (ORDERS_0, BASE + 2), (ORDERS_1, BASE + 1), (Partition("orders", 3), BASE))
    store.publish(TOKEN, [tick(0, None)])
    before_ms = store.now_ms()
    seen = store.snapshot()

    assert before_ms <= seen.now_ms <= store.now_ms()
    assert (seen.parameters, seen.leader, seen.started_ms, seen.last_tick_ms) == (BOUNDS, HOST_AND_PID, STARTED, BASE)
    assert (seen.known, seen.unknown, seen.excluded) == (2, 1, 1)
    assert seen.slowest == tuple(line(store, Partition("orders", number)) for number in (2, 1, 0))


def test_slowest_are_the_ten_lowest(store: Store, leases: Leases) -> None:
    """Unknown ones first, then by timestamp; excluded ones are not among them."""
    lead(store, leases, Roster({"orders": TopicMetadata("id-o", 30)}, frozenset({Partition("orders", 29)})))
    send(store, *((Partition("orders", number), BASE - number) for number in range(2, 30)))

    numbers = [line.partition.number for line in store.snapshot().slowest]

    assert (sorted(numbers[:2]), numbers[2:]) == ([0, 1], [28, 27, 26, 25, 24, 23, 22, 21])


def test_a_page_carries_what_is_known_of_each_partition(store: Store, leases: Leases) -> None:
    """Timestamp, when it was reported, whether it is excluded, and why its newest report was rejected."""
    lead(store, leases, Roster(ROSTER.topics, frozenset({ORDERS_1})))
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE + 1), (PAYMENTS_0, -1))

    first, second, third = store.partitions(None, 10)

    assert (first.partition, first.raw_ms, first.excluded, first.rejected) == (ORDERS_0, BASE, False, None)
    assert (second.partition, second.raw_ms, second.excluded, second.rejected) == (ORDERS_1, BASE + 1, True, None)
    assert third.partition == PAYMENTS_0
    assert (third.raw_ms, third.reported_ms, third.rejected) == (None, None, Outcome.NO_TIMESTAMP)
    assert first.reported_ms == second.reported_ms is not None


@pytest.mark.parametrize("limit", [1, 5, 12, 1_000])
def test_pages_are_in_order_of_topic_and_number(store: Store, limit: int, leases: Leases) -> None:
    """Topics by their bytes, partitions by number (10 after 9): pages of any size give each partition once."""
    lead(store, leases, Roster({topic: TopicMetadata(topic, 12) for topic in reversed(TOPICS)}))
    everyone = [Partition(topic, number) for topic in TOPICS for number in range(12)]

    seen: list[Partition] = []
    while page := store.partitions(seen[-1] if seen else None, limit):
        assert len(page) <= limit
        seen += [line.partition for line in page]

    assert seen == everyone


@pytest.mark.parametrize(
    ("after", "first"),
    [
        (Partition("", 0), Partition("B", 0)),
        (Partition("a", 1), Partition("a-b", 0)),
        (Partition("a", 99), Partition("a-b", 0)),
        (Partition("a-a", 5), Partition("a-b", 0)),
        (Partition("Z.z", -1), Partition("Z.z", 0)),
        (Partition("b_b", 0), Partition("b_c", 0)),
        (Partition("b_c", 1), None),
        (Partition("c", 0), None),
    ],
)
def test_a_page_goes_on_after_what_is_gone(
    store: Store, after: Partition, first: Partition | None, leases: Leases
) -> None:
    """A cursor may name a partition that is not, or no longer, on the roster."""
    lead(store, leases, Roster({topic: TopicMetadata(topic, 2) for topic in TOPICS}))

    assert [line.partition for line in store.partitions(after, 1)] == ([] if first is None else [first])


def test_pages_of_one_topic(store: Store, leases: Leases) -> None:
    """With a topic, its partitions alone; none for one that the clock hasn't got."""
    lead(store, leases, Roster({topic: TopicMetadata(topic, 3) for topic in TOPICS}))

    assert [str(line.partition) for line in store.partitions(None, 10, "a")] == ["a:0", "a:1", "a:2"]
    assert [str(line.partition) for line in store.partitions(Partition("a", 0), 1, "a")] == ["a:1"]
    assert store.partitions(Partition("aa", 0), 10, "a") == []
    assert store.partitions(None, 10, "nowhere") == []
    assert store.partitions(None, 0) == []


def test_who_is_behind(store: Store, leases: Leases) -> None:
    """Unknown ones and those below a timestamp, lowest first; one exactly at it is not behind."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE + 1), (ORDERS_1, BASE))

    assert [line.partition for line in store.lagging_partitions(BASE + 1, 10)] == [PAYMENTS_0, ORDERS_1]
    assert [line.partition for line in store.lagging_partitions(BASE, 10)] == [PAYMENTS_0]
    assert store.lagging_partitions(BASE + MINUTE, 10) == [line(store, p) for p in (PAYMENTS_0, ORDERS_1, ORDERS_0)]
    assert len(store.lagging_partitions(BASE + MINUTE, 2)) == 2


def test_excluded_partitions_are_not_behind(store: Store, leases: Leases) -> None:
    """No tick waits for them."""
    lead(store, leases, Roster(ROSTER.topics, frozenset({ORDERS_0, ORDERS_1})))

    assert [line.partition for line in store.lagging_partitions(BASE, 10)] == [PAYMENTS_0]


def test_counters_begin_at_nothing(store: Store) -> None:
    """What was never counted is absent, and no round of heartbeats has ever succeeded."""
    assert store.counters() == Counters({}, {}, 0, None)


def test_heartbeats_are_counted(store: Store) -> None:
    """Rounds add up by outcome; only a whole one moves the time of the last success."""
    store.count_heartbeats({"sent": 3, "failed": 1}, success=False)
    assert store.counters() == Counters({}, {"sent": 3, "failed": 1}, 0, None)
    before_ms = store.now_ms()
    store.count_heartbeats({"sent": 4}, success=True)
    success_ms = store.counters().heartbeat_success_ms
    store.count_heartbeats({}, success=False)

    assert success_ms is not None
    assert before_ms <= success_ms <= store.now_ms()
    assert store.counters() == Counters({}, {"sent": 7, "failed": 1}, 0, success_ms)


def test_the_stores_clock_runs(store: Store) -> None:
    """It is a wall clock that passes."""
    assert BASE < store.now_ms() <= store.now_ms() <= store.snapshot().now_ms
