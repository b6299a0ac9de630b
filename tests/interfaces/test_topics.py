"""The behaviour of all implementations of the watched topics."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Uuid

from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.committed_offsets import FoundRecord, GroupOffsets, PartitionEnds, ReadRequest, ReadResult
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka import committed_offsets
from clocksvc.kafka.committed_offsets import KafkaCommittedOffsets
from clocksvc.kafka.topics import KafkaTopics, topic_id
from clocksvc.memory.topics import TopicRecord
from tests.faulty.topics import FaultyTopics
from tests.interfaces.committed_offsets_implementations import KafkaOffsetsImplementation, group_name
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.topics_implementations import (
    KafkaTopicsImplementation,
    MemoryTopicsImplementation,
    TopicsImplementation,
)
from tests.waiting import eventually

T_MS = 1_795_334_400_123
BEAT = (("clocksvc-heartbeat", b"1"),)


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[TopicsImplementation]:
    """Each implementation of the topics."""
    memory = request.param == "memory"
    made: TopicsImplementation = (
        MemoryTopicsImplementation() if memory else KafkaTopicsImplementation(request.getfixturevalue("faulty_kafka"))
    )
    yield made
    made.free()


@pytest.fixture
def name(implementation: TopicsImplementation) -> str:
    """A topic of three partitions."""
    made = implementation.name()
    implementation.create(made, 3)
    return made


# Metadata


def test_a_reading_gives_partitions_and_ids(implementation: TopicsImplementation, name: str) -> None:
    """And the cluster's id; one topic's id is the same each time, another topic has another."""
    other = implementation.name()
    implementation.create(other, 1)
    first, second = implementation.topics.describe([name, other]), implementation.topics.describe([name])

    assert first.cluster_id == second.cluster_id == implementation.cluster_id()
    assert {topic: shape.partitions for topic, shape in first.topics.items()} == {name: 3, other: 1}
    assert second.topics == {name: first.topics[name]}
    assert len({shape.id for shape in first.topics.values()} | {""}) == 3


def test_a_topic_that_does_not_exist_is_absent(implementation: TopicsImplementation, name: str) -> None:
    """It is no error: the others are there."""
    assert list(implementation.topics.describe([name, implementation.name()]).topics) == [name]


def test_a_deleted_topic_is_absent(implementation: TopicsImplementation, name: str) -> None:
    """From the next reading on."""
    implementation.delete(name)

    assert implementation.topics.describe([name]).topics == {}


def test_a_recreated_topic_has_another_id(implementation: TopicsImplementation, name: str) -> None:
    """Its partitions are not the old ones, however many there are."""
    old = implementation.topics.describe([name]).topics[name]
    implementation.delete(name)
    implementation.create(name, 3)
    new = implementation.topics.describe([name]).topics[name]

    assert (new.partitions, new.id == old.id) == (3, False)


def test_more_partitions_show_at_once(implementation: TopicsImplementation, name: str) -> None:
    """Under the same id."""
    old = implementation.topics.describe([name]).topics[name]
    implementation.add_partitions(name, 5)

    assert implementation.topics.describe([name]).topics[name] == (old.id, 5)


def test_a_reading_of_no_topic_tells_the_cluster(implementation: TopicsImplementation) -> None:
    """Nothing is asked about, nothing is listed."""
    reading = implementation.topics.describe([])

    assert (reading.cluster_id, dict(reading.topics)) == (implementation.cluster_id(), {})


def test_without_an_answer_metadata_is_unavailable(implementation: TopicsImplementation, name: str) -> None:
    """Within two seconds, by name; and known again as soon as the brokers answer."""
    known = implementation.topics.describe([name])
    implementation.stall()
    for ask in (implementation.topics.describe, implementation.topics.timestamp_types):
        begun = time.monotonic()
        with pytest.raises(MetadataUnavailable):
            ask([name])
        assert time.monotonic() - begun < 2.7
    implementation.heal()

    assert implementation.topics.describe([name]) == known


# Timestamp types


def test_timestamp_types_are_read(implementation: TopicsImplementation, name: str) -> None:
    """For each topic that exists."""
    stamped = implementation.name()
    implementation.create(stamped, 1, "LogAppendTime")

    assert implementation.topics.timestamp_types([name, stamped, implementation.name()]) == {
        name: TimestampType.CREATE_TIME,
        stamped: TimestampType.LOG_APPEND_TIME,
    }
    assert implementation.topics.timestamp_types([]) == {}


# Heartbeats


def test_a_heartbeat_lies_in_each_partition(implementation: TopicsImplementation, name: str) -> None:
    """One record each, with the header, the timestamp, the key and the payload that were given."""
    partitions = [Partition(name, number) for number in range(3)]
    outcomes = implementation.topics.put_heartbeats(partitions, T_MS, b"k", b"{}", 10.0)

    assert outcomes == dict.fromkeys(partitions)
    for partition in partitions:
        assert implementation.records(partition) == [TopicRecord(T_MS, b"k", b"{}", BEAT)]


def test_a_heartbeat_needs_no_key_and_no_payload(implementation: TopicsImplementation, name: str) -> None:
    """And goes into the partitions that were named alone."""
    implementation.topics.put_heartbeats([Partition(name, 1)], T_MS, None, None, 10.0)

    assert implementation.records(Partition(name, 1)) == [TopicRecord(T_MS, None, None, BEAT)]
    assert implementation.records(Partition(name, 0)) == []


def test_no_partition_needs_no_heartbeat(implementation: TopicsImplementation) -> None:
    """And no time."""
    assert implementation.topics.put_heartbeats([], T_MS, None, None, 10.0) == {}


def test_a_fresh_partition_gets_its_heartbeat(implementation: TopicsImplementation, name: str) -> None:
    """Partitions that came after the first heartbeat are learnt, and not only in five minutes."""
    implementation.topics.put_heartbeats([Partition(name, 0)], T_MS, None, None, 10.0)
    implementation.add_partitions(name, 6)
    partitions = [Partition(name, number) for number in range(6)]

    assert implementation.topics.put_heartbeats(partitions, T_MS, None, None, 10.0) == dict.fromkeys(partitions)
    assert implementation.records(Partition(name, 5)) == [TopicRecord(T_MS, None, None, BEAT)]


def test_a_partition_that_does_not_exist_stops_no_other(implementation: TopicsImplementation, name: str) -> None:
    """Nor does a topic that does not: each has its outcome, in words, when the time is over."""
    good, beyond, absent = Partition(name, 2), Partition(name, 3), Partition(implementation.name(), 0)
    outcomes = implementation.topics.put_heartbeats([absent, beyond, good], T_MS, None, None, 0.5)

    assert set(outcomes) == {good, beyond, absent}
    assert outcomes[good] is None
    assert outcomes[beyond]
    assert outcomes[absent]
    assert len(implementation.records(good)) == 1


def test_without_an_answer_each_heartbeat_fails(implementation: TopicsImplementation, name: str) -> None:
    """When the time is over, and not later."""
    partitions = [Partition(name, number) for number in range(3)]
    implementation.topics.put_heartbeats(partitions, T_MS, None, None, 10.0)
    implementation.stall()
    begun = time.monotonic()
    outcomes = implementation.topics.put_heartbeats(partitions, T_MS, None, None, 0.5)
    took = time.monotonic() - begun
    implementation.heal()

    assert set(outcomes) == set(partitions)
    assert all("answer" in (why or "") for why in outcomes.values())
    assert took < 1.5


def test_threads_share_one_implementation(implementation: TopicsImplementation, name: str) -> None:
    """Readings and heartbeats of several clocks go through it at once, each with its own outcomes."""
    partitions = [Partition(name, number) for number in range(3)]

    def both(number: int) -> bool:
        delivered = implementation.topics.put_heartbeats(partitions, T_MS + number, None, None, 10.0)
        return (
            delivered == dict.fromkeys(partitions)
            and implementation.topics.describe([name]).topics[name].partitions == 3
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(both, range(40)))
    assert sorted(record.timestamp_ms for record in implementation.records(partitions[0])) == [
        T_MS + n for n in range(40)
    ]


def test_close_may_come_twice(implementation: TopicsImplementation, name: str) -> None:
    """Also after use."""
    implementation.topics.put_heartbeats([Partition(name, 0)], T_MS, None, None, 10.0)
    implementation.topics.close()
    implementation.topics.close()


# What only Kafka has: brokers that create topics on request, and access rights


@pytest.mark.servers
def test_no_call_makes_a_topic(faulty_kafka: FaultyKafka) -> None:
    """Even if brokers create topics on metadata requests and on writes."""
    implementation = KafkaTopicsImplementation(faulty_kafka)
    absent = implementation.name()
    implementation.topics.describe([absent])
    implementation.topics.timestamp_types([absent])
    implementation.topics.put_heartbeats([Partition(absent, 0)], T_MS, None, None, 3.0)
    implementation.free()

    assert absent not in implementation.listed()


@pytest.mark.servers
def test_a_topic_without_permission_is_a_failure(faulty_kafka: FaultyKafka) -> None:
    """It is neither listed nor absent, and the reason names the missing permission. Other topics are described."""
    implementation = KafkaTopicsImplementation(faulty_kafka)
    name, absent = implementation.name(), implementation.name()
    implementation.create(name, 1)
    topics = KafkaTopics(faulty_kafka.stranger)
    reading = topics.describe([name, absent])
    assert topics.timestamp_types([name]) == {}
    outcomes = topics.put_heartbeats([Partition(name, 0)], T_MS, None, None, 1.0)
    topics.close()
    implementation.free()

    assert (reading.cluster_id, dict(reading.topics)) == (implementation.cluster_id(), {})
    assert reading.failures[name].endswith(f"authorization failed: the Kafka user lacks Describe on topic {name}")
    assert "uthori" in (outcomes[Partition(name, 0)] or "")


# Committed offsets with the same Kafka: their other tests are in test_committed_offsets.py


@pytest.mark.servers
def test_a_missing_permission_for_offsets_is_named(faulty_kafka: FaultyKafka) -> None:
    """A group's is its problem, and a topic's that of the topic. Others are not affected."""
    cluster = KafkaOffsetsImplementation(faulty_kafka.bootstrap)
    topic, group = cluster.create(1), group_name()
    partition = Partition(topic, 0)
    cluster.append(partition, T_MS)
    cluster.commit(group, partition, 1)
    stranger = KafkaCommittedOffsets(faulty_kafka.stranger)
    committed = stranger.committed({group: [partition]})[group]

    assert committed.offsets == {}
    assert committed.problem.endswith(f"the Kafka user lacks Describe on group {group}")
    assert (stranger.topic_ids([topic]), stranger.ends([partition])) == ({}, {})
    assert stranger.problem(topic).endswith(f"the Kafka user lacks Describe on topic {topic}")
    cluster.allow("stranger", "DESCRIBE", topic)
    eventually(lambda: stranger.topic_ids([topic]) and stranger.ends([partition]), what="the permission")
    assert stranger.problem(topic) == ""
    assert stranger.read([ReadRequest(partition, 0, 1)]) == {}
    assert stranger.problem(topic).endswith(f"the Kafka user lacks Read on topic {topic}")
    stranger.close()
    cluster.free()


@pytest.mark.servers
def test_without_an_answer_offsets_are_absent(faulty_kafka: FaultyKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the timeout, and known again once the broker answers."""
    for name in ("REQUEST_TIMEOUT_S", "READ_TIMEOUT_S"):
        monkeypatch.setattr(committed_offsets, name, 0.5)
    cluster = KafkaOffsetsImplementation(faulty_kafka.bootstrap)
    topic, group = cluster.create(1), group_name()
    partition, offsets = Partition(topic, 0), cluster.offsets
    cluster.append(partition, T_MS)
    cluster.commit(group, partition, 1)
    request = ReadRequest(partition, 0, 1)

    def ask() -> list[object]:
        asked = [offsets.ends([partition]), offsets.committed({group: [partition]}), offsets.offsets_at({partition: 0})]
        return [*asked, offsets.read([request])]

    known = ask()
    faulty_kafka.proxy.stall()
    begun = time.monotonic()
    absent = ask()
    took = time.monotonic() - begun
    why = offsets.problem(topic)
    faulty_kafka.proxy.heal()

    assert known == [
        {partition: PartitionEnds(0, 1, 0)},
        {group: GroupOffsets({partition: 1})},
        {partition: 0},
        {request: ReadResult(FoundRecord(0, T_MS), FoundRecord(0, T_MS), 1)},
    ]
    assert absent == [{}, {}, {}, {}]
    assert took < 4 * (0.5 + 0.5)  # each asks for the leaders, too
    assert "no answer" in why
    assert ask() == known
    assert offsets.problem(topic) == ""
    cluster.free()


@pytest.mark.core
def test_the_zero_id_is_no_id() -> None:
    """Brokers without topic ids answer with the id zero. It must not look like the same topic each time."""
    assert topic_id(Uuid(0, 0)) == ""
    assert topic_id(Uuid(1, 2)) == "AAAAAAAAAAEAAAAAAAAAAg"


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
def test_memory_can_give_no_ids_and_describe_only_some_topics() -> None:
    """Topics without ids have the id ""; a topic that is not described has a reason."""
    topics = FaultyTopics("c", without_ids=True, undescribed={"secret": "not authorized"})
    for name in ("secret", "t"):
        topics.create(name, 2)
    reading = topics.describe(["t", "secret", "absent"])

    assert reading.topics == {"t": ("", 2)}
    assert reading.failures == {"secret": "not authorized"}


@pytest.mark.core
def test_memory_can_change_a_timestamp_type() -> None:
    """The topic's id stays the same."""
    topics = FaultyTopics()
    before = topics.create("t", 1)
    topics.set_timestamp_type("t", TimestampType.LOG_APPEND_TIME)

    assert topics.timestamp_types(["t"]) == {"t": TimestampType.LOG_APPEND_TIME}
    assert topics.describe(["t"]).topics == {"t": before}


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
