"""What every keeper of the tick log promises to a reader."""

from collections.abc import Iterator

import pytest

from clocksvc.clock.log_record import (
    ClockState,
    Message,
    Record,
)
from clocksvc.clock.tick import Tick
from clocksvc.errors import OpenTransaction, UnreadableRecord
from clocksvc.interfaces.tick_log import Tail
from tests.interfaces.ticklog_keepers import (
    KafkaLogKeeper,
    LogKeeper,
    MemoryLogKeeper,
    writer,
)
from tests.interfaces.ticklog_values import (
    CLOCK,
    MINUTE_MS,
    Word,
    control,
    foreign,
    minutes,
    tick,
    ticks,
)

word = Word()

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
def keeper(request: pytest.FixtureRequest) -> Iterator[LogKeeper]:
    """Each keeper of the tick log's promise in turn."""
    memory = request.param == "memory"
    made = MemoryLogKeeper() if memory else KafkaLogKeeper(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


# The end of the log


def test_what_was_written_last_is_known_whatever_became_of_it(keeper: LogKeeper) -> None:
    """Records of aborted transactions too, in the order in which they stand; what is no record is passed over."""
    log = writer(keeper)
    log.append(ticks(5, 2), word)
    keeper.begin_foreign([foreign(A_TICK), foreign(b"hello", None)])
    keeper.end_foreign(committed=False)
    log.append([control(7)], word)

    assert list(log.last_written(word)) == [*ticks(5, 2), A_RECORD, control(7)]


def test_the_tail_is_the_last_record_of_any_type(keeper: LogKeeper) -> None:
    """A tick or a control record, back as it was written."""
    log, reader = writer(keeper), keeper.process()
    for records in ([control(4)], ticks(5, 3), [control(7)], [tick(8)]):
        log.append(records, word)
        assert reader.tail(word) == Tail(records[-1], 0)


def test_an_aborted_first_transaction_leaves_an_empty_log(keeper: LogKeeper) -> None:
    """Offsets were taken, no record was ever committed: the log was never written."""
    log = writer(keeper)
    keeper.begin_foreign([foreign(A_TICK)])
    keeper.end_foreign(committed=False)

    assert keeper.end() > 0
    assert log.tail(word) == Tail(None, 0)
    assert list(log.backwards(word)) == []


def test_aborted_transactions_hide_no_record_before_them(keeper: LogKeeper) -> None:
    """However many offsets they took behind the last record."""
    log = writer(keeper)
    log.append(ticks(5, 2), word)
    for _ in range(25):
        keeper.begin_foreign([foreign(A_TICK)] * 3)
        keeper.end_foreign(committed=False)

    assert keeper.end() >= 100
    assert log.tail(word) == Tail(tick(6), 0)
    assert list(log.backwards(word)) == [tick(6), tick(5)]


def test_somebody_elses_open_transaction_is_said(keeper: LogKeeper) -> None:
    """What is behind it can't be seen: `tail` and `backwards` raise, having told who waits; later all is well."""
    log, waits = writer(keeper), Word()
    log.append([tick(5)], word)
    keeper.begin_foreign([foreign(A_TICK)])
    log.append([tick(6)], word)
    with pytest.raises(OpenTransaction):
        log.tail(waits)
    with pytest.raises(OpenTransaction):
        next(log.backwards(waits))
    assert waits.calls >= 2
    keeper.end_foreign(committed=False)

    assert log.tail(word) == Tail(tick(6), 0)


def test_giving_up_gets_through_an_open_transaction(keeper: LogKeeper) -> None:
    """What `waiting` raises comes out of `tail`."""
    log = writer(keeper)
    keeper.begin_foreign([foreign(A_TICK)])
    with pytest.raises(InterruptedError):
        log.tail(Word(InterruptedError()))
    keeper.end_foreign(committed=False)


def test_deleted_records_show_in_the_first_offset(keeper: LogKeeper) -> None:
    """A log that begins above 0 lost something: what is left is read, and the offset says the rest."""
    log = writer(keeper)
    log.append(ticks(1, 3), word)
    log.append(ticks(4, 1), word)
    keeper.delete_before(2)
    left = log.tail(word), list(log.backwards(word))
    keeper.delete_before(keeper.end())

    assert left == (Tail(tick(4), 2), [tick(4), tick(3)])
    assert log.tail(word) == Tail(None, 6)
    assert list(log.backwards(word)) == []


def test_a_log_made_anew_is_empty(keeper: LogKeeper) -> None:
    """Nothing of the old topic is read or written once the new one is there."""
    log = writer(keeper)
    log.append(ticks(1, 3), word)
    log.tail(word)
    keeper.remake()

    assert log.tail(word) == Tail(None, 0)
    log.fence(word)
    log.append([tick(9)], word)
    assert log.tail(word) == Tail(tick(9), 0)
    assert minutes(keeper.seen()) == [9]


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
def test_a_record_of_another_kind_is_unreadable(keeper: LogKeeper, one: Message, said: str) -> None:
    """A leader must not go on from what it can't read: `tail` says what it found; `backwards` passes it over."""
    log = writer(keeper)
    log.append([tick(4)], word)
    keeper.write_foreign(one)
    with pytest.raises(UnreadableRecord, match=said):
        log.tail(word)
    assert list(log.backwards(word)) == [tick(4)]
    log.append([tick(5)], word)

    assert log.tail(word) == Tail(tick(5), 0)
    assert list(log.backwards(word)) == [tick(5), tick(4)]


def test_a_record_written_by_hand_is_read(keeper: LogKeeper) -> None:
    """The format is the contract, not the code; fields that this version does not know are passed over."""
    log = writer(keeper)
    keeper.write_foreign(foreign(A_TICK | {"mood": "good"}))
    record = log.tail(word).record

    assert record is not None
    assert record.tick is not None
    assert (record.tick.at_ms, record.tick.previous_ms) == (5 * MINUTE_MS, 4 * MINUTE_MS)
    assert record.state.last_emitted_ms == 5 * MINUTE_MS + 500


# Backwards


def test_backwards_gives_all_newest_first(keeper: LogKeeper) -> None:
    """Across transactions and markers, over more than one reading."""
    log = writer(keeper)
    for first in range(1, 3_601, 400):
        log.append(ticks(first, 400), word)
    log.append([control(3_600)], word)

    assert list(log.backwards(word)) == [control(3_600), *reversed(ticks(1, 3_600))]


def test_backwards_passes_over_what_is_no_record(keeper: LogKeeper) -> None:
    """Whatever others wrote, wherever it stands: all records of ours are given, in order."""
    log = writer(keeper)
    keeper.write_foreign(foreign(None))
    log.append(ticks(1, 2), word)
    keeper.write_foreign(foreign(A_TICK | {"format": 2}))
    keeper.write_foreign(foreign(A_TICK, "summary"))
    log.append([control(2)], word)
    keeper.write_foreign(foreign(A_TICK, key=b"bills"))

    assert list(log.backwards(word)) == [control(2), tick(2), tick(1)]


def test_a_tail_may_be_asked_in_between(keeper: LogKeeper) -> None:
    """Reading backwards goes on where it was."""
    log = writer(keeper)
    log.append(ticks(1, 1_500), word)
    records = log.backwards(word)
    first = next(records)
    assert log.tail(word) == Tail(tick(1_500), 0)

    assert [first, *records] == list(reversed(ticks(1, 1_500)))
