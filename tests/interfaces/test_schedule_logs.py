"""The behaviour of all due logs and writers of schedules, and of a partition of schedules over them."""

import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from clocksvc.errors import Fenced, OffsetGap, RecordRejected
from clocksvc.interfaces.due_log import DueLogEntry, DueLogRecord
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.writer import Writer
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState
from clocksvc.schedules.schedule import parse_schedule
from tests.interfaces.schedule_implementations import (
    PARTITIONS,
    POSITION,
    KafkaPartition,
    KafkaTopics,
    MemoryPartition,
    Partition,
    due_record,
    ids_in,
)
from tests.interfaces.tick_log_examples import KeepAliveCounter
from tests.unit.scheduler.partition_fixture import MINUTE, Ticks
from tests.waiting import eventually

keep_alive = KeepAliveCounter()
NOW_MS = 1_795_348_800_000


@pytest.fixture(scope="module")
def topics(bootstrap: str) -> Iterator[KafkaTopics]:
    made = KafkaTopics(bootstrap)
    yield made
    made.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def partition(request: pytest.FixtureRequest) -> Partition:
    """Each implementation."""
    if request.param == "memory":
        return MemoryPartition()
    topics: KafkaTopics = request.getfixturevalue("topics")
    return topics.partition()


def values(entries: list[DueLogEntry]) -> list[bytes | None]:
    return [entry.value for entry in entries]


# -- the due log ------------------------------------------------------------------------------------------------------


def test_due_records_are_read_as_they_were_appended(partition: Partition) -> None:
    log = partition.due_log()
    log.fence(keep_alive)
    assert log.bounds(keep_alive) == (0, 0)

    records = [due_record(number) for number in range(5)]
    end = log.append(records, POSITION, 0, keep_alive).end
    assert end == 7
    end = log.append([due_record(5)], None, end, keep_alive).end
    end = log.append([], POSITION, end, keep_alive).end
    assert log.bounds(keep_alive) == log.stable_bounds(keep_alive) == (0, 11)

    found = log.read(0, 11, keep_alive)
    assert [entry.offset for entry in found] == [0, 1, 2, 3, 4, 5, 7, 9]
    assert [(entry.key, entry.value, entry.headers) for entry in found[:6]] == [*records, POSITION]
    assert values(log.read(2, 5, keep_alive)) == [b"2", b"3", b"4"]
    assert log.read(6, 7, keep_alive) == []
    assert partition.due() == found


def test_a_new_owner_fences_the_one_before(partition: Partition) -> None:
    first, second = partition.due_log(), partition.due_log()
    with pytest.raises(Fenced):
        first.append([due_record(0)], POSITION, 0, keep_alive)
    first.fence(keep_alive)
    end = first.append([due_record(0)], POSITION, 0, keep_alive).end
    second.fence(keep_alive)

    with pytest.raises(Fenced):
        first.append([due_record(1)], POSITION, end, keep_alive)
    end = second.bounds(keep_alive).end
    second.append([due_record(2)], POSITION, end, keep_alive)
    assert values(partition.due()) == [b"0", b"{}", b"2", b"{}"]


def test_a_transaction_begins_at_the_known_end(partition: Partition) -> None:
    """Nothing of it is committed otherwise."""
    log = partition.due_log()
    log.fence(keep_alive)
    end = log.append([due_record(0)], POSITION, 0, keep_alive).end
    with pytest.raises(OffsetGap):
        log.append([due_record(1)], POSITION, end - 1, keep_alive)

    log.fence(keep_alive)
    log.append([due_record(2)], POSITION, log.bounds(keep_alive).end, keep_alive)
    assert values(partition.due()) == [b"0", b"{}", b"2", b"{}"]


def test_how_long_records_are_kept(partition: Partition) -> None:
    assert partition.due_log().retention_ms(keep_alive) == 604_800_000


@pytest.mark.servers
def test_the_position_is_produced_once_all_others_are_acknowledged(
    topics: KafkaTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers can commit a part of a transaction. Without this, the part could have the position without the rest."""
    log, unacknowledged, produce = topics.partition().due_log(), [], Writer._produce

    def note(writer: Writer, one: Any, *args: Any) -> None:
        if one is POSITION:
            unacknowledged.append(len(writer._producer))
        produce(writer, one, *args)

    monkeypatch.setattr(Writer, "_produce", note)
    log.fence(keep_alive)
    log.append([due_record(number) for number in range(2_000)], POSITION, 0, keep_alive)
    assert unacknowledged == [0]


@pytest.mark.servers
def test_records_that_brokers_reject_are_named(topics: KafkaTopics) -> None:
    log = topics.partition().due_log()
    log.fence(keep_alive)
    large = DueLogRecord(b"large", b"x" * 2_000_000, [])
    with pytest.raises(RecordRejected) as raised:
        log.append([due_record(0), large, due_record(1)], POSITION, 0, keep_alive)
    assert raised.value.keys == (b"large",)


@pytest.mark.servers
def test_only_topics_that_delete_by_time_have_a_retention(topics: KafkaTopics) -> None:
    """Kafka can remove records of any age from others."""
    partition = topics.partition()
    compacted = KafkaPartition(topics, partition.number)
    compacted._due = f"{topics.clock}-schedules"
    assert compacted.due_log().retention_ms(keep_alive) is None


# -- the writer of schedules ------------------------------------------------------------------------------------------


def test_schedules_are_written_beside_other_programs(partition: Partition) -> None:
    writer = partition.writer()
    partition.write_foreign([(b"a", b"1")])
    writer.fence(keep_alive)
    offsets = writer.write([(b"b", b"2"), (b"a", None)], keep_alive)
    assert writer.end == offsets[-1] + 2
    partition.write_foreign([(b"c", b"3")])
    writer.fence(keep_alive)  # without effect in this term
    offsets += writer.write([(b"d", b"4")], keep_alive)

    found = partition.schedules()
    assert [(key, value) for _, key, value in found] == [
        *((b"a", b"1"), (b"b", b"2"), (b"a", None)),
        *((b"c", b"3"), (b"d", b"4")),
    ]
    assert [offset for offset, key, _ in found if key in (b"b", b"d")] == [offsets[0], offsets[2]]


def test_a_new_owner_fences_the_writer_before(partition: Partition) -> None:
    first, second = partition.writer(), partition.writer()
    first.fence(keep_alive)
    first.write([(b"a", b"1")], keep_alive)
    second.fence(keep_alive)
    with pytest.raises(Fenced):
        first.write([(b"a", b"2")], keep_alive)
    with pytest.raises(Fenced):
        first.write([(b"a", b"3")], keep_alive)  # not fenced again
    second.write([(b"a", b"4")], keep_alive)
    second.end_term()
    with pytest.raises(Fenced):
        second.write([(b"a", b"5")], keep_alive)

    assert [value for _, _, value in partition.schedules()] == [b"1", b"4"]


@pytest.mark.servers
def test_records_of_other_programs_can_be_between_those_of_a_transaction(
    topics: KafkaTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition, produce = topics.partition(), Writer._produce
    writer = partition.writer()
    writer.fence(keep_alive)

    def write_between(this: Writer, one: Any, *args: Any) -> None:
        if one.key == b"b":
            this._producer.flush(10)
            partition.write_foreign([(b"other", b"x")])
        produce(this, one, *args)

    monkeypatch.setattr(Writer, "_produce", write_between)
    first, second = writer.write([(b"a", b"1"), (b"b", b"2")], keep_alive)
    assert second == first + 2
    assert [key for _, key, _ in partition.schedules()] == [b"a", b"other", b"b"]


# -- a partition of schedules -----------------------------------------------------------------------------------------


def test_a_partition_over_each_implementation(partition: Partition) -> None:
    """Two replicas, three ticks, a takeover, and a write by the owner."""
    clock = partition.topics.clock if isinstance(partition, KafkaPartition) else "checkins"
    a, b, gone = ids_in(partition, 3)
    elsewhere = next(key for key in (b"x", b"y") if zlib.crc32(key) % PARTITIONS != partition.number)
    ticks = Ticks()
    ticks.add(NOW_MS)

    def replica() -> SchedulePartition:
        return SchedulePartition(
            SchedulesSpec(clock, PARTITIONS),
            partition.number,
            schedules=partition.source,
            due_log=partition.due_log(),
            writer=partition.writer(),
            ticks=ticks,
            time=SystemTime(),
        )

    def value(task: str) -> bytes:
        return parse_schedule({"interval": 60, "task": task}, MINUTE, NOW_MS - 3_600_000).encode()

    def wait(one: SchedulePartition, state: PartitionState) -> None:
        eventually(lambda: one.step() >= 0 and one.state is state, what=f"{state}: {one.stats}")

    partition.write_foreign([(a, value("a.a")), (gone, value("a.b")), (elsewhere, value("a.d"))])
    first, second = replica(), replica()
    first.acquire()
    wait(first, PartitionState.OWNER)
    partition.write_foreign([(gone, None)])
    ticks.add(NOW_MS + MINUTE)
    first.step()
    wait(second, PartitionState.LOADED)
    second.acquire()
    wait(second, PartitionState.OWNER)

    def put(owned: Any) -> list[int]:
        owned.read_to_end()
        offsets: list[int] = owned.write([(b, value("a.c"))])
        owned.read_to_end()
        assert [key for key, _ in owned.scan(b"", None, 9)] == [a, b]
        return offsets

    written = second.call(put)
    second.step()
    assert len(written.result(0)) == 1
    ticks.add(NOW_MS + 2 * MINUTE)
    wait(first, PartitionState.LOADED)
    second.step()
    assert first.lost

    due = [(entry.key, dict(entry.headers)["clocksvc-tick"]) for entry in partition.due() if entry.key != b"_position"]
    assert sorted(due, key=lambda one: one[::-1]) == [
        (a, b"2026-11-22T12:01:00Z"),
        (a, b"2026-11-22T12:02:00Z"),
        (b, b"2026-11-22T12:02:00Z"),
    ]
    # A program with another partitioner has written it here. It would be due twice if others write it, too.
    assert second.stats.unreadable == 1
    first.close()
    second.close()
