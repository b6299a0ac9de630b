"""Records of the tick log: what a leader leaves for the next one, and for subscribers."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given

from clocksvc.clock.log_record import (
    TYPE_HEADER,
    ClockState,
    Record,
    decode_message,
    decode_record,
    encode_message,
    encode_record,
    encode_ticks,
)
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.errors import UnreadableRecord
from tests.unit.clock.random_values import RECORDS
from tests.unit.clock.times import at

pytestmark = pytest.mark.core

ORDERS_3 = Partition("orders", 3)
STATE = ClockState(
    last_tick_ms=at("12:01"),
    last_emitted_ms=at("12:01:02.250"),
    exclusions=(Exclusion(ORDERS_3, "ada", at("11:30"), "a disk died"),),
    pause=Pause("bob", at("12:02"), "planned work"),
    group="checkins-consumer",
    topics={"orders": TopicMetadata("u4tCl0pKRZ6a", 4)},
)
EMITTED = Tick("checkins", at("12:01"), at("12:00"), 60_000, at("12:01:02.250"), (ORDERS_3,))
TICK = Record("checkins", STATE, EMITTED)
CONTROL = Record("checkins", STATE)

STATE_WIRE: dict[str, Any] = {
    "exclusions": [
        {"topic": "orders", "partition": 3, "by": "ada", "at": "2026-11-22T11:30:00Z", "reason": "a disk died"}
    ],
    "pause": {"by": "bob", "at": "2026-11-22T12:02:00Z", "reason": "planned work"},
    "group": "checkins-consumer",
    "topics": {"orders": {"id": "u4tCl0pKRZ6a", "partitions": 4}},
}
CONTROL_WIRE: dict[str, Any] = {
    "clock": "checkins",
    "format": 4,
    "state": STATE_WIRE | {"last_tick": "2026-11-22T12:01:00Z", "last_emitted_at": "2026-11-22T12:01:02.250Z"},
}
TICK_WIRE: dict[str, Any] = {
    "clock": "checkins",
    "format": 4,
    "state": STATE_WIRE,
    "time": "2026-11-22T12:01:00Z",
    "timestamp_seconds": 1795348860,
    "previous": "2026-11-22T12:00:00Z",
    "interval_seconds": 60,
    "emitted_at": "2026-11-22T12:01:02.250Z",
    "excluded": [{"topic": "orders", "partition": 3}],
}


@pytest.mark.parametrize(
    ("record", "record_type", "wire"), [(TICK, "tick", TICK_WIRE), (CONTROL, "control", CONTROL_WIRE)]
)
def test_a_record_in_the_log(record: Record, record_type: str, wire: dict[str, Any]) -> None:
    """Fields may be added, never changed: all later versions read the records of earlier ones."""
    assert record.type == record_type
    assert json.loads(encode_message(record).value or b"") == wire
    assert decode_record(record_type, json.dumps(wire).encode()) == record


def test_the_header_of_the_contract() -> None:
    """Subscribers skip by this header."""
    assert TYPE_HEADER == "clocksvc-type"


def test_a_control_record_says_what_was_asked_for() -> None:
    """Who included or resumed, when and why, stands nowhere else. No leader needs it, so no leader stumbles over it."""
    asked = {"kind": "resume", "by": "ada", "at": "2026-11-22T12:03:00Z", "reason": "repaired"}
    record = replace(CONTROL, requests=(asked,))

    assert json.loads(encode_record(record)) == CONTROL_WIRE | {"requests": [asked]}
    assert decode_record("control", encode_record(record)) == record
    assert decode_record("control", json.dumps(CONTROL_WIRE | {"requests": 7}).encode()) == CONTROL


def test_ticks_that_are_emitted_together() -> None:
    """Each record is enough to continue the clock. This is also so for a state with all optional fields."""
    state = replace(STATE, former_topic_ids={"orders": ("old",)}, truncated=True)
    ticks = [
        Tick("checkins", at(f"12:0{minute}"), at(f"12:0{minute - 1}"), 60_000, at("12:09:00.001"), (ORDERS_3,))
        for minute in (2, 3, 4)
    ]

    read = [decode_message(message) for message in encode_ticks(ticks, state)]

    assert read == [Record("checkins", state.after(tick), tick) for tick in ticks]


def test_a_tick_is_a_small_record() -> None:
    """Most records are ticks. A clock of two topics with short names needs at most 400 bytes a tick."""
    topics = {name: TopicMetadata("u4tCl0pKRZ6aGy1HbYQ2Vw", 64) for name in ("orders", "payments")}
    record = Record("checkins", replace(STATE, exclusions=(), pause=None, topics=topics), replace(EMITTED, excluded=()))

    assert len(encode_message(record).value or b"") <= 400


def test_a_state_before_any_tick() -> None:
    """A control record can be a log's first: no tick, no exclusions, no pause."""
    record = Record("checkins", ClockState())

    assert json.loads(encode_record(record))["state"] == {
        "exclusions": [],
        "pause": None,
        "group": "",
        "topics": {},
    }
    assert decode_record("control", encode_record(record)) == record


@given(RECORDS)
def test_any_record_survives_the_log(record: Record) -> None:
    """Encoded and decoded, it is the same record, with any text as a reason."""
    assert decode_record(record.type, encode_message(record).value or b"") == record


@given(RECORDS)
def test_the_copy_of_any_record_is_this_record(record: Record) -> None:
    """A snapshot contains verbatim copies with another type. A tick stays a tick."""
    message = encode_message(record)

    assert decode_message(message) == record
    assert decode_message(message._replace(type="snapshot")) == record


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"key": b"bills"}, "b'bills'.*'checkins'"),
        ({"key": None}, "None.*'checkins'"),
        ({"value": None}, "no value"),
        ({"type": None}, "type ''"),
        ({"type": "snapshot-end"}, "type 'snapshot-end'"),
        ({"type": "control", "value": b"{}"}, "can't be read"),
    ],
)
def test_a_message_of_another_kind_is_unreadable(change: dict[str, Any], text: str) -> None:
    """The error contains what was found."""
    with pytest.raises(UnreadableRecord, match=text):
        decode_message(encode_message(TICK)._replace(**change))


def test_a_newer_versions_fields_are_passed_over() -> None:
    """Fields may be added at either level within the same format."""
    wire = TICK_WIRE | {"colour": "green", "state": STATE_WIRE | {"mood": "calm"}}

    assert decode_record("tick", json.dumps(wire).encode()) == TICK


class Case(NamedTuple):
    """A value in the log that this version must not act on."""

    why: str
    value: bytes
    record_type: str = "tick"
    message: str = "can't be read"


def wired(**change: Any) -> bytes:
    """The tick's value with other fields."""
    return json.dumps(TICK_WIRE | change).encode()


def stated(**change: Any) -> bytes:
    """The tick's value with other fields in its state."""
    return wired(state=STATE_WIRE | change)


def stated_without(field: str) -> bytes:
    """The tick's value without a field of its state."""
    return wired(state={name: value for name, value in STATE_WIRE.items() if name != field})


UNREADABLE = [
    Case("a newer format may mean something else", wired(format=5), message="format 5.*run a newer version"),
    Case("a type of a newer version", wired(), "verdict", message="type 'verdict'.*run a newer version"),
    Case("an unknown type", wired(), "", message="type ''"),
    Case("a control record is no tick", json.dumps(CONTROL_WIRE).encode(), "tick"),
    Case("not JSON: another program writes to this topic", b"hello"),
    Case("nothing at all", b""),
    Case("not text", b"\xff\xfe\x00"),
    Case("JSON, but no object", b"[]"),
    Case("JSON, but a number", b"1"),
    Case("JSON, but null", b"null"),
    Case("nested until the reader gives up", b"[" * 100_000),
    Case("a tick without a format", json.dumps({k: v for k, v in TICK_WIRE.items() if k != "format"}).encode()),
    Case("a tick without the state", json.dumps({k: v for k, v in TICK_WIRE.items() if k != "state"}).encode()),
    Case("a format that is no number", wired(format="one")),
    Case("a state that is null", wired(state=None)),
    Case("a state without its group: progress of another group must not count", stated_without("group")),
    Case("a state without its pause: unknown is not unpaused", wired(state={"last_tick": None})),
    Case("a pause that says nothing is still a pause", stated(pause={})),
    Case("a pause that is only false", stated(pause=False)),
    Case("an exclusion without a partition", stated(exclusions=[{"topic": "orders"}])),
    Case("topics that are a list", stated(topics=[])),
    Case("a last tick that is no time", stated(last_tick="noon")),
    Case("a tick at no time", wired(timestamp_seconds=None)),
    Case("a tick at infinity", wired(timestamp_seconds=float("inf"))),
]


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: case.why)
def test_what_can_not_be_read_is_refused(case: Case) -> None:
    """A leader that can't read the last record holds: `decode_record` raises one error for all defects."""
    with pytest.raises(UnreadableRecord, match=case.message):
        decode_record(case.record_type, case.value)


def test_a_subscribers_tombstone_is_refused_too() -> None:
    """A null value (a tombstone of another program) is not a record."""
    with pytest.raises(UnreadableRecord):
        decode_record("tick", None)  # type: ignore[arg-type]


def test_who_is_excluded() -> None:
    """The partitions of all exclusions."""
    more = Exclusion(Partition("orders", 0), "bob", at("12:00"), "moved")

    assert replace(STATE, exclusions=(*STATE.exclusions, more)).excluded() == {ORDERS_3, Partition("orders", 0)}
    assert ClockState().excluded() == frozenset()
