"""The tick, its chain, and its wire form."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given

from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import Tick, first_chain_break, partition_from_wire, partition_to_wire
from tests.unit.clock.random_values import TICKS
from tests.unit.clock.times import at, maybe_at

pytestmark = pytest.mark.core

TICK = Tick("checkins", at("12:01"), at("12:00"), 60_000, at("12:01:02.250"), (Partition("orders", 3),))
WIRE: dict[str, Any] = {
    "clock": "checkins",
    "time": "2026-11-22T12:01:00Z",
    "timestamp_seconds": 1795348860,
    "previous": "2026-11-22T12:00:00Z",
    "interval_seconds": 60,
    "emitted_at": "2026-11-22T12:01:02.250Z",
    "excluded": [{"topic": "orders", "partition": 3}],
}


def test_a_tick_on_the_wire() -> None:
    """The fields are those of the contract, and are read back as the same tick."""
    assert TICK.to_wire() == WIRE
    assert Tick.from_wire(WIRE) == TICK


def test_a_clocks_first_tick_on_the_wire() -> None:
    """`previous` is null for the first tick; no exclusions are an empty list."""
    first = replace(TICK, previous_ms=None, excluded=())

    assert first.to_wire() == WIRE | {"previous": None, "excluded": []}
    assert Tick.from_wire(WIRE | {"previous": None, "excluded": []}) == first


def test_a_newer_versions_fields_are_passed_over() -> None:
    """Fields may be added: a subscriber of this version reads on."""
    assert Tick.from_wire(WIRE | {"colour": "green", "format": 2}) == TICK


@pytest.mark.parametrize(
    "field", ["clock", "timestamp_seconds", "previous", "interval_seconds", "emitted_at", "excluded"]
)
def test_a_tick_without_a_field_is_no_tick(field: str) -> None:
    """What a tick needs is never guessed."""
    with pytest.raises(KeyError, match=field):
        Tick.from_wire({name: value for name, value in WIRE.items() if name != field})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"timestamp_seconds": "noon"}, "a word is no number"),
        ({"timestamp_seconds": None}, "null is no number"),
        ({"previous": "yesterday"}, "a word is no time"),
        ({"emitted_at": None}, "a tick was emitted at some time"),
        ({"excluded": None}, "no exclusions are an empty list"),
        ({"excluded": [{"topic": "orders", "partition": "x"}]}, "a word is no partition"),
    ],
)
def test_what_is_no_tick(wrong: dict[str, Any], why: str) -> None:
    """Wrong values raise; they never become another tick."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Tick.from_wire(WIRE | wrong)

    assert str(caught.value), why


@given(TICKS)
def test_any_tick_survives_the_wire(tick: Tick) -> None:
    """Through JSON and back is the same tick, and the time says what the number says."""
    wire = json.loads(json.dumps(tick.to_wire()))

    assert Tick.from_wire(wire) == tick
    assert wire["timestamp_seconds"] * 1000 == tick.at_ms


def test_a_partition_on_the_wire() -> None:
    """Topic and number, under the names of the contract."""
    assert partition_to_wire(Partition("orders", 3)) == {"topic": "orders", "partition": 3}
    assert partition_from_wire({"topic": "orders", "partition": 3}) == Partition("orders", 3)


class Case(NamedTuple):
    """Ticks as (previous, time), read after a last one, and the time of the first that breaks the chain."""

    why: str
    last: str | None
    ticks: list[tuple[str | None, str]]
    breaks_at: str | None


CASES = [
    Case("no ticks, no break", "12:00", [], None),
    Case("each names the one before it", "12:00", [("12:00", "12:01"), ("12:01", "12:02")], None),
    Case("a chain begins with no previous", None, [(None, "12:01"), ("12:01", "12:02")], None),
    Case("a longer interval leaves no gap in the chain", "12:01", [("12:01", "12:05")], None),
    Case("one is missing", "12:00", [("12:00", "12:01"), ("12:02", "12:03")], "12:03"),
    Case("the first does not follow the last one seen", "11:58", [("12:00", "12:01")], "12:01"),
    Case("one is there twice", "12:00", [("12:00", "12:01"), ("12:00", "12:01")], "12:01"),
    Case("a chain restarts in the middle", "12:00", [("12:00", "12:01"), (None, "12:02")], "12:02"),
    Case("a chain without its beginning", None, [("12:00", "12:01")], "12:01"),
    Case("a tick goes back, though it names the one before it", "12:02", [("12:02", "12:01")], "12:01"),
    Case("a tick names itself", "12:01", [("12:01", "12:01")], "12:01"),
    Case("only the first break counts", "12:00", [("11:00", "12:01"), ("11:00", "12:02")], "12:01"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_where_a_chain_breaks(case: Case) -> None:
    """The first tick that does not follow is the one that the row says, or there is none."""
    ticks = [Tick("checkins", at(time), maybe_at(previous), 60_000, at(time)) for previous, time in case.ticks]

    broken = first_chain_break(maybe_at(case.last), ticks)

    assert (None if broken is None else broken.at_ms) == maybe_at(case.breaks_at)
