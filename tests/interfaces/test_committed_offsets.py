"""The behaviour of committed offsets, ends and reads of single records, in each implementation."""

import random
import time
from collections.abc import Iterator

import pytest

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.committed_offsets import (
    CommittedOffsets,
    FoundRecord,
    GroupOffsets,
    PartitionEnds,
    ReadRequest,
    ReadResult,
)
from tests.interfaces.committed_offsets_implementations import (
    KafkaOffsetsImplementation,
    MemoryOffsetsImplementation,
    OffsetsImplementation,
    group_name,
    now_ms,
)

T_MS = 1_795_334_400_000


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def implementation(request: pytest.FixtureRequest) -> Iterator[OffsetsImplementation]:
    """Each implementation, with a cluster."""
    made: OffsetsImplementation
    if request.param == "memory":
        made = MemoryOffsetsImplementation()
    else:
        made = KafkaOffsetsImplementation(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


@pytest.fixture
def offsets(implementation: OffsetsImplementation) -> CommittedOffsets:
    """The object under test."""
    return implementation.offsets


def read(offsets: CommittedOffsets, partition: Partition, start: int, end: int, *, first: bool = False) -> ReadResult:
    """Read one range."""
    request = ReadRequest(partition, start, end, first)
    return offsets.read([request])[request]


# Topics


def test_topics_have_ids_and_partitions(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """A recreated topic has another id; more partitions do not change it. A topic that does not exist is absent."""
    topic, other = implementation.create(2), implementation.create(1)
    partition = Partition(topic, 0)
    implementation.append(partition, T_MS, T_MS)
    first = offsets.topic_ids([topic, other, "absent"])
    assert read(offsets, partition, 1, 2).last == FoundRecord(1, T_MS)
    implementation.add_partitions(topic, 3)
    grown = offsets.topic_ids([topic])
    assert set(offsets.ends([Partition(topic, 2), Partition(topic, 3)])) == {Partition(topic, 2)}
    implementation.recreate(topic, 1)
    recreated = offsets.topic_ids([topic])
    assert offsets.ends([partition])[partition].high == 0
    assert read(offsets, partition, 0, 2) == ReadResult(None, None, 0)
    implementation.append(partition, T_MS + 5)
    assert read(offsets, partition, 0, 1).last == FoundRecord(0, T_MS + 5)

    assert {name: count for name, (_, count) in first.items()} == {topic: 2, other: 1}
    assert grown == {topic: (first[topic][0], 3)}
    assert recreated[topic][1] == 1
    assert len({first[topic][0], first[other][0], recreated[topic][0], ""}) == 4


# Ends


def test_ends_are_those_of_the_leaders(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """An empty partition ends where it begins. Deleted records raise the beginning; a partition that doesn't exist has
    no ends, and does not affect others."""
    topic = implementation.create(2)
    empty, full, absent = (Partition(topic, number) for number in range(3))
    implementation.append(full, *range(T_MS, T_MS + 5))
    implementation.delete_records(full, 2)
    found = offsets.ends([empty, full, absent])

    assert set(found) == {empty, full}
    assert (found[empty].low, found[empty].high) == (0, 0)
    assert (found[full].low, found[full].high) == (2, 5)
    assert all(ends.epoch >= 0 for ends in found.values())
    implementation.delete_records(full, 5)
    assert offsets.ends([full])[full] == PartitionEnds(5, 5, found[full].epoch)
    assert offsets.ends([]) == {}


def test_ends_include_markers_and_open_transactions(
    implementation: OffsetsImplementation, offsets: CommittedOffsets
) -> None:
    """The high watermark counts records that are not committed yet: they are committed later, with old timestamps."""
    partition = Partition(implementation.create(1), 0)
    for end in ("commit", "abort", "open"):
        implementation.transaction(partition, T_MS, T_MS, end=end)

    assert offsets.ends([partition])[partition].high == 2 + 1 + 2 + 1 + 2


# Committed offsets


def test_committed_offsets_are_those_of_each_group(
    implementation: OffsetsImplementation, offsets: CommittedOffsets
) -> None:
    """Each group has its own; a partition without an offset is absent, and a group that does not exist has none."""
    topic, other = implementation.create(3), implementation.create(1)
    partitions = [Partition(topic, number) for number in range(3)]
    one, two, absent = group_name(), group_name(), group_name()
    implementation.append(partitions[0], T_MS, T_MS)
    implementation.commit(one, partitions[0], 2)
    implementation.commit(one, partitions[1], 0)
    implementation.commit(one, Partition(other, 0), 0)
    implementation.commit(two, partitions[0], 1)

    assert offsets.committed({one: partitions, two: partitions[:1], absent: partitions}) == {
        one: GroupOffsets({partitions[0]: 2, partitions[1]: 0}),
        two: GroupOffsets({partitions[0]: 1}),
        absent: GroupOffsets({}),
    }
    assert offsets.committed({}) == {}


def test_a_deleted_group_has_no_offsets(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """As a group whose offsets have expired. An offset that goes back is the new one."""
    partition, group = Partition(implementation.create(1), 0), group_name()
    implementation.append(partition, T_MS, T_MS)
    seen = []
    for offset in (2, 1):
        implementation.commit(group, partition, offset)
        seen.append(offsets.committed({group: [partition]})[group].offsets)
    implementation.delete_group(group)

    assert seen == [{partition: 2}, {partition: 1}]
    assert offsets.committed({group: [partition]}) == {group: GroupOffsets({})}


def test_a_share_group_is_refused_by_name(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """Kafka answers as if it had committed nothing, but it never will. Other groups are not affected."""
    topic, group, other = implementation.create(1), group_name(), group_name()
    partition = Partition(topic, 0)
    implementation.make_share_group(group, topic)
    implementation.commit(other, partition, 0)
    found = offsets.committed({group: [partition], other: [partition], "absent": [partition]})

    assert "share group" in found[group].problem
    assert found[other] == GroupOffsets({partition: 0})
    assert found["absent"] == GroupOffsets({})
    assert offsets.committed({group: [partition]})[group].problem == found[group].problem


# Offsets by timestamp


def test_a_timestamp_nominates_the_first_offset(
    implementation: OffsetsImplementation, offsets: CommittedOffsets
) -> None:
    """Under disorder, too. A partition without such a record is absent. Each partition has its own timestamp."""
    topic = implementation.create(3)
    one, two, empty = (Partition(topic, number) for number in range(3))
    implementation.append(one, T_MS, T_MS + 20, T_MS + 10, T_MS + 30)
    implementation.append(two, T_MS)

    assert offsets.offsets_at({one: T_MS + 5, two: T_MS, empty: 0}) == {one: 1, two: 0}
    assert offsets.offsets_at({one: T_MS + 31, two: T_MS + 1}) == {}
    assert offsets.offsets_at({one: T_MS + 21}) == {one: 3}


def test_aborted_records_are_nominated(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """So a nomination proves nothing: there is no visible record."""
    partition = Partition(implementation.create(1), 0)
    implementation.transaction(partition, T_MS, end="abort")

    assert offsets.offsets_at({partition: T_MS}) == {partition: 0}
    assert read(offsets, partition, 0, 2) == ReadResult(None, None, 2)


# Reads


def test_the_last_record_below_an_offset(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """With the timestamp that consumers see. A read ends at its end, not at that of the partition."""
    partition = Partition(implementation.create(1), 0)
    implementation.append(partition, T_MS, T_MS + 1, T_MS + 2, T_MS + 3)

    assert read(offsets, partition, 1, 3) == ReadResult(FoundRecord(1, T_MS + 1), FoundRecord(2, T_MS + 2), 3)
    assert read(offsets, partition, 3, 4).last == FoundRecord(3, T_MS + 3)
    assert read(offsets, partition, 4, 4) == ReadResult(None, None, 4)


def test_the_first_record_from_an_offset(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """The read ends at this record: nothing visible is before it."""
    partition = Partition(implementation.create(1), 0)
    implementation.transaction(partition, T_MS, T_MS, end="abort")
    implementation.append(partition, T_MS + 5, T_MS + 6)
    first = FoundRecord(3, T_MS + 5)

    assert read(offsets, partition, 0, 5, first=True) == ReadResult(first, first, 3)
    assert read(offsets, partition, 0, 3, first=True) == ReadResult(None, None, 3)


def test_records_have_the_broker_s_time_in_log_append_time(
    implementation: OffsetsImplementation, offsets: CommittedOffsets
) -> None:
    """Not that of the producer."""
    partition = Partition(implementation.create(1, "LogAppendTime"), 0)
    before_ms = now_ms() - 60_000
    implementation.append(partition, before_ms - 3_600_000)
    found = read(offsets, partition, 0, 1).last

    assert found is not None
    assert found.timestamp_ms > before_ms
    assert not found.create_time


def test_only_markers_and_aborted_records_are_left(
    implementation: OffsetsImplementation, offsets: CommittedOffsets
) -> None:
    """A client that commits by record has committed 2, and the end is 6. Nothing visible is between."""
    partition = Partition(implementation.create(1), 0)
    implementation.transaction(partition, T_MS, T_MS, end="commit")
    implementation.transaction(partition, T_MS, T_MS, end="abort")

    assert offsets.ends([partition])[partition].high == 6
    assert read(offsets, partition, 2, 6, first=True) == ReadResult(None, None, 6)
    assert read(offsets, partition, 1, 6).last == FoundRecord(1, T_MS)


def test_a_read_ends_at_the_last_stable_offset(
    implementation: OffsetsImplementation, offsets: CommittedOffsets
) -> None:
    """Records behind the begin of an open transaction are not visible, those of other producers neither. A read that
    starts behind it, from the offset of a group that reads uncommitted records, proves nothing and does not block."""
    partition = Partition(implementation.create(1), 0)
    implementation.append(partition, T_MS)
    implementation.transaction(partition, T_MS, T_MS, end="open")
    implementation.append(partition, T_MS + 9)
    begun = time.monotonic()

    assert offsets.ends([partition])[partition].high == 4
    assert read(offsets, partition, 0, 4) == ReadResult(FoundRecord(0, T_MS), FoundRecord(0, T_MS), 1)
    assert read(offsets, partition, 1, 4, first=True) == ReadResult(None, None, 1)
    assert read(offsets, partition, 2, 4, first=True) == ReadResult(None, None, 2)
    assert time.monotonic() - begun < 2.0


def test_deleted_records_are_passed_over(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """A read from a deleted offset begins at the first record that is left."""
    partition = Partition(implementation.create(1), 0)
    implementation.append(partition, *range(T_MS, T_MS + 6))
    implementation.delete_records(partition, 4)
    fourth = FoundRecord(4, T_MS + 4)

    assert read(offsets, partition, 1, 6, first=True) == ReadResult(fourth, fourth, 4)
    assert read(offsets, partition, 1, 3) == ReadResult(None, None, 3)
    implementation.delete_records(partition, 6)
    assert read(offsets, partition, 1, 6) == ReadResult(None, None, 6)


def test_compacted_records_are_passed_over(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """A read ends although the record before its end is gone."""
    partition = Partition(implementation.create(1, compacted=True), 0)
    old_ms = now_ms() - 3_600_000
    implementation.append(partition, *range(old_ms, old_ms + 20), key=b"same")
    implementation.append(partition, old_ms + 30, key=b"other")
    implementation.append(partition, old_ms + 60_000, key=b"last")
    implementation.compact(partition, 3)

    assert read(offsets, partition, 0, 19) == ReadResult(None, None, 19)
    assert read(offsets, partition, 5, 21).last == FoundRecord(20, old_ms + 30)


def test_many_reads_at_a_time(implementation: OffsetsImplementation, offsets: CommittedOffsets) -> None:
    """Of many partitions, and of the same one at several places; one that doesn't exist is left out. What is read does
    not depend on what was read before."""
    topic = implementation.create(3)
    visible: dict[Partition, dict[int, int]] = {}
    for number in range(3):
        partition = Partition(topic, number)
        implementation.append(partition, *range(T_MS, T_MS + 4))
        implementation.transaction(partition, T_MS + 10, T_MS + 11, end="abort" if number % 2 else "commit")
        implementation.append(partition, *range(T_MS + 20, T_MS + 20 + number))
        kept = {offset: T_MS + offset for offset in range(4)}
        kept |= {} if number % 2 else {4: T_MS + 10, 5: T_MS + 11}
        visible[partition] = kept | {7 + n: T_MS + 20 + n for n in range(number)}
    numbers = random.Random(1)
    for _ in range(20):
        requests = []
        for _ in range(10):
            partition = Partition(topic, numbers.randrange(3))
            end = 7 + partition.number
            start = numbers.randrange(end)
            requests.append(ReadRequest(partition, start, numbers.randint(start, end), numbers.random() < 0.5))
        expected = {request: _expected(request, visible[request.partition]) for request in requests}
        assert offsets.read([*requests, ReadRequest(Partition(topic, 3), 0, 1)]) == expected


def _expected(request: ReadRequest, visible: dict[int, int]) -> ReadResult:
    found = [FoundRecord(at, ms) for at, ms in sorted(visible.items()) if request.start <= at < request.end]
    if request.first_only:
        found = found[:1]
    reached = found[0].offset if found and request.first_only else request.end
    return ReadResult(found[0] if found else None, found[-1] if found else None, reached)
