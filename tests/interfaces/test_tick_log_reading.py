"""The behaviour of all tick logs for readers."""

from collections.abc import Iterator

import pytest

from clocksvc.clock.log_record import ClockState, Message, Record
from clocksvc.clock.tick import Tick
from clocksvc.errors import OpenTransaction, UnreadableRecord
from clocksvc.interfaces.tick_log import Tail
from tests.interfaces.tick_log_examples import (
    CLOCK,
    MINUTE_MS,
    KeepAliveCounter,
    control,
    foreign,
    minutes,
    tick,
    ticks,
)
from tests.interfaces.tick_log_implementations import (
    KafkaTickLogImplementation,
    MemoryTickLogImplementation,
    TickLogImplementation,
    writer,
)

keep_alive = KeepAliveCounter()

A_TICK = {
    "clock": CLOCK,
    "time": "1970-01-01T00:05:00Z",
    "timestamp_seconds": 300,
    "previous": "1970-01-01T00:04:00Z",
    "interval_seconds": 60,
    "emitted_at": "1970-01-01T00:05:00.500Z",
    "excluded": [],
    "format": 1,
    "state": {
        "last_tick": "1970-01-01T00:05:00Z",
        "last_emitted_at": "1970-01-01T00:05:00.500Z",
        "exclusions": [],
        "pause": None,
        "topics": {},
        "config_digest": "d1",
    },
}


A_RECORD = Record(
    CLOCK,
    ClockState(last_tick_ms=300_000, last_emitted_ms=300_500, config_digest="d1"),
    Tick(CLOCK, 300_000, 240_000, 60_000, 300_500),
)
"""The same, as a record."""


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[TickLogImplementation]:
    """Each implementation of the tick log."""
    memory = request.param == "memory"
    made = MemoryTickLogImplementation() if memory else KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


# The end of the log


def test_last_written_includes_aborted_records(implementation: TickLogImplementation) -> None:
    """Records of aborted transactions too, in the order in which they stand; what is no record is passed over."""
    log = writer(implementation)
    log.append(ticks(5, 2), keep_alive)
    implementation.begin_foreign([foreign(A_TICK), foreign(b"hello", None)])
    implementation.end_foreign(committed=False)
    log.append([control(7)], keep_alive)

    assert list(log.last_written(keep_alive)) == [*ticks(5, 2), A_RECORD, control(7)]


def test_the_tail_is_the_last_record_of_any_type(implementation: TickLogImplementation) -> None:
    """A tick or a control record, back as it was written."""
    log, reader = writer(implementation), implementation.process()
    for records in ([control(4)], ticks(5, 3), [control(7)], [tick(8)]):
        log.append(records, keep_alive)
        assert reader.tail(keep_alive) == Tail(records[-1], 0)


def test_an_aborted_first_transaction_leaves_an_empty_log(implementation: TickLogImplementation) -> None:
    """Offsets were taken, no record was ever committed: the log was never written."""
    log = writer(implementation)
    implementation.begin_foreign([foreign(A_TICK)])
    implementation.end_foreign(committed=False)

    assert implementation.end() > 0
    assert log.tail(keep_alive) == Tail(None, 0)
    assert list(log.backwards(keep_alive)) == []


def test_aborted_transactions_hide_no_record_before_them(implementation: TickLogImplementation) -> None:
    """However many offsets they took behind the last record."""
    log = writer(implementation)
    log.append(ticks(5, 2), keep_alive)
    for _ in range(25):
        implementation.begin_foreign([foreign(A_TICK)] * 3)
        implementation.end_foreign(committed=False)

    assert implementation.end() >= 100
    assert log.tail(keep_alive) == Tail(tick(6), 0)
    assert list(log.backwards(keep_alive)) == [tick(6), tick(5)]


def test_a_foreign_open_transaction_raises(implementation: TickLogImplementation) -> None:
    """What is behind it can't be seen: `tail` and `backwards` raise, having told who waits; later all is well."""
    log, waits = writer(implementation), KeepAliveCounter()
    log.append([tick(5)], keep_alive)
    implementation.begin_foreign([foreign(A_TICK)])
    log.append([tick(6)], keep_alive)
    with pytest.raises(OpenTransaction):
        log.tail(waits)
    with pytest.raises(OpenTransaction):
        next(log.backwards(waits))
    assert waits.calls >= 2
    implementation.end_foreign(committed=False)

    assert log.tail(keep_alive) == Tail(tick(6), 0)


def test_giving_up_gets_through_an_open_transaction(implementation: TickLogImplementation) -> None:
    """What `waiting` raises comes out of `tail`."""
    log = writer(implementation)
    implementation.begin_foreign([foreign(A_TICK)])
    with pytest.raises(InterruptedError):
        log.tail(KeepAliveCounter(InterruptedError()))
    implementation.end_foreign(committed=False)


def test_deleted_records_show_in_the_first_offset(implementation: TickLogImplementation) -> None:
    """A log that begins above 0 lost something: what is left is read, and the offset says the rest."""
    log = writer(implementation)
    log.append(ticks(1, 3), keep_alive)
    log.append(ticks(4, 1), keep_alive)
    implementation.delete_before(2)
    left = log.tail(keep_alive), list(log.backwards(keep_alive))
    implementation.delete_before(implementation.end())

    assert left == (Tail(tick(4), 2), [tick(4), tick(3)])
    assert log.tail(keep_alive) == Tail(None, 6)
    assert list(log.backwards(keep_alive)) == []


def test_a_recreated_log_is_empty(implementation: TickLogImplementation) -> None:
    """Nothing of the old topic is read or written once the new one is there."""
    log = writer(implementation)
    log.append(ticks(1, 3), keep_alive)
    log.tail(keep_alive)
    implementation.remake()

    assert log.tail(keep_alive) == Tail(None, 0)
    log.fence(keep_alive)
    log.append([tick(9)], keep_alive)
    assert log.tail(keep_alive) == Tail(tick(9), 0)
    assert minutes(implementation.seen()) == [9]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        pytest.param(foreign(A_TICK | {"format": 2}), "format 2", id="newer format"),
        pytest.param(foreign(A_TICK, "summary"), "'summary'", id="unknown type"),
        pytest.param(foreign(A_TICK, None), "type ''", id="no type"),
        pytest.param(foreign(None), "tombstone", id="tombstone"),
        pytest.param(foreign(b"\xff{", "tick"), "can't be read", id="no JSON"),
        pytest.param(foreign({"format": 1}, "control"), "can't be read", id="no state"),
        pytest.param(foreign(A_TICK | {"clock": "bills"}), "'bills'", id="another clock's"),
        pytest.param(foreign(A_TICK, key=b"bills"), "b'bills'", id="another key"),
    ],
)
def test_a_record_of_another_kind_is_unreadable(implementation: TickLogImplementation, one: Message, said: str) -> None:
    """A leader must not go on from what it can't read: `tail` says what it found; `backwards` passes it over."""
    log = writer(implementation)
    log.append([tick(4)], keep_alive)
    implementation.write_foreign(one)
    with pytest.raises(UnreadableRecord, match=said):
        log.tail(keep_alive)
    assert list(log.backwards(keep_alive)) == [tick(4)]
    log.append([tick(5)], keep_alive)

    assert log.tail(keep_alive) == Tail(tick(5), 0)
    assert list(log.backwards(keep_alive)) == [tick(5), tick(4)]


def test_a_record_written_by_hand_is_read(implementation: TickLogImplementation) -> None:
    """The format is the contract, not the code; fields that this version does not know are passed over."""
    log = writer(implementation)
    implementation.write_foreign(foreign(A_TICK | {"mood": "good"}))
    record = log.tail(keep_alive).record

    assert record is not None
    assert record.tick is not None
    assert (record.tick.at_ms, record.tick.previous_ms) == (5 * MINUTE_MS, 4 * MINUTE_MS)
    assert record.state.last_emitted_ms == 5 * MINUTE_MS + 500


# Backwards


def test_backwards_gives_all_newest_first(implementation: TickLogImplementation) -> None:
    """Across transactions and markers, over more than one reading."""
    log = writer(implementation)
    for first in range(1, 3_601, 400):
        log.append(ticks(first, 400), keep_alive)
    log.append([control(3_600)], keep_alive)

    assert list(log.backwards(keep_alive)) == [control(3_600), *reversed(ticks(1, 3_600))]


def test_backwards_passes_over_what_is_no_record(implementation: TickLogImplementation) -> None:
    """Records of other programs are skipped, wherever they are: all clocksvc records are read, in order."""
    log = writer(implementation)
    implementation.write_foreign(foreign(None))
    log.append(ticks(1, 2), keep_alive)
    implementation.write_foreign(foreign(A_TICK | {"format": 2}))
    implementation.write_foreign(foreign(A_TICK, "summary"))
    log.append([control(2)], keep_alive)
    implementation.write_foreign(foreign(A_TICK, key=b"bills"))

    assert list(log.backwards(keep_alive)) == [control(2), tick(2), tick(1)]


def test_a_tail_may_be_asked_in_between(implementation: TickLogImplementation) -> None:
    """Reading backwards goes on where it was."""
    log = writer(implementation)
    log.append(ticks(1, 1_500), keep_alive)
    records = log.backwards(keep_alive)
    first = next(records)
    assert log.tail(keep_alive) == Tail(tick(1_500), 0)

    assert [first, *records] == list(reversed(ticks(1, 1_500)))
