"""CompactedTable over all implementations of a compacted topic: what is read, and when the table is ready."""

from collections.abc import Callable, Iterator

import pytest

from clocksvc.consumer import CompactedTable
from clocksvc.errors import TableUnavailable
from clocksvc.kafka.compacted_topic import KafkaCompactedTopic
from tests.interfaces.compacted_topic_implementations import (
    CompactedTopicImplementation,
    KafkaImplementation,
    MemoryImplementation,
)
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.system.docs.blocks import blocks
from tests.waiting import eventually

WITHIN_S = 20.0


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def topic(request: pytest.FixtureRequest) -> CompactedTopicImplementation:
    """Each implementation."""
    if request.param == "memory":
        return MemoryImplementation()
    return KafkaImplementation(request.getfixturevalue("bootstrap"))


@pytest.fixture
def kafka_topic(bootstrap: str) -> KafkaImplementation:
    """The Kafka implementation only. In memory, tests/unit/client/consumer has these cases without waiting."""
    return KafkaImplementation(bootstrap)


OpenTable = Callable[[CompactedTopicImplementation], CompactedTable[bytes]]


@pytest.fixture
def open_table() -> Iterator[OpenTable]:
    """Makes tables of a topic, and closes them."""
    tables: list[CompactedTable[bytes]] = []

    def open_one(topic: CompactedTopicImplementation) -> CompactedTable[bytes]:
        tables.append(CompactedTable("configs", decode=lambda record: record.value(), source=topic.open))
        return tables[-1]

    yield open_one
    for table in tables:
        table.close()


def test_the_table_has_committed_records_only(topic: CompactedTopicImplementation, open_table: OpenTable) -> None:
    """With transactions, aborted ones at the end, tombstones, and a partition of aborted records: ready by position."""
    topic.append(0, b"a", b"1")
    topic.append(0, b"gone", b"1")
    topic.append(0, b"gone", None)
    topic.append_in_transaction(0, b"b", b"2", commit=True)
    topic.append_in_transaction(0, b"a", b"aborted", commit=False)
    topic.append_in_transaction(0, b"b", None, commit=False)
    topic.append_in_transaction(1, b"c", b"aborted", commit=False)
    table = open_table(topic)
    table.wait_ready(WITHIN_S)

    assert dict(table.items()) == {b"a": b"1", b"b": b"2"}
    # 4 records and a marker, then 2 aborted records and their markers
    assert table.progress.partitions == ((0, 4, 9, 0, 9, True), (1, 0, 2, 0, 2, True))

    topic.append(1, b"c", b"3")
    topic.append_in_transaction(0, b"a", None, commit=True)
    assert (table.read_to_end(0), table.read_to_end(1)) == (11, 3)
    assert dict(table.items()) == {b"b": b"2", b"c": b"3"}


def test_the_table_waits_for_records_behind_an_open_transaction(
    topic: CompactedTopicImplementation, open_table: OpenTable
) -> None:
    """The table waits for them, and follows what comes before them meanwhile."""
    topic.append(0, b"a", b"1")
    commit = topic.open_transaction(0)
    topic.append(0, b"b", b"2")
    table = open_table(topic)
    eventually(lambda: table.get(b"a") == b"1", within=WITHIN_S)
    with pytest.raises(TableUnavailable, match=r"partition 0 is read to offset 1 of 3.*open transaction"):
        table.wait_ready(0.3)

    commit()
    table.wait_ready(WITHIN_S)
    assert dict(table.items()) == {b"a": b"1", b"b": b"2", b"open": b"open"}


def test_gaps_of_compaction_do_not_delay_the_table(topic: CompactedTopicImplementation, open_table: OpenTable) -> None:
    """Of many versions of two keys the newest stays. The table has fewer records than offsets."""
    for number in range(20):
        topic.append(0, b"a", b"%d" % number)
    topic.append(0, b"b", b"1")
    topic.append(0, b"b", None)
    topic.compact(0)
    table = open_table(topic)
    table.wait_ready(WITHIN_S)

    first = table.progress.partitions[0]
    assert (table.get(b"a"), table.get(b"b")) == (b"19", None)
    assert (first.position, first.loaded) == (first.end, True)
    assert first.records < 20 <= first.end


@pytest.mark.servers
def test_added_partitions_are_read(kafka_topic: KafkaImplementation, open_table: OpenTable) -> None:
    """A request for the end of a new partition finds it at once."""
    table = open_table(kafka_topic)
    table.wait_ready(WITHIN_S)
    kafka_topic.add_partitions(3)
    kafka_topic.append(2, b"c", b"3")

    assert table.read_to_end(2, WITHIN_S) == 1
    assert dict(table.items()) == {b"c": b"3"}


@pytest.mark.servers
def test_a_recreated_topic_replaces_the_contents(kafka_topic: KafkaImplementation, open_table: OpenTable) -> None:
    """Its end may be lower, and it may have fewer partitions."""
    for partition in (0, 0, 1):
        kafka_topic.append(partition, b"old", b"1")
    table = open_table(kafka_topic)
    table.wait_ready(WITHIN_S)
    kafka_topic.recreate(1)
    kafka_topic.append(0, b"new", b"1")

    assert table.read_to_end(0, WITHIN_S) == 1
    assert dict(table.items()) == {b"new": b"1"}
    # Once more, if an old fetch is answered later: its offset is out of the new topic's range.
    assert table.counts.reloads >= 1


@pytest.mark.servers
def test_the_table_keeps_its_contents_while_kafka_is_away(faulty_kafka: FaultyKafka) -> None:
    """The table keeps its contents, shows the problem, and goes on afterwards."""
    topic = KafkaImplementation(faulty_kafka.bootstrap)
    topic.append(0, b"a", b"1")
    with CompactedTable("configs", decode=lambda record: record.value(), source=topic.open) as table:
        table.wait_ready(WITHIN_S)
        faulty_kafka.proxy.stall()
        try:
            with pytest.raises(TableUnavailable, match=r"end of partition 0 .* not known: Kafka does not answer"):
                table.read_to_end(0, 0.5)
            assert table.get(b"a") == b"1"
        finally:
            faulty_kafka.proxy.heal()
        topic.append(0, b"a", b"2")
        table.read_to_end(0, WITHIN_S)
        assert table.get(b"a") == b"2"


@pytest.mark.servers
def test_read_on_the_topic_is_the_only_permission_that_a_table_needs(
    faulty_kafka: FaultyKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """The problem names the missing permission, and the table reads as soon as it has it. It needs none for a group."""
    topic = KafkaImplementation(faulty_kafka.bootstrap)
    topic.append(0, b"a", b"1")

    def open_as_stranger() -> KafkaCompactedTopic:
        return KafkaCompactedTopic(topic.name, faulty_kafka.stranger)

    with CompactedTable("configs", decode=lambda record: record.value(), source=open_as_stranger) as table:
        problem = eventually(lambda: table.state.problem, within=WITHIN_S) or ""
        assert "Topic authorization failed: the Kafka user lacks Describe on topic" in problem
        topic.grant_read("User:stranger")
        table.wait_ready(WITHIN_S)

        assert dict(table.items()) == {b"a": b"1"}
        assert table.state.problem is None
    assert "Group authorization failed" not in caplog.text


@pytest.mark.servers
def test_the_documented_example(bootstrap: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The program of docs/consumers.md prints what the topic has."""
    topic = KafkaImplementation(bootstrap)
    topic.append(0, b"monitor-1", b'{"interval": 60}')
    topic.append(0, b"monitor-2", b"{}")
    topic.append(0, b"monitor-2", None)
    (program,) = [block.text for block in blocks("docs/consumers.md") if block.name == "configs.py"]
    for shown, own in {"localhost:9092": bootstrap, 'Table("configs"': f'Table("{topic.name}"'}.items():
        assert shown in program
        program = program.replace(shown, own)

    exec(compile(program, "configs.py", "exec"), {})

    assert capsys.readouterr().out.splitlines() == [
        "changed monitor-1 {'interval': 60}",
        "changed monitor-2 {}",
        "changed monitor-2 None",
        "1 configs",
        "{'interval': 60}",
    ]
