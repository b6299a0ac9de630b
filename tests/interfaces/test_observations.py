"""The store, observations of committed offsets: replaced with each poll, and lost with the store."""

from typing import Any

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.observations import Observation, PartitionObservation, UpstreamObservation
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import BASE, CLOCK, MINUTE, ORDERS_0, ORDERS_1, PAYMENTS_0, lead, line
from tests.interfaces.store_implementations import StoreImplementation

HOLD: dict[str, Any] = {"reason": "partition_behind", "since": None, "partitions": [], "detail": "é", "upstream": None}
OBSERVATION = Observation(
    at_ms=BASE,
    topic_ids={"orders": "id-o", "payments": "id-p"},
    doubted=(ORDERS_1,),
    problem="the Kafka user lacks Describe on group loader",
    waiting={"not_processed": 2, "no_answer": 1},
    named={"not_processed": (ORDERS_0, ORDERS_1), "no_answer": (PAYMENTS_0,)},
    upstreams=(
        UpstreamObservation("raw", "", BASE - MINUTE, "holding", HOLD),
        UpstreamObservation("raw", "https://other", None, problem="no answer"),
    ),
    upstream_ms=BASE - MINUTE,
    excluded=(Partition("raw.events", 7),),
    skipped_records=12,
    committed_partitions=0,
)
PARTITIONS = {
    ORDERS_0: PartitionObservation(5, 10, "not_processed"),
    ORDERS_1: PartitionObservation(None, 0, "nothing_committed"),
    PAYMENTS_0: PartitionObservation(None, None),
}


def test_an_observation_is_read_as_it_was_written(store: Store, implementation: StoreImplementation) -> None:
    """By the leader, and by readers of one clock or of many. Without a leader, too."""
    assert store.observation() is store.snapshot().observation is None

    store.write_observation(OBSERVATION, PARTITIONS)

    assert store.observation() == store.snapshot().observation == OBSERVATION
    reading = implementation.server.clock_reads().read([CLOCK])[CLOCK]
    assert not isinstance(reading, Exception)
    assert reading.snapshot.observation == OBSERVATION


def test_partitions_show_what_was_observed(store: Store, implementation: StoreImplementation) -> None:
    """In pages, among the slowest, and among those that lag. A partition that was not observed has nothing."""
    lead(store, implementation.leases)
    assert line(store, ORDERS_0).observed is None

    store.write_observation(OBSERVATION, PARTITIONS)

    assert {clock.partition: clock.observed for clock in store.partitions(None, 10)} == PARTITIONS
    assert {clock.partition: clock.observed for clock in store.lagging_partitions(BASE, 10)} == PARTITIONS
    assert {clock.partition: clock.observed for clock in store.snapshot().slowest} == PARTITIONS


def test_the_next_poll_replaces_everything(store: Store, implementation: StoreImplementation) -> None:
    """Also what it does not name any more."""
    lead(store, implementation.leases)
    store.write_observation(OBSERVATION, PARTITIONS)

    store.write_observation(Observation(BASE + 1), {ORDERS_0: PartitionObservation(6, 10, "")})

    assert store.observation() == Observation(BASE + 1)
    assert line(store, ORDERS_0).observed == PartitionObservation(6, 10, "")
    assert line(store, ORDERS_1).observed is None

    store.write_observation(Observation(BASE + 2), {})

    assert line(store, ORDERS_0).observed is None


def test_thousands_of_partitions_are_one_observation(store: Store) -> None:
    """More than one command of Redis can take in a script."""
    many = {Partition("orders", number): PartitionObservation(number, number + 1, "") for number in range(2_500)}

    store.write_observation(OBSERVATION, many)

    assert store.observation() == OBSERVATION


def test_a_lost_observation_is_none(store: Store, implementation: StoreImplementation) -> None:
    """The leader then waits for the next poll."""
    lead(store, implementation.leases)
    store.write_observation(OBSERVATION, PARTITIONS)

    implementation.wipe()
    lead(store, implementation.leases)

    assert store.observation() is None
    assert line(store, ORDERS_0).observed is None
