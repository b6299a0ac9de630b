"""One partition's contents against a plain dict: any records, any batches, any gaps, any reload."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.client.consumer.table_partition import MAX_UNREADABLE, TablePartition
from clocksvc.interfaces.compacted_topic import OffsetBounds, TableRecord
from clocksvc.memory.compacted_topic import MemoryRecord

pytestmark = pytest.mark.core

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
VALUES = st.sampled_from([None, b"1", b"2", b"unreadable", b"left out"])
LOGS = st.lists(st.tuples(KEYS | st.none(), VALUES, st.integers(1, 5)), max_size=30)
"""Keys, values, and how many offsets further each record is."""
CUTS = st.lists(st.integers(0, 30), max_size=5)


def decode(record: TableRecord) -> str | None:
    """Some values can't be decoded, and some are left out."""
    value: bytes = record.value()
    if value == b"unreadable":
        raise ValueError("unreadable")
    return None if value == b"left out" else value.decode()


def records_of(log: list[tuple[bytes | None, bytes | None, int]]) -> list[MemoryRecord]:
    """The records of a log with gaps."""
    found, offset = [], 0
    for key, value, further in log:
        offset += further
        found.append(MemoryRecord("topic", 3, offset, key, value, 0))
    return found


def expected(records: list[MemoryRecord]) -> dict[bytes, str]:
    """The table as a reader of the whole log has it."""
    table: dict[bytes, str] = {}
    for record in records:
        key, value = record.key(), record.value()
        if key is not None:
            table.pop(key, None)
        if key is not None and value in (b"1", b"2"):
            table[key] = value.decode()
    return table


class Replay:
    """A table made from the calls of `on_change` alone. Each call must agree with what was called before."""

    def __init__(self) -> None:
        self.table: dict[bytes, str] = {}

    def __call__(self, key: bytes, old: str | None, new: str | None) -> None:
        assert self.table.pop(key, None) == old
        assert old is not None or new is not None
        if new is not None:
            self.table[key] = new


def feed(partition: TablePartition[str], records: list[MemoryRecord], cuts: list[int]) -> None:
    """Apply records in batches."""
    for start, end in pairwise([0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]):
        if start < end:
            partition.apply(records[start:end])


def end_of(records: list[MemoryRecord]) -> int:
    """The end of a log whose last offsets are two markers."""
    return records[-1].offset() + 3 if records else 0


@given(LOGS, CUTS, st.booleans())
def test_the_contents_are_those_of_a_dict(
    log: list[tuple[bytes | None, bytes | None, int]], cuts: list[int], heard: bool
) -> None:
    """Also by the calls of `on_change`; and it is loaded at its end offset, not at the last record."""
    records, replay = records_of(log), Replay()
    partition = TablePartition(3, decode, replay if heard else None)

    partition.load(OffsetBounds(0, end_of(records)))
    feed(partition, records, cuts)

    assert partition.loaded == (not records)
    partition.reached(end_of(records))
    assert partition.loaded
    assert partition.contents == expected(records)
    assert not heard or replay.table == partition.contents
    assert partition.change_errors == 0
    assert partition.progress[1:4] == (len(records), end_of(records), 0)


@given(LOGS, LOGS, CUTS, st.booleans())
def test_a_reload_shows_the_old_contents_until_it_is_complete(
    log: list[tuple[bytes | None, bytes | None, int]],
    later: list[tuple[bytes | None, bytes | None, int]],
    cuts: list[int],
    heard: bool,
) -> None:
    """Then the new ones, and `on_change` gets only what differs."""
    records, replay = records_of(log), Replay()
    partition = TablePartition(3, decode, replay if heard else None)
    partition.load(OffsetBounds(0, end_of(records)))
    feed(partition, records, cuts)
    partition.reached(end_of(records))
    before = dict(partition.contents)

    again = records_of(later)
    partition.load(OffsetBounds(0, end_of(again)))
    feed(partition, again, cuts)

    if before and again:
        assert not partition.loaded
        assert partition.contents == before
        assert not heard or replay.table == before
    partition.reached(end_of(again))
    assert partition.loaded
    assert partition.contents == expected(again)
    assert not heard or replay.table == partition.contents
    assert partition.change_errors == 0


def test_an_equal_value_is_no_change_in_a_reload() -> None:
    """A reload of an unchanged log calls `on_change` for nothing."""
    records = records_of([(b"a", b"1", 1), (b"b", b"2", 1)])
    calls: list[bytes] = []
    partition = TablePartition(3, decode, lambda key, old, new: calls.append(key))
    for _ in range(2):
        partition.load(OffsetBounds(0, end_of(records)))
        partition.apply(records)
        partition.reached(end_of(records))

    assert calls == [b"a", b"b"]


def test_values_that_cant_be_compared_count_as_changes_in_a_reload() -> None:
    """For example arrays of numpy. An exception here would make the table load the partition again, for ever."""

    class Array:
        def __ne__(self, other: object) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    calls: list[bytes] = []
    partition = TablePartition(3, lambda record: Array(), lambda key, old, new: calls.append(key))
    for _ in range(2):
        partition.load(OffsetBounds(0, 2))
        partition.apply(records_of([(b"a", b"1", 1)]))

    assert (partition.loaded, calls) == (True, [b"a", b"a"])


def test_a_reload_is_complete_after_its_last_change() -> None:
    """While `on_change` gets the differences, the partition has the new contents, and does not count as loaded yet."""
    seen: list[tuple[bool, dict[bytes, str]]] = []
    partition = TablePartition(
        3, decode, lambda key, old, new: seen.append((partition.loaded, dict(partition.contents)))
    )
    partition.load(OffsetBounds(0, 2))
    partition.apply(records_of([(b"a", b"1", 1)]))
    partition.load(OffsetBounds(0, 2))
    partition.apply(records_of([(b"b", b"2", 1)]))

    assert seen[1:] == [(False, {b"b": "2"}), (False, {b"b": "2"})]
    assert partition.loaded


def test_unreadable_records_have_names_until_their_key_is_written_again() -> None:
    """The key has no value meanwhile, as for a reader that begins now."""
    partition = TablePartition(3, decode, None)
    partition.load(OffsetBounds(0, 9))
    partition.apply(records_of([(b"a", b"1", 1), (b"a", b"unreadable", 1), (None, b"1", 1), (b"b", b"unreadable", 1)]))

    assert partition.contents == {}
    assert partition.unreadable == 3
    assert list(partition.newest_unreadable.values()) == [
        (3, 2, b"a", "ValueError: unreadable"),
        (3, 3, None, "the record has no key"),
        (3, 4, b"b", "ValueError: unreadable"),
    ]
    partition.apply([MemoryRecord("topic", 3, 5, b"a", b"2", 0), MemoryRecord("topic", 3, 6, b"b", None, 0)])
    assert [one.key for one in partition.newest_unreadable.values()] == [None]
    assert partition.contents == {b"a": "2"}


def test_names_of_unreadable_records_are_bounded() -> None:
    """The newest ones are kept."""
    partition = TablePartition(3, decode, None)
    partition.load(OffsetBounds(0, 1000))
    partition.apply([MemoryRecord("topic", 3, n, b"%d" % n, b"unreadable", 0) for n in range(2 * MAX_UNREADABLE)])

    assert partition.unreadable == 2 * MAX_UNREADABLE
    assert [one.offset for one in partition.newest_unreadable.values()] == list(
        range(MAX_UNREADABLE, 2 * MAX_UNREADABLE)
    )


def test_an_exception_of_on_change_is_counted() -> None:
    """The records behind it are applied."""

    def fail(key: bytes, old: str | None, new: str | None) -> None:
        raise RuntimeError(f"no {key!r}")

    partition = TablePartition(3, decode, fail)
    partition.load(OffsetBounds(0, 3))
    partition.apply(records_of([(b"a", b"1", 1), (b"b", b"2", 1)]))

    assert partition.contents == {b"a": "1", b"b": "2"}
    assert partition.change_errors == 2
    assert "for key b'b'" in partition.change_error
    assert "RuntimeError: no b'b'" in partition.change_error


def test_an_empty_partition_is_loaded_at_once() -> None:
    """Also one whose records were all deleted: it begins at its end."""
    partition = TablePartition(3, decode, None)
    partition.load(OffsetBounds(7, 7))

    assert partition.progress == (3, 0, 7, 7, 7, True)


def test_an_older_end_moves_nothing_back() -> None:
    """Events of a partition's end can be older than its last record."""
    partition = TablePartition(3, decode, None)
    partition.load(OffsetBounds(0, 2))
    partition.apply(records_of([(b"a", b"1", 9)]))
    partition.reached(5)

    assert partition.progress == (3, 1, 10, 0, 10, True)


def test_changes_are_reported_only_after_the_first_load_if_wanted() -> None:
    """Also in a reload that begins without contents, and has nothing to compare."""
    seen: list[tuple[bytes, str | None, str | None]] = []
    partition = TablePartition(3, decode, lambda *change: seen.append(change), initial_changes=False)
    partition.load(OffsetBounds(0, 3))
    partition.apply(records_of([(b"a", b"1", 1), (b"b", b"2", 1)]))
    assert seen == []
    partition.apply(records_of([(b"a", None, 3), (b"b", None, 1)]))
    partition.load(OffsetBounds(5, 8))
    partition.apply(records_of([(b"c", b"1", 5)]))

    assert seen == [(b"a", "1", None), (b"b", "2", None), (b"c", None, "1")]


def test_offsets_that_are_known_to_have_no_record_are_passed_at_once() -> None:
    """The caller's own marker: before the table has read the records before it, at it, and after it."""
    partition = TablePartition(3, decode, None)
    partition.load(OffsetBounds(0, 2))
    partition.skip(2, 3)
    assert partition.position == 0
    partition.apply(records_of([(b"a", b"1", 0), (b"b", b"2", 1)]))
    assert partition.position == 3

    partition.skip(3, 4)
    assert partition.position == 4
    partition.skip(2, 3)
    partition.skip(5, 6)  # another program has a record at offset 4
    assert partition.position == 4
    partition.load(OffsetBounds(0, 9))
    partition.reached(5)
    assert partition.position == 5
