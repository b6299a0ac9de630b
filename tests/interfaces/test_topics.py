"""What every keeper of the watched topics promises."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.topics import KafkaTopics
from clocksvc.memory.topics import TopicRecord
from tests.faulty.topics import FaultyTopics
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.topic_keepers import (
    KafkaTopicsKeeper,
    MemoryTopicsKeeper,
    TopicsKeeper,
)

T_MS = 1_795_334_400_123
BEAT = (("clocksvc-heartbeat", b"1"),)


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def keeper(request: pytest.FixtureRequest) -> Iterator[TopicsKeeper]:
    """Each keeper of the topics' promise in turn."""
    memory = request.param == "memory"
    made: TopicsKeeper = MemoryTopicsKeeper() if memory else KafkaTopicsKeeper(request.getfixturevalue("faulty_kafka"))
    yield made
    made.free()


@pytest.fixture
def name(keeper: TopicsKeeper) -> str:
    """A topic of three partitions."""
    made = keeper.name()
    keeper.create(made, 3)
    return made


# Metadata


def test_a_reading_gives_partitions_and_ids(keeper: TopicsKeeper, name: str) -> None:
    """And the cluster's id; one topic's id is the same each time, another topic has another."""
    other = keeper.name()
    keeper.create(other, 1)
    first, second = keeper.topics.describe([name, other]), keeper.topics.describe([name])

    assert first.cluster_id == second.cluster_id == keeper.cluster_id()
    assert {topic: shape.partitions for topic, shape in first.topics.items()} == {name: 3, other: 1}
    assert second.topics == {name: first.topics[name]}
    assert len({shape.id for shape in first.topics.values()} | {""}) == 3


def test_a_topic_that_does_not_exist_is_absent(keeper: TopicsKeeper, name: str) -> None:
    """It is no error: the others are there."""
    assert list(keeper.topics.describe([name, keeper.name()]).topics) == [name]


def test_a_deleted_topic_is_absent(keeper: TopicsKeeper, name: str) -> None:
    """From the next reading on."""
    keeper.delete(name)

    assert keeper.topics.describe([name]).topics == {}


def test_a_topic_made_anew_has_another_id(keeper: TopicsKeeper, name: str) -> None:
    """Its partitions are not the old ones, however many there are."""
    old = keeper.topics.describe([name]).topics[name]
    keeper.delete(name)
    keeper.create(name, 3)
    new = keeper.topics.describe([name]).topics[name]

    assert (new.partitions, new.id == old.id) == (3, False)


def test_more_partitions_show_at_once(keeper: TopicsKeeper, name: str) -> None:
    """Under the same id."""
    old = keeper.topics.describe([name]).topics[name]
    keeper.add_partitions(name, 5)

    assert keeper.topics.describe([name]).topics[name] == (old.id, 5)


def test_a_reading_of_no_topic_tells_the_cluster(keeper: TopicsKeeper) -> None:
    """Nothing is asked about, nothing is listed."""
    reading = keeper.topics.describe([])

    assert (reading.cluster_id, dict(reading.topics)) == (keeper.cluster_id(), {})


def test_without_an_answer_metadata_is_unavailable(keeper: TopicsKeeper, name: str) -> None:
    """Within two seconds, by name; and known again as soon as the brokers answer."""
    known = keeper.topics.describe([name])
    keeper.stall()
    for ask in (keeper.topics.describe, keeper.topics.timestamp_types):
        begun = time.monotonic()
        with pytest.raises(MetadataUnavailable):
            ask([name])
        assert time.monotonic() - begun < 2.7
    keeper.heal()

    assert keeper.topics.describe([name]) == known


# Who stamps


def test_timestamp_types_are_told(keeper: TopicsKeeper, name: str) -> None:
    """For each topic that exists."""
    stamped = keeper.name()
    keeper.create(stamped, 1, "LogAppendTime")

    assert keeper.topics.timestamp_types([name, stamped, keeper.name()]) == {
        name: TimestampType.CREATE_TIME,
        stamped: TimestampType.LOG_APPEND_TIME,
    }
    assert keeper.topics.timestamp_types([]) == {}


# Heartbeats


def test_a_heartbeat_lies_in_each_partition(keeper: TopicsKeeper, name: str) -> None:
    """One record each, with the header, the timestamp, the key and the payload that were given."""
    partitions = [Partition(name, number) for number in range(3)]
    outcomes = keeper.topics.put_heartbeats(partitions, T_MS, b"k", b"{}", 10.0)

    assert outcomes == dict.fromkeys(partitions)
    for partition in partitions:
        assert keeper.records(partition) == [TopicRecord(T_MS, b"k", b"{}", BEAT)]


def test_a_heartbeat_needs_no_key_and_no_payload(keeper: TopicsKeeper, name: str) -> None:
    """And goes into the partitions that were named alone."""
    keeper.topics.put_heartbeats([Partition(name, 1)], T_MS, None, None, 10.0)

    assert keeper.records(Partition(name, 1)) == [TopicRecord(T_MS, None, None, BEAT)]
    assert keeper.records(Partition(name, 0)) == []


def test_no_partition_needs_no_heartbeat(keeper: TopicsKeeper) -> None:
    """And no time."""
    assert keeper.topics.put_heartbeats([], T_MS, None, None, 10.0) == {}


def test_a_fresh_partition_gets_its_heartbeat(keeper: TopicsKeeper, name: str) -> None:
    """Partitions that came after the first heartbeat are learnt, and not only in five minutes."""
    keeper.topics.put_heartbeats([Partition(name, 0)], T_MS, None, None, 10.0)
    keeper.add_partitions(name, 6)
    partitions = [Partition(name, number) for number in range(6)]

    assert keeper.topics.put_heartbeats(partitions, T_MS, None, None, 10.0) == dict.fromkeys(partitions)
    assert keeper.records(Partition(name, 5)) == [TopicRecord(T_MS, None, None, BEAT)]


def test_a_partition_that_does_not_exist_stops_no_other(keeper: TopicsKeeper, name: str) -> None:
    """Nor does a topic that does not: each has its outcome, in words, when the time is over."""
    good, beyond, absent = Partition(name, 2), Partition(name, 3), Partition(keeper.name(), 0)
    outcomes = keeper.topics.put_heartbeats([absent, beyond, good], T_MS, None, None, 0.5)

    assert set(outcomes) == {good, beyond, absent}
    assert outcomes[good] is None
    assert outcomes[beyond]
    assert outcomes[absent]
    assert len(keeper.records(good)) == 1


def test_without_an_answer_each_heartbeat_says_so(keeper: TopicsKeeper, name: str) -> None:
    """When the time is over, and not later."""
    partitions = [Partition(name, number) for number in range(3)]
    keeper.topics.put_heartbeats(partitions, T_MS, None, None, 10.0)
    keeper.stall()
    begun = time.monotonic()
    outcomes = keeper.topics.put_heartbeats(partitions, T_MS, None, None, 0.5)
    took = time.monotonic() - begun
    keeper.heal()

    assert set(outcomes) == set(partitions)
    assert all("answer" in (why or "") for why in outcomes.values())
    assert took < 1.5


def test_threads_share_one_keeper(keeper: TopicsKeeper, name: str) -> None:
    """Readings and heartbeats of several clocks go through it at once, each with its own outcomes."""
    partitions = [Partition(name, number) for number in range(3)]

    def both(number: int) -> bool:
        delivered = keeper.topics.put_heartbeats(partitions, T_MS + number, None, None, 10.0)
        return delivered == dict.fromkeys(partitions) and keeper.topics.describe([name]).topics[name].partitions == 3

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(both, range(40)))
    assert sorted(record.timestamp_ms for record in keeper.records(partitions[0])) == [T_MS + n for n in range(40)]


def test_close_may_come_twice(keeper: TopicsKeeper, name: str) -> None:
    """Also after use."""
    keeper.topics.put_heartbeats([Partition(name, 0)], T_MS, None, None, 10.0)
    keeper.topics.close()
    keeper.topics.close()


# What only Kafka has: brokers that make topics for whoever asks, and rights


@pytest.mark.servers
def test_no_call_makes_a_topic(faulty_kafka: FaultyKafka) -> None:
    """Even where brokers make a topic for whoever asks about one, or writes to it."""
    keeper = KafkaTopicsKeeper(faulty_kafka)
    absent = keeper.name()
    keeper.topics.describe([absent])
    keeper.topics.timestamp_types([absent])
    keeper.topics.put_heartbeats([Partition(absent, 0)], T_MS, None, None, 3.0)
    keeper.free()

    assert absent not in keeper.listed()


@pytest.mark.servers
def test_without_rights_it_is_open_whether_a_topic_exists(faulty_kafka: FaultyKafka) -> None:
    """So that is no answer, and must not look like an absent topic; who stamps a topic is merely not known."""
    keeper = KafkaTopicsKeeper(faulty_kafka)
    name = keeper.name()
    keeper.create(name, 1)
    topics = KafkaTopics(faulty_kafka.stranger)
    with pytest.raises(MetadataUnavailable, match=r"(?i)authori[sz]"):
        topics.describe([name])
    assert topics.timestamp_types([name]) == {}
    outcomes = topics.put_heartbeats([Partition(name, 0)], T_MS, None, None, 1.0)
    topics.close()
    keeper.free()

    assert "uthori" in (outcomes[Partition(name, 0)] or "")


@pytest.mark.core
def test_a_setting_that_librdkafka_refuses_is_said() -> None:
    """Its words name the setting."""
    topics = KafkaTopics({"security.protocol": "MAGIC"})
    with pytest.raises(MetadataUnavailable, match="MAGIC"):
        topics.describe(["t"])
    assert "MAGIC" in (topics.put_heartbeats([Partition("t", 0)], T_MS, None, None, 1.0)[Partition("t", 0)] or "")


# What only the one in memory can be told to do


@pytest.mark.core
def test_memory_can_lag() -> None:
    """Metadata shows fewer partitions than there are, or none of the topic."""
    topics = FaultyTopics()
    shape = topics.create("t", 4)
    seen = []
    for listed in (2, 0, None):
        topics.hide("t", listed)
        seen.append(topics.describe(["t"]).topics)

    assert seen == [{"t": (shape.id, 2)}, {}, {"t": shape}]


@pytest.mark.core
def test_memory_can_refuse_a_heartbeat_and_stamp_records() -> None:
    """A partition can fail by name, a topic's timestamp type can be withheld, and a broker can stamp."""
    topics = FaultyTopics(append_time_ms=7_000)
    topics.create("t", 2, TimestampType.LOG_APPEND_TIME)
    topics.hide_timestamp_type("t")
    topics.failing[Partition("t", 0)] = "no leader"
    outcomes = topics.put_heartbeats([Partition("t", 0), Partition("t", 1)], T_MS, None, None, 1.0)

    assert outcomes == {Partition("t", 0): "no leader", Partition("t", 1): None}
    assert topics.timestamp_types(["t"]) == {}
    assert [record.timestamp_ms for record in topics.records(Partition("t", 1))] == [7_000]
