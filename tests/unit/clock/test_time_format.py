"""Timestamps as people write them."""

import calendar
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import InvalidValue
from tests.unit.clock.times import at

pytestmark = pytest.mark.core

END_OF_9999_MS = calendar.timegm((9999, 12, 31, 23, 59, 59)) * 1000 + 999
MOMENTS = st.integers(0, END_OF_9999_MS)


class Read(NamedTuple):
    """A time as written, and its milliseconds."""

    why: str
    value: str | int | float | datetime
    expected_ms: int


READ = [
    Read("the form that clocksvc writes", "2026-11-22T12:00:35Z", at("12:00:35")),
    Read("milliseconds where they are not zero", "2026-11-22T12:00:35.250Z", at("12:00:35.250")),
    Read("one digit of a fraction is tenths", "2026-11-22T12:00:35.5Z", at("12:00:35.500")),
    Read("nanoseconds are cut, not rounded up into the future", "2026-11-22T12:00:35.249999999Z", at("12:00:35.249")),
    Read("an offset is taken off", "2026-11-22T14:00:35+02:00", at("12:00:35")),
    Read("an offset can be west", "2026-11-22T06:30:35-05:30", at("12:00:35")),
    Read("RFC 3339 allows small letters", "2026-11-22t12:00:35z", at("12:00:35")),
    Read("RFC 3339 allows a blank between date and time", "2026-11-22 12:00:35Z", at("12:00:35")),
    Read("blanks around it are a paste", " 2026-11-22T12:00:35Z\n", at("12:00:35")),
    Read("epoch seconds as a number", at("12:00:35") // 1000, at("12:00:35")),
    Read("epoch seconds as text, as in an address", str(at("12:00:35") // 1000), at("12:00:35")),
    Read("epoch seconds can have a fraction", at("12:00:35") / 1000 + 0.25, at("12:00:35.250")),
    Read("zero is the epoch, which is where a stream begins before the first tick", 0, 0),
    Read("10^11 seconds are still seconds", 10**11, 10**14),
]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.why)
def test_what_is_read(case: Read) -> None:
    """The value means the milliseconds that the row says."""
    assert parse_timestamp("until", case.value) == case.expected_ms


ROUNDED_UP = [
    Read("whole milliseconds stay", "2026-11-22T12:00:35.249Z", at("12:00:35.249")),
    Read("zeros below a millisecond are none", "2026-11-22T12:00:35.249000000Z", at("12:00:35.249")),
    Read("microseconds give the next millisecond", "2026-11-22T12:00:35.249001Z", at("12:00:35.250")),
    Read("so do nanoseconds", "2026-11-22T12:00:35.249000001Z", at("12:00:35.250")),
    Read("epoch seconds as text", f"{at('12:00:35') // 1000}.2490001", at("12:00:35.250")),
    Read("epoch seconds as text, whole milliseconds", f"{at('12:00:35') // 1000}.249", at("12:00:35.249")),
    Read("more digits than a float has", f"{at('12:00:35') // 1000}.{'0' * 60}1", at("12:00:35.001")),
    Read("epoch seconds as a number", at("12:00:35") / 1000 + 0.0625, at("12:00:35.063")),
    Read("a number that a float can't hold exactly stays", at("12:00:35.249") / 1000, at("12:00:35.249")),
    Read("the smallest number above the epoch", 1e-300, 1),
    Read("a number below every float", "1e-999999999999999999999", 1),
    Read("the epoch itself", "0", 0),
    Read("digit groups, as float() accepts them", "1_795_348_835", 1_795_348_835_000),
    Read("a datetime with microseconds", datetime(2026, 11, 22, 12, 0, 35, 249_001, UTC), at("12:00:35.250")),
    Read("a datetime of whole milliseconds", datetime(2026, 11, 22, 12, 0, 35, 249_000, UTC), at("12:00:35.249")),
]


@pytest.mark.parametrize("case", ROUNDED_UP, ids=lambda case: case.why)
def test_round_up(case: Read) -> None:
    """A fraction of a millisecond gives the next one."""
    assert parse_timestamp("until", case.value, round_up=True) == case.expected_ms


@given(st.decimals(0, 10**11, allow_nan=False, places=9))
def test_rounded_up_is_the_first_millisecond_at_or_after(seconds: Decimal) -> None:
    """As text: exact, with as many digits as given."""
    timestamp_ms = parse_timestamp("until", str(seconds), round_up=True)

    assert timestamp_ms - 1 < seconds * 1000 <= timestamp_ms


class Refused(NamedTuple):
    """A time as written, and a part of the error."""

    why: str
    value: str | int | float
    message: str


REFUSED = [
    Refused("a time without an offset is a guess", "2026-11-22T12:00:35", "RFC 3339 with an offset"),
    Refused("a date is no time", "2026-11-22", "RFC 3339 with an offset"),
    Refused("the basic form of ISO 8601 is not RFC 3339", "20261122T120035.000Z", "RFC 3339 with an offset"),
    Refused("a week is not RFC 3339", "2026-W47-7T12:00:35Z", "RFC 3339 with an offset"),
    Refused("an offset has a colon", "2026-11-22T12:00:35+0200", "RFC 3339 with an offset"),
    Refused("seconds are not optional", "2026-11-22T12:00+00:00", "RFC 3339 with an offset"),
    Refused("there is no 25th hour", "2026-11-22T25:00:00Z", "RFC 3339 with an offset"),
    Refused("there is no 31st of November", "2026-11-31T12:00:00Z", "RFC 3339 with an offset"),
    Refused("words are no time", "noon", "RFC 3339 with an offset"),
    Refused("nothing is no time", "", "RFC 3339 with an offset"),
    Refused("before the epoch there are no boundaries", "1969-12-31T23:59:59Z", "from 1970 to 9999"),
    Refused("an offset can reach below the epoch too", "1970-01-01T00:00:00+01:00", "from 1970 to 9999"),
    Refused("an offset can reach above what can be written", "9999-12-31T23:00:00-01:00", "from 1970 to 9999"),
    Refused("negative seconds are before the epoch", -1, "zero or more"),
    Refused("negative seconds as text too", "-1", "zero or more"),
    Refused("not a number is no time", float("nan"), "zero or more"),
    Refused("infinity is no time", "inf", "zero or more"),
    Refused("milliseconds given for seconds would be the year 58863", at("12:00"), "looks like milliseconds"),
    Refused("the same as text", str(at("12:00")), "looks like milliseconds"),
    Refused("the first number that looks like milliseconds", 10**11 + 1, "looks like milliseconds"),
    Refused("a number too large for a float is refused like any other", 10**400, "looks like milliseconds"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.why)
def test_what_is_refused(case: Refused) -> None:
    """The message names the field and the value, and says what would be right."""
    with pytest.raises(InvalidValue, match=case.message) as caught:
        parse_timestamp("until", case.value)

    assert str(caught.value).startswith(f"until: {case.value!r} is not valid: ")


@given(MOMENTS)
def test_what_is_written_is_what_the_calendar_says(timestamp_ms: int) -> None:
    """The text is the C library's calendar in UTC, with milliseconds only where they are not zero."""
    seconds, millis = divmod(timestamp_ms, 1000)
    fraction = f".{millis:03}" if millis else ""

    assert to_rfc3339(timestamp_ms) == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


@given(MOMENTS)
def test_what_is_written_is_read_as_the_same(timestamp_ms: int) -> None:
    """To text and back is the same millisecond."""
    assert parse_timestamp("time", to_rfc3339(timestamp_ms)) == timestamp_ms


@given(seconds=st.integers(86_400, 10**10), minutes=st.integers(-23 * 60, 23 * 60))
def test_an_offset_names_the_same_moment(seconds: int, minutes: int) -> None:
    """A wall clock that is so many minutes ahead of UTC shows the same moment."""
    wall = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds + 60 * minutes))
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"

    assert parse_timestamp("time", f"{wall}{sign}{hours:02}:{rest:02}") == seconds * 1000


@given(st.integers(0, 10**11))
def test_epoch_seconds_are_read_alike_as_number_and_as_text(seconds: int) -> None:
    """Whether a client sends JSON or an address makes no difference."""
    assert parse_timestamp("time", seconds) == parse_timestamp("time", str(seconds)) == seconds * 1000
