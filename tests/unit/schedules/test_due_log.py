"""The records of due schedules, and what a new owner learns from them."""

import json
import uuid
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc.clock.tick import Tick
from clocksvc.errors import UnreadableRecord
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.schedules.due_log import (
    DueLogReader,
    Position,
    due_record,
    missed_record,
    position_record,
    read_missed,
    tick_records,
)
from clocksvc.schedules.entry import Task, read_entry
from clocksvc.schedules.wheel import Due, Missed, Reason, ScheduleWheel

pytestmark = pytest.mark.core

CLOCK, NOW_MS, MINUTE = "checkins", 1_795_348_800_000, 60_000
DUE = Due(NOW_MS, b"monitor-17", Task("uptime.check", b'{"url": "http://sentry.io"}', 0))
MISSED = Missed(NOW_MS - 3 * MINUTE, NOW_MS - MINUTE, b"monitor-17", 3, Reason.EXPIRED)


def test_a_due_record() -> None:
    """The names of the contract; the value is the payload, byte for byte."""
    record = due_record(CLOCK, DUE, NOW_MS + MINUTE)

    headers = dict(record.headers)
    assert uuid.UUID(headers.pop("clocksvc-id").decode()).version == 5
    assert (record.key, record.value) == (b"monitor-17", b'{"url": "http://sentry.io"}')
    assert headers == {
        "clocksvc-schedule": b"monitor-17",
        "clocksvc-task": b"uptime.check",
        "clocksvc-clock": b"checkins",
        "clocksvc-due": b"2026-11-22T12:00:00Z",
        "clocksvc-tick": b"2026-11-22T12:01:00Z",
    }


def test_an_id_is_made_from_clock_schedule_and_due_time() -> None:
    """It is the same at another tick, and another one if one of the three differs. No job has it."""
    ids = [
        dict(due_record(clock, due, tick_ms).headers)["clocksvc-id"]
        for clock, due, tick_ms in [
            (CLOCK, DUE, NOW_MS),
            (CLOCK, DUE._replace(task=Task("a.b", b"1", 5)), NOW_MS + MINUTE),
            ("others", DUE, NOW_MS),
            (CLOCK, DUE._replace(key=b"monitor-18"), NOW_MS),
            (CLOCK, DUE._replace(due_ms=NOW_MS + 1), NOW_MS),
        ]
    ]
    job = DueTask("clocksvc", CLOCK, "shop", "monitor-17", NOW_MS, Tick(CLOCK, NOW_MS, None, MINUTE, NOW_MS))

    assert ids[0] == ids[1]
    assert len({*ids, job.id.encode()}) == 5


def test_a_missed_record_is_read_as_it_was_written() -> None:
    """Its type keeps it apart from due records, and its id from that of the due time, which may be sent after all."""
    record = missed_record(CLOCK, MISSED, NOW_MS)

    assert read_missed(record.key, record.value) == MISSED
    headers = dict(record.headers)
    assert headers["clocksvc-type"] == b"missed"
    sent = due_record(CLOCK, DUE._replace(due_ms=MISSED.first_ms), NOW_MS)
    assert headers["clocksvc-id"] != dict(sent.headers)["clocksvc-id"]
    assert headers["clocksvc-tick"] == b"2026-11-22T12:00:00Z"
    assert json.loads(record.value) == {
        "format": 1,
        "schedule": "monitor-17",
        "reason": "expired",
        "runs": 3,
        "first_due": "2026-11-22T11:57:00Z",
        "last_due": "2026-11-22T11:59:00Z",
    }


def test_a_longer_time_of_missed_runs_is_recorded_again() -> None:
    """The previous owner has committed a part of a tick. Its successor knows more ticks, and skips more due times."""
    reader = DueLogReader()
    for offset, record in enumerate((missed_record(CLOCK, MISSED, NOW_MS), due_record(CLOCK, DUE, NOW_MS))):
        reader.read(offset, record.value, record.headers)
    longer = missed_record(CLOCK, MISSED._replace(last_ms=NOW_MS, runs=4), NOW_MS)

    assert list(reader.unsent([missed_record(CLOCK, MISSED, NOW_MS), longer], NOW_MS)) == [longer]


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "tick": "x"}']
)
def test_what_cannot_be_read_is_an_error(value: bytes) -> None:
    """An owner must not begin at a position that it can't read."""
    with pytest.raises(UnreadableRecord):
        DueLogReader().read(0, value, [("clocksvc-type", b"position")])
    with pytest.raises(UnreadableRecord):
        read_missed(b"a", value)


def read_all(log: Iterable[DueLogRecord]) -> DueLogReader:
    reader = DueLogReader()
    for offset, record in enumerate(log):
        reader.read(offset, record.value, record.headers)
    return reader


WHEN: tuple[dict[str, object], ...] = (
    {"interval": 60},
    {"interval": 120},
    {"cron": "*/3 * * * *"},
    {"interval": 60, "max_age": 60},
    {"interval": 20},
)
VALUES = [
    json.dumps({"format": 1, "task": "a.b", "created_at": "2026-01-01T00:00:00Z"} | when).encode() for when in WHEN
]


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_every_record_is_there_once_although_transactions_were_committed_in_part(parts: list[float]) -> None:
    """Each owner commits two ticks, and then a part of the third: records without a position, or all of it."""
    log: list[DueLogRecord] = [position_record(CLOCK, Position(NOW_MS))]
    for part in [*parts, None]:
        reader = read_all(log)
        assert reader.position is not None
        position_ms = reader.position.tick_ms
        assert position_ms is not None
        wheel = ScheduleWheel(position_ms)
        wheel.add(read_entry(f"s{number}".encode(), value) for number, value in enumerate(VALUES))
        for number in range(3):
            tick_ms = wheel.position_ms + MINUTE
            found = wheel.advance(tick_ms, MINUTE, tick_ms, tick_ms + 90_000)
            records = list(reader.unsent(tick_records(CLOCK, found, tick_ms), tick_ms))
            records.append(position_record(CLOCK, Position(tick_ms)))
            log += records[: round(part * len(records))] if number == 2 and part is not None else records

    ids = [dict(record.headers).get("clocksvc-id") for record in log if record.key != b"_position"]
    last_ms = wheel.position_ms
    assert len(set(ids)) == len(ids)
    minutes = (last_ms - NOW_MS) // MINUTE
    due = [record for record in log if "clocksvc-type" not in dict(record.headers)]
    assert sum(record.key == b"s0" for record in due) == minutes
    assert sum(record.key == b"s4" for record in due) == 3 * minutes
    assert sum(record.key == b"s3" for record in log) == minutes
    by_key = [(record.key, dict(record.headers)["clocksvc-due"]) for record in due]
    for key in (b"s0", b"s2", b"s4"):
        times = [at for one, at in by_key if one == key]
        assert times == sorted(times)


def test_records_of_a_later_tick_are_not_passed_over() -> None:
    """The ids behind the position belong to the ticks of the last transaction."""
    first, second = (due_record(CLOCK, DUE._replace(due_ms=NOW_MS + n * MINUTE), NOW_MS + n * MINUTE) for n in (1, 2))
    reader = read_all([due_record(CLOCK, DUE, NOW_MS), position_record(CLOCK, Position(NOW_MS)), first])

    assert reader.sent_ids == {dict(first.headers)["clocksvc-id"].decode()}
    assert list(reader.unsent([first], NOW_MS + MINUTE)) == []
    assert list(reader.unsent([second], NOW_MS + 2 * MINUTE)) == [second]
    assert reader.sent_ids == set()
