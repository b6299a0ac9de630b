"""One round of heartbeats: sent to every partition, checked, counted, and expired after its TTL."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec, Source
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.topics import HEARTBEAT_HEADER
from clocksvc.service import heartbeats as heartbeat
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore
from tests.faulty.topics import FaultyTopics

pytestmark = pytest.mark.core

NOW_MS = 1_764_000_000_000
MINUTE_MS = 60_000
SPEC = ClockSpec("checkins", ("ingest", "retries"), "consumers", heartbeat=HeartbeatSpec())


@pytest.fixture
def wall() -> ManualTime:
    """The worker's clock. The store's clock shows NOW_MS."""
    return ManualTime(NOW_MS / 1000)


@pytest.fixture
def store() -> FaultyStore:
    """The clock's store."""
    return FaultyStore("checkins", ManualTime(NOW_MS / 1000))


@pytest.fixture
def topics() -> FaultyTopics:
    """A cluster with the clock's two topics: two partitions and one."""
    cluster = FaultyTopics()
    cluster.create("ingest", 2)
    cluster.create("retries", 1)
    return cluster


ALL = (Partition("ingest", 0), Partition("ingest", 1), Partition("retries", 0))


def timestamps(topics: FaultyTopics) -> dict[Partition, list[int]]:
    """The timestamps of the records in each partition."""
    return {partition: [record.timestamp_ms for record in topics.records(partition)] for partition in ALL}


def test_every_partition_gets_one(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """Each partition gets one record with the header, and the round counts as a success."""
    made = heartbeat.beat(SPEC, store, topics, wall, NOW_MS)

    assert (made.delivered, made.complete, made.counted) == (ALL, True, True)
    assert timestamps(topics) == {partition: [NOW_MS] for partition in ALL}
    assert [header for header, _ in topics.records(ALL[0])[0].headers] == [HEARTBEAT_HEADER]
    counters = store.counters()
    assert (dict(counters.heartbeats), counters.heartbeat_success_ms) == ({"delivered": 3}, NOW_MS)


def test_partitions_come_from_kafka(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """A partition that was added since the last round gets its heartbeat without a change of the configuration."""
    topics.add_partitions("retries", 1)

    assert Partition("retries", 1) in heartbeat.beat(SPEC, store, topics, wall, NOW_MS).delivered


@pytest.mark.parametrize(("own_ms", "wanted_ms"), [(NOW_MS - 5_000, NOW_MS - 5_000), (NOW_MS + 5_000, NOW_MS)])
def test_timestamp_is_the_earlier_clock(own_ms: int, wanted_ms: int, store: FaultyStore, topics: FaultyTopics) -> None:
    """A worker whose clock is ahead can't run the global clock forward: the earlier of the two clocks counts."""
    heartbeat.beat(SPEC, store, topics, ManualTime(own_ms / 1000), NOW_MS)

    assert timestamps(topics)[ALL[0]] == [wanted_ms]


def test_key_and_payload(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """Compacted or strictly typed topics get the configured key and payload."""
    spec = replace(SPEC, heartbeat=HeartbeatSpec(key=b"k", payload=b"{}"))
    heartbeat.beat(spec, store, topics, wall, NOW_MS)

    assert [(record.key, record.value) for record in topics.records(ALL[2])] == [(b"k", b"{}")]


def test_a_store_out_of_reach_stops_no_heartbeat(
    wall: ManualTime, store: FaultyStore, topics: FaultyTopics, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the store the worker's own clock counts, every partition gets its record, and the lost count is
    logged."""
    store.server.broken = True
    with caplog.at_level(logging.WARNING):
        made = heartbeat.beat(SPEC, store, topics, wall, NOW_MS)

    assert (made.complete, made.counted) == (True, False)
    assert timestamps(topics) == {partition: [NOW_MS] for partition in ALL}
    assert caplog.messages == ["store unavailable, heartbeats not counted"]


def test_a_store_lost_meanwhile_loses_the_count_alone(wall: ManualTime, topics: FaultyTopics) -> None:
    """A store that gave its time but can't count afterwards leaves the round complete."""

    class Forgetful(FaultyStore):
        def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
            self.server.broken = True
            super().count_heartbeats(outcomes, success=success)

    made = heartbeat.beat(SPEC, Forgetful("checkins", ManualTime(NOW_MS / 1000)), topics, wall, NOW_MS)

    assert (made.complete, made.counted) == (True, False)


def test_a_failed_partition_stops_no_other(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """Deliveries are checked one by one; a round with a failure is no success, and has the reason."""
    topics.failing[ALL[1]] = "no leader"
    made = heartbeat.beat(SPEC, store, topics, wall, NOW_MS)

    assert (made.delivered, made.failed, made.complete) == ((ALL[0], ALL[2]), {ALL[1]: "no leader"}, False)
    counters = store.counters()
    assert (dict(counters.heartbeats), counters.heartbeat_success_ms) == ({"delivered": 2, "failed": 1}, None)


def test_a_missing_topic_is_a_failure(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """A configured topic that Kafka does not list fails by name; the other topic gets its records."""
    topics.delete("retries")
    made = heartbeat.beat(SPEC, store, topics, wall, NOW_MS)

    assert (made.delivered, dict(made.unread)) == (ALL[:2], {"retries": "Kafka does not list it"})
    assert dict(store.counters().heartbeats) == {"delivered": 2, "failed": 1}


def test_an_unreadable_topic_stops_no_other(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """A topic that may not be described fails with Kafka's reason; the other topic gets its records."""
    topics.undescribed["ingest"] = "not authorized"
    made = heartbeat.beat(SPEC, store, topics, wall, NOW_MS)

    assert (made.delivered, dict(made.unread)) == (ALL[2:], {"ingest": "not authorized"})


def test_an_outage_of_kafka_fails_every_topic(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """With the reason. Kafka is asked once."""
    topics.unavailable = True
    made = heartbeat.beat(SPEC, store, topics, wall, NOW_MS)

    assert dict(made.unread) == dict.fromkeys(SPEC.topics, "Kafka does not answer a request for topic metadata.")


@pytest.mark.parametrize(
    ("every_ms", "age_ms", "expired"),
    [
        pytest.param(1_000, 60_000, False, id="a short interval lives a minute"),
        pytest.param(1_000, 60_001, True, id="and not longer"),
        pytest.param(600_000, 600_000, False, id="a long interval lives as long as itself"),
        pytest.param(600_000, 600_001, True, id="and no longer either"),
        pytest.param(60_000, -5_000, False, id="beat's clock is ahead of the worker's"),
    ],
)
def test_an_old_round_expires(
    every_ms: int, age_ms: int, expired: bool, wall: ManualTime, store: FaultyStore, topics: FaultyTopics
) -> None:
    """A round that waited longer than max(every, 60 s) sends nothing and is counted as expired."""
    spec = replace(SPEC, interval_ms=600_000, heartbeat=HeartbeatSpec(every_ms))
    made = heartbeat.beat(spec, store, topics, wall, NOW_MS - age_ms)

    assert (made.expired, sum(map(len, timestamps(topics).values()))) == (expired, 0 if expired else 3)
    assert dict(store.counters().heartbeats) == ({"expired": 1} if expired else {"delivered": 3})


def test_an_expired_round_is_no_success(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """An expired round does not change the time of the last success."""
    heartbeat.beat(SPEC, store, topics, wall, NOW_MS - 61_000)

    assert store.counters().heartbeat_success_ms is None


def test_heartbeats_that_are_off(wall: ManualTime, store: FaultyStore, topics: FaultyTopics) -> None:
    """A clock without heartbeats raises an error that names the setting: another one if they can't be enabled."""
    with pytest.raises(InvalidValue, match=r"clocks\.checkins\.heartbeat"):
        heartbeat.beat(replace(SPEC, heartbeat=None), store, topics, wall, NOW_MS)
    with pytest.raises(InvalidValue, match=r"clocks\.checkins\.source: 'committed' .* without heartbeats"):
        heartbeat.beat(replace(SPEC, heartbeat=None, source=Source.COMMITTED), store, topics, wall, NOW_MS)


FAILED = heartbeat.HeartbeatRound(failed={ALL[0]: "no leader"})


@pytest.mark.parametrize(
    ("made", "age_ms", "tries", "wait_s"),
    [
        pytest.param(FAILED, 0, 1, 1.0, id="soon at first"),
        pytest.param(FAILED, 0, 3, 4.0, id="then less often"),
        pytest.param(FAILED, 0, 50, 15.0, id="but not rarer than this"),
        pytest.param(FAILED, 59_500, 1, None, id="not when it would expire before"),
        pytest.param(heartbeat.HeartbeatRound(unread={"ingest": "away"}), 0, 1, 1.0, id="a topic without metadata"),
        pytest.param(heartbeat.HeartbeatRound(), 0, 1, None, id="a complete round is not sent again"),
        pytest.param(heartbeat.HeartbeatRound(expired=True), 61_000, 1, None, id="nor one that expired"),
    ],
)
def test_when_a_round_is_sent_again(made: Any, age_ms: int, tries: int, wait_s: float | None) -> None:
    """A round that is not complete is sent again with a back-off, within its TTL."""
    assert heartbeat.retry_after_s(SPEC, made, NOW_MS - age_ms, NOW_MS, tries) == wait_s


@pytest.mark.parametrize(
    ("now_ms", "due_ms"), [(NOW_MS, NOW_MS), (NOW_MS + 59_999, NOW_MS), (NOW_MS + 60_000, NOW_MS + MINUTE_MS)]
)
def test_due_times_are_multiples(now_ms: int, due_ms: int) -> None:
    """A round is due at the last multiple of `every` that has passed."""
    assert heartbeat.due_ms(HeartbeatSpec(), now_ms) == due_ms
