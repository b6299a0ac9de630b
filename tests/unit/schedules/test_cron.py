"""Cron expressions: the due times are those of Celery's own crontab, evaluated as beat does it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest
from celery.schedules import ParseException, crontab
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clocksvc.errors import InvalidValue
from clocksvc.schedules.cron import Cron, parse_cron, parse_timezone
from tests.unit.schedules.beat import CHANGES, YEAR_S, ZONES, runs_of_beat

pytestmark = pytest.mark.core

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """All forms that Celery's crontab allows, also ranges that wrap around."""
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(st.just("*") | span, st.integers(1, max(2, high // 2))).map(
        lambda parts: "/".join(map(str, parts))
    )
    return st.just("*") | st.lists(number.map(str) | span | stepped, min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(
    field(0, 59),
    field(0, 23) | field(0, 3),
    st.just("*") | field(1, 28),
    st.just("*") | field(1, 12),
    st.just("*") | field(0, 6) | st.sampled_from(["mon-fri", "sunday", "Sat,sun", "fri-mon"]),
).map(" ".join)


def due_times(cron: Cron, after_ms: int) -> Iterator[int]:
    """Each due time is computed from the one before it."""
    while True:
        after_ms = cron.next_after(after_ms)
        yield after_ms


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    """A zone and a time; most times are near a change of clocks of the zone."""
    zone = draw(st.sampled_from(ZONES))
    changes, near = CHANGES[zone], draw(st.integers(0, 3)) > 0
    if changes and near:
        return zone, changes[draw(st.integers(0, len(changes) - 1))] + draw(st.integers(-180, 180)) * MINUTE_MS
    return zone, YEAR_S * 1000 + draw(st.integers(0, 365 * 1440)) * MINUTE_MS


@settings(max_examples=120)
@given(EXPRESSIONS, moments(), st.integers(0, 59_999))
@example("*/7 * * * *", ("Europe/Berlin", 1_774_746_000_000), 0)
@example("30 2 * * *", ("Europe/Berlin", 1_774_746_000_000), 0)
@example("0,10 2 * * *", ("Europe/Berlin", 1_792_890_000_000), 0)
def test_due_times_are_those_of_celery(expression: str, moment: tuple[str, int], within_ms: int) -> None:
    """From any time on, also within a repeated hour, the next due times are those of a beat that has never stopped."""
    zone, start_ms = moment
    start_ms += within_ms
    beat = runs_of_beat(crontab.from_string(expression), zone, start_ms - 7 * HOUR_MS)
    expected = list(islice((run for run in beat if run > start_ms), 50))

    assert list(islice(due_times(parse_cron(expression, zone), start_ms), 50)) == expected
    for after_ms in expected[:3]:  # asked again, by an object that has computed nothing before
        assert parse_cron.__wrapped__(expression, zone).next_after(after_ms - 1) == after_ms


@pytest.mark.parametrize(
    "expression",
    ["60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "* * * * funday", "5/15 * * * *", ", * * * *",
     "1- * * * *", "*/0 * * * *", "0 0 31 2,4 *"],
)  # fmt: skip
def test_what_celery_rejects_is_rejected(expression: str) -> None:
    """The error has the field, the value and what is wanted."""
    with pytest.raises((ValueError, ParseException)):
        crontab.from_string(expression)
    with pytest.raises(InvalidValue) as raised:
        parse_cron(expression, "UTC")

    assert raised.value.field == "cron"
    assert raised.value.value == expression


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("@daily", "wanted five fields with one space between"),
        ("0 0 * * * *", "wanted five fields"),
        ("0  0 * * *", "wanted five fields"),
        ("0 24 * * *", "'24' is no hour: wanted 0 to 23"),
        ("x * * * *", "'x' is no minute: wanted *, a number, a name, or a range"),
        ("0 0 30 feb *", "no month of 'feb' has a day of '30'"),
    ],
)
def test_errors_say_what_is_wanted(expression: str, wanted: str) -> None:
    """The wrong term is named."""
    with pytest.raises(InvalidValue, match=re.escape(wanted)):
        parse_cron(expression, "UTC")


@pytest.mark.parametrize("name", ["Europe/Bielefeld", "", "CEST+1", "../etc/passwd", 7])
def test_time_zones_are_of_the_iana_database(name: str) -> None:
    """Others are rejected."""
    with pytest.raises(InvalidValue, match=r"timezone: .* wanted a time zone of the IANA database"):
        parse_timezone(name)


def test_a_rare_date_is_found_and_the_calendar_ends() -> None:
    """29 February on a Monday comes each 28 years; the last year is 9998."""
    rare = parse_cron("0 12 29 2 mon", "UTC")

    assert datetime.fromtimestamp(rare.next_after(1_795_348_800_000) / 1000, UTC).isoformat() == (
        "2044-02-29T12:00:00+00:00"
    )
    last_ms = int(datetime(9998, 12, 30, tzinfo=UTC).timestamp()) * 1000
    assert rare.next_after(last_ms) > last_ms
