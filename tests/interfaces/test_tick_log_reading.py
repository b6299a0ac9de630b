"""The behaviour of all tick logs for readers, and beside other programs that write to the log."""

from collections.abc import Iterator

import pytest

from clocksvc.clock.log_record import Message
from clocksvc.errors import OffsetGap, OpenTransaction, TickLogUnavailable
from clocksvc.interfaces.tick_log import LogBounds
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.client import SlicedDeadline
from clocksvc.kafka.writer import Writer
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.interfaces.tick_log_examples import KeepAliveCounter, foreign, messages, minutes
from tests.interfaces.tick_log_implementations import (
    KafkaTickLogImplementation,
    MemoryTickLogImplementation,
    SharedTickLogImplementation,
    end_of,
    entries,
    writer,
)
from tests.waiting import eventually

keep_alive = KeepAliveCounter()


@pytest.fixture(
    params=[pytest.param("faulty", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[SharedTickLogImplementation]:
    """Each implementation of the tick log."""
    faulty = request.param == "faulty"
    made = MemoryTickLogImplementation() if faulty else KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


# Reading


def test_a_read_returns_the_records_between_two_offsets(implementation: SharedTickLogImplementation) -> None:
    """The first offset is included, the last one is not. Markers are absent."""
    log = writer(implementation)
    end = log.append(messages(1, 3), 0, keep_alive)
    end = log.append(messages(4, 2), end, keep_alive)
    found = {
        (start, upto): [entry.offset for entry in log.read(start, upto, keep_alive)]
        for start, upto in ((0, 7), (1, 5), (2, 4), (3, 4), (4, 5), (6, 7), (7, 7))
    }

    assert end == 7
    assert found == {
        (0, 7): [0, 1, 2, 4, 5],
        (1, 5): [1, 2, 4],
        (2, 4): [2],
        (3, 4): [],
        (4, 5): [4],
        (6, 7): [],
        (7, 7): [],
    }


def test_a_long_log_is_read_completely(implementation: SharedTickLogImplementation) -> None:
    """Over many transactions, in one call and in several."""
    log, end = writer(implementation), 0
    for first in range(1, 3_601, 400):
        end = log.append(messages(first, 400), end, keep_alive)
    parts = [log.read(start, min(end, start + 1_000), keep_alive) for start in range(0, end, 1_000)]

    assert minutes(log.read(0, end, keep_alive)) == list(range(1, 3_601))
    assert minutes([entry for part in parts for entry in part]) == list(range(1, 3_601))


def test_records_of_every_kind_are_returned_as_they_are(implementation: SharedTickLogImplementation) -> None:
    """Types that this version does not know, records without a key, a value or a type."""
    implementation_log = writer(implementation)
    written = [
        foreign({"format": 99}, "summary"),
        foreign(b"\xff{", None),
        foreign(None),
        foreign({"format": 1}, "control", key=b"bills"),
    ]
    for one in written:
        implementation.write_foreign(one)

    assert [entry.message for entry in entries(implementation_log)] == written


def test_aborted_records_are_absent(implementation: SharedTickLogImplementation) -> None:
    """They occupy offsets, in front of the first record and between records."""
    log = writer(implementation)
    for minute in (1, 2):
        for _ in range(3):
            implementation.begin_foreign(messages(90, 3))
            implementation.end_foreign(committed=False)
        log.append(messages(minute), end_of(log), keep_alive)
    found = entries(log)

    assert [entry.offset for entry in found] == [12, 26]
    assert minutes(found) == [1, 2]


def test_deleted_records_show_in_the_first_offset(implementation: SharedTickLogImplementation) -> None:
    """The rest is read. A read from a deleted offset fails, instead of returning less."""
    log = writer(implementation)
    log.append(messages(1, 3), 0, keep_alive)
    log.append(messages(4), 4, keep_alive)
    implementation.delete_before(2)
    left = log.bounds(keep_alive), minutes(entries(log))
    with pytest.raises(TickLogUnavailable):
        log.read(0, 6, keep_alive)
    implementation.delete_before(implementation.end())

    assert left == (LogBounds(2, 6), [3, 4])
    assert log.bounds(keep_alive) == log.stable_bounds(keep_alive) == LogBounds(6, 6)
    assert entries(log) == []


def test_a_recreated_log_is_empty(implementation: SharedTickLogImplementation) -> None:
    """Nothing of the old log is read. A writer that knows the old end commits nothing."""
    log = writer(implementation)
    end = log.append(messages(1, 3), 0, keep_alive)
    implementation.remake()
    assert log.bounds(keep_alive) == LogBounds(0, 0)
    log.fence(keep_alive)
    with pytest.raises(OffsetGap):
        log.append(messages(4), end, keep_alive)
    assert implementation.seen() == []
    log.fence(keep_alive)

    log.append(messages(9), end_of(log), keep_alive)
    assert minutes(implementation.seen()) == [9]


def test_an_offset_is_found_by_time(implementation: SharedTickLogImplementation) -> None:
    """The first record that was appended at or after a time, or an earlier offset."""
    log, system = writer(implementation), SystemTime()
    begin_ms, end, after = system.now_ms(), 0, []
    for minute in (1, 2, 3):
        end = log.append(messages(minute, 2), end, keep_alive)
        after.append(system.now_ms() + 1)
        eventually(lambda: system.now_ms() > after[-1], what="the clock to advance")

    assert log.offset_at(begin_ms - 3_600_000, keep_alive) == 0
    assert [log.offset_at(at_ms, keep_alive) for at_ms in after] == [3, 6, 9]
    assert log.offset_at(system.now_ms() + 3_600_000, keep_alive) == end


# Other programs that write to the log


def test_a_foreign_open_transaction_is_an_error(implementation: SharedTickLogImplementation) -> None:
    """`bounds` waits and raises. `stable_bounds` returns where committed readers stop. Later all is well."""
    end = writer(implementation).append(messages(5), 0, keep_alive)
    log, keep_alives = implementation.process(), KeepAliveCounter()
    implementation.begin_foreign(messages(90, 2))
    with pytest.raises(OpenTransaction):
        log.bounds(keep_alives)
    assert keep_alives.calls >= 1
    assert log.stable_bounds(keep_alive) == LogBounds(0, end)
    assert minutes(log.read(0, end, keep_alive)) == [5]
    implementation.end_foreign(committed=False)

    assert log.bounds(keep_alive) == LogBounds(0, end + 3)


def test_the_error_of_keep_alive_ends_a_wait(implementation: SharedTickLogImplementation) -> None:
    """`bounds` raises it while a transaction is open."""
    log = writer(implementation)
    implementation.begin_foreign(messages(90))
    with pytest.raises(InterruptedError):
        log.bounds(KeepAliveCounter(InterruptedError()))
    implementation.end_foreign(committed=False)


@pytest.mark.parametrize("kind", ["record", "open", "committed", "aborted"])
def test_a_foreign_record_is_a_gap(implementation: SharedTickLogImplementation, kind: str) -> None:
    """A writer that does not know about it commits nothing."""
    log = writer(implementation)
    end = log.append(messages(1), 0, keep_alive)
    if kind == "record":
        implementation.write_foreign(Message(b"x", b"{}", None))
    else:
        implementation.begin_foreign([Message(b"x", b"{}", None)])
    if kind in ("committed", "aborted"):
        implementation.end_foreign(committed=kind == "committed")
    with pytest.raises(OffsetGap):
        log.append(messages(2), end, keep_alive)
    if kind == "open":
        implementation.end_foreign(committed=False)
    assert minutes(implementation.seen()) == [1]
    log.fence(keep_alive)
    log.append(messages(2), end_of(log), keep_alive)

    assert minutes(implementation.seen()) == [1, 2]


@pytest.mark.servers
def test_a_record_before_the_marker_is_a_gap(
    on_kafka: KafkaTickLogImplementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written between the check of the offsets and the commit. The commit succeeds, but is not confirmed."""
    log, commit = writer(on_kafka), Writer._commit

    def late(self: Writer, deadline: SlicedDeadline) -> None:
        on_kafka.write_foreign(Message(b"x", b"{}", None))
        commit(self, deadline)

    monkeypatch.setattr(Writer, "_commit", late)
    with pytest.raises(OffsetGap, match="another producer"):
        log.append(messages(1), 0, keep_alive)


@pytest.mark.core
def test_a_record_before_the_marker_is_a_gap_in_memory() -> None:
    """As above."""
    log = FaultyLog()
    log.at = lambda step: log.write_foreign(Message(b"x", b"{}", None)) if step == "append.committed" else None
    process = FaultyTickLog(log)
    process.ensure_topic(keep_alive)
    process.fence(keep_alive)
    with pytest.raises(OffsetGap):
        process.append(messages(1), 0, keep_alive)
