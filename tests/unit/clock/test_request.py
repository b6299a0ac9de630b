"""Requests of the night shift: what each does to a clock's state, what is refused, and how they are written."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.log_record import ClockState
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import (
    MAX_EXCLUSIONS,
    Request,
    RequestKind,
    RequestResult,
    ResultKind,
    apply_request,
    decode_request,
    decode_result,
    encode_request,
    encode_result,
    sort_requests,
)
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.errors import InvalidValue
from tests.unit.clock.random_values import MOMENTS, PARTITIONS, STATES
from tests.unit.clock.times import at

pytestmark = pytest.mark.core

EXCLUDE, INCLUDE, PAUSE, RESUME = RequestKind.EXCLUDE, RequestKind.INCLUDE, RequestKind.PAUSE, RequestKind.RESUME
ROSTER = Roster({"orders": TopicMetadata("id-o", 4), "payments": TopicMetadata("id-p", 1)})
ORDERS_3, ORDERS_0, PAYMENTS_0 = Partition("orders", 3), Partition("orders", 0), Partition("payments", 0)
GONE = Partition("gone", 7)

ADA = Exclusion(ORDERS_3, "ada", at("11:30"), "a disk died")
BOB = Exclusion(PAYMENTS_0, "bob", at("11:40"), "moved")
PAUSED = Pause("ada", at("11:30"), "planned work")
RUNNING = ClockState(at("12:00"), at("12:00:02"), (), None, "checkins-consumer", dict(ROSTER.topics))


def asked(kind: RequestKind | str, partition: Partition | None = None, reason: str = "why", id: str = "r1") -> Request:
    """A request of eve's, made at 12:00."""
    return Request(id, kind, "eve", at("12:00"), reason, at("12:00:10"), partition)


class Granted(NamedTuple):
    """A request that is granted: what stood before, and what stands after it."""

    why: str
    asked: Request
    before: tuple[tuple[Exclusion, ...], Pause | None]
    after: tuple[tuple[Exclusion, ...], Pause | None]


GRANTED = [
    Granted(
        "a partition is excluded by name, time and reason",
        asked(EXCLUDE, ORDERS_0, "no leader"),
        ((), None),
        ((Exclusion(ORDERS_0, "eve", at("12:00"), "no leader"),), None),
    ),
    Granted(
        "one more, after those that are there",
        asked(EXCLUDE, PAYMENTS_0, "too"),
        ((ADA,), None),
        ((ADA, Exclusion(PAYMENTS_0, "eve", at("12:00"), "too")), None),
    ),
    Granted(
        "excluded already: the first who asked stays named", asked(EXCLUDE, ORDERS_3), ((ADA,), None), ((ADA,), None)
    ),
    Granted("taken back in, the others stay", asked(INCLUDE, ORDERS_3), ((ADA, BOB), None), ((BOB,), None)),
    Granted("not excluded: it is so already", asked(INCLUDE, ORDERS_0), ((ADA,), None), ((ADA,), None)),
    Granted(
        "an exclusion of what no longer exists can be taken back",
        asked(INCLUDE, GONE),
        ((replace(ADA, partition=GONE), BOB), None),
        ((BOB,), None),
    ),
    Granted(
        "paused by name, time and reason", asked(PAUSE), ((ADA,), None), ((ADA,), Pause("eve", at("12:00"), "why"))
    ),
    Granted("paused already: the first who asked stays named", asked(PAUSE), ((), PAUSED), ((), PAUSED)),
    Granted("resumed, exclusions stay", asked(RESUME), ((ADA,), PAUSED), ((ADA,), None)),
    Granted("not paused: it is so already", asked(RESUME), ((), None), ((), None)),
]


@pytest.mark.parametrize("case", GRANTED, ids=lambda case: case.why)
def test_what_a_request_does(case: Granted) -> None:
    """Only exclusions and pause change; asked once more it changes nothing."""
    before = replace(RUNNING, exclusions=case.before[0], pause=case.before[1])

    after = apply_request(before, case.asked, ROSTER)

    assert after == replace(RUNNING, exclusions=case.after[0], pause=case.after[1])
    if case.asked.partition != GONE:
        assert apply_request(after, replace(case.asked, id="r2", by="mallory", at_ms=at("12:01")), ROSTER) == after


class Refused(NamedTuple):
    """A request that is refused: the field, the value, and a part of what would be right."""

    why: str
    asked: Request
    field: str
    value: object
    wanted: str


REFUSED = [
    Refused("not a topic of the clock", asked(EXCLUDE, GONE), "topic", "gone", "orders, payments"),
    Refused("a partition beyond the last", asked(EXCLUDE, Partition("orders", 4)), "partition", 4, "0 to 3"),
    Refused("a partition before the first", asked(EXCLUDE, Partition("orders", -1)), "partition", -1, "0 to 3"),
    Refused("back in, but neither there nor excluded", asked(INCLUDE, GONE), "topic", "gone", "orders, payments"),
    Refused("what only a newer version knows", asked("freeze"), "kind", "freeze", "exclude, include, pause, resume"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.why)
def test_what_is_refused(case: Refused) -> None:
    """Field, value, and what would be right."""
    with pytest.raises(InvalidValue) as raised:
        apply_request(RUNNING, case.asked, ROSTER)

    assert (raised.value.field, raised.value.value) == (case.field, case.value)
    assert case.wanted in raised.value.wanted


def test_there_is_a_bound_on_exclusions() -> None:
    """Each record of the tick log carries them all: a record must stay one that Kafka takes."""
    many = Roster({"orders": TopicMetadata("id-o", 1_000)})
    state = RUNNING
    for number in range(MAX_EXCLUSIONS):
        state = apply_request(state, asked(EXCLUDE, Partition("orders", number)), many)

    with pytest.raises(InvalidValue, match="at most 100 exclusions"):
        apply_request(state, asked(EXCLUDE, Partition("orders", MAX_EXCLUSIONS)), many)
    assert apply_request(state, asked(EXCLUDE, ORDERS_0), many) == state


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("", "wanted a reason"),
        (" \u00a0 ", "wanted a reason"),
        ("x" * 501, "at most 500 characters, not 501"),
        ("two\nlines", "one line"),
        ("bell\x07", "one line"),
        ("\x1b[31mred", "one line"),
        ("turned \u202e round", "one line"),
        ("half \ud83d a smile", "one line"),
    ],
)
def test_a_reason_is_one_line_of_text(reason: str, wanted: str) -> None:
    """It is shown in logs and on terminals."""
    with pytest.raises(InvalidValue, match=wanted):
        asked(PAUSE, reason=reason)


@pytest.mark.parametrize("reason", ["x" * 500, "kaputt: Festplatte, Ärger \U0001f62d", "a\u00a0b", 'it\'s "dead"'])
def test_people_write_as_they_like(reason: str) -> None:
    """Any language, any length up to 500 characters."""
    assert decode_request(encode_request(asked(PAUSE, reason=reason))) == asked(PAUSE, reason=reason)


def test_a_partition_is_named() -> None:
    """Without one nothing can be excluded."""
    with pytest.raises(InvalidValue, match="partition"):
        asked(EXCLUDE)


def test_a_request_in_the_store() -> None:
    """Replicas of another version read it: fields may be added, never changed."""
    text = encode_request(asked(EXCLUDE, ORDERS_3, "Ärger"))

    assert text.isascii()
    assert json.loads(text) == {
        "id": "r1",
        "kind": "exclude",
        "by": "eve",
        "at": "2026-11-22T12:00:00Z",
        "reason": "Ärger",
        "expires_at": "2026-11-22T12:00:10Z",
        "topic": "orders",
        "partition": 3,
    }
    newer = json.loads(text) | {"until": "Monday"}
    assert decode_request(json.dumps(newer)) == asked(EXCLUDE, ORDERS_3, "Ärger")
    assert decode_request(json.dumps(newer | {"kind": "freeze"})) == asked("freeze", ORDERS_3, "Ärger")


@pytest.mark.parametrize(
    "change",
    [
        {"reason": ""},
        {"at": "noon"},
        {"partition": None},
        {"partition": "x"},
        {"kind": None},
        {"expires_at": None},
    ],
)
def test_what_is_no_request_is_passed_over(change: dict[str, Any]) -> None:
    """A leader ignores what other programs wrote."""
    wire = json.loads(encode_request(asked(EXCLUDE, ORDERS_3))) | change

    assert decode_request(json.dumps(wire)) is None or change == {"kind": None}
    for text in ("", "x", "[]", "null", "[" * 100_000):
        assert decode_request(text) is None


REQUESTS = st.builds(
    Request,
    st.text(),
    st.sampled_from(RequestKind),
    st.text(),
    MOMENTS,
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=500),
    MOMENTS,
    PARTITIONS,
    MOMENTS,
)


@given(REQUESTS)
def test_any_request_survives_the_store(asked: Request) -> None:
    """Encoded and decoded it is the same."""
    assert decode_request(encode_request(asked)) == asked


@given(STATES, st.sampled_from(ResultKind), st.text(), st.none() | st.integers(0, 2**40) | st.text(), st.text())
def test_any_answer_survives_the_store(
    state: ClockState, kind: ResultKind, field: str, value: str | int | None, wanted: str
) -> None:
    """Encoded and decoded it is the same; what this version can't read is no answer."""
    given = RequestResult(kind, state.exclusions, state.pause, field, value, wanted, "detail")

    assert encode_result(given).isascii()
    assert decode_result(encode_result(given)) == given
    assert decode_result(encode_result(given).replace(f'"kind":"{kind}"', '"kind":"later"')) is None
    assert decode_result("") is None


@given(st.lists(st.tuples(st.sampled_from([EXCLUDE, INCLUDE, PAUSE, RESUME]), st.integers(0, 3)), max_size=8))
def test_done_twice_is_done_once(wanted: list[tuple[RequestKind, int]]) -> None:
    """A leader that does not know whether its predecessor came to it does all of it again, in order: the same comes out
    but for the names of those who were in between."""
    made = [asked(kind, Partition("orders", number), id=f"r{n}") for n, (kind, number) in enumerate(wanted)]

    def after(state: ClockState) -> ClockState:
        for one in sort_requests(made):
            state = apply_request(state, one, ROSTER)
        return state

    once, twice = after(RUNNING), after(after(RUNNING))
    assert once.excluded() == twice.excluded()
    assert (once.pause is None) == (twice.pause is None)


def test_requests_are_done_as_they_were_made() -> None:
    """By time, then by id."""
    early, late = asked(PAUSE, id="b"), replace(asked(RESUME, id="a"), at_ms=at("12:01"))

    assert sort_requests([late, replace(early, id="c"), early]) == [early, replace(early, id="c"), late]
