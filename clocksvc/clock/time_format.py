"""Parses and formats times and durations as people write them. Elsewhere, both are whole milliseconds.

A time is RFC 3339 with an offset, or epoch seconds. A duration is `60s`, `5m`, `1h`, `7d`, `500ms`, or a number of
seconds.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Context, Decimal
from functools import lru_cache

from clocksvc.errors import InvalidValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LOOKS_LIKE_MILLISECONDS = 10**11
_LAST_MS = 253_402_300_799_999
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,3}(\d*))?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
"""`fromisoformat` alone accepts more than RFC 3339: weeks, no separators, any letter between date and time."""
_ROUND_UP = Context(prec=40, rounding=ROUND_CEILING)

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)?")
_LONGEST_MS = 3650 * _UNITS_MS["d"]
_WANTED_DURATION = "wanted a duration of at most 3650d such as 60s, 5m, 1h or 7d, or a number of seconds"


@lru_cache(maxsize=4_096)  # while a clock catches up, each time is formatted up to four times
def to_rfc3339(timestamp_ms: int) -> str:
    """Return a time such as `2026-11-22T12:00:35Z`. It includes milliseconds only if they are not zero."""
    moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
    spec = "milliseconds" if timestamp_ms % 1000 else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def time_to_wire(timestamp_ms: int | None) -> str | None:
    """Return a time as RFC 3339; None stays None."""
    return None if timestamp_ms is None else to_rfc3339(timestamp_ms)


def time_from_wire(field: str, value: str | None) -> int | None:
    """Return a time that `time_to_wire` has written. Raises InvalidValue."""
    return None if value is None else parse_timestamp(field, value)


def describe_duration(duration_ms: int) -> str:
    """Return a duration for people, in whole units: `45 s`, `20 min`, `5 h` or `20,780 d`."""
    for unit, shown in (("d", "d"), ("h", "h"), ("m", "min")):
        if duration_ms >= 2 * _UNITS_MS[unit]:
            return f"{duration_ms // _UNITS_MS[unit]:,} {shown}"
    return f"{duration_ms // 1000} s"


def parse_timestamp(field: str, value: str | int | float | datetime, *, round_up: bool = False) -> int:
    """Return a time as milliseconds since the epoch.

    Args:
        field: the name of the value, for errors.
        value: RFC 3339 with an offset, epoch seconds, or a datetime with a time zone.
        round_up: True rounds a fraction of a millisecond up. Use it for the end of a wait: if the time were rounded
            down, the wait would end too early.

    Raises:
        InvalidValue: the value is not valid, or is a number above 10^11, which looks like milliseconds. The error
            contains `field`.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidValue(field, value.isoformat(), "wanted a datetime with a time zone")
        return _from_datetime(field, value.isoformat(), value, round_up)
    if not isinstance(value, str):
        return _from_epoch_seconds(field, value, value, round_up)
    text = value.strip()
    try:
        number = float(text)
    except ValueError:
        return _parse_rfc3339(field, text, round_up)
    return _from_epoch_seconds(field, text, number, round_up)


def _parse_rfc3339(field: str, text: str, round_up: bool) -> int:
    wanted = "wanted RFC 3339 with an offset, such as 2026-11-22T12:00:00Z, or epoch seconds"
    match = _RFC3339.fullmatch(text.upper())
    if match is None:
        raise InvalidValue(field, text, wanted)
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise InvalidValue(field, text, wanted) from None
    below_ms = (match[1] or "").strip("0")  # a datetime drops digits below a microsecond
    return _from_datetime(field, text, moment, round_up, bool(below_ms))


def _from_datetime(field: str, text: str, moment: datetime, round_up: bool, below_ms: bool = False) -> int:
    timestamp_ms, rest = divmod(moment - _EPOCH, _MILLISECOND)
    if round_up and (rest or below_ms):
        timestamp_ms += 1
    if not 0 <= timestamp_ms <= _LAST_MS:
        raise InvalidValue(field, text, "wanted a time from 1970 to 9999")
    return timestamp_ms


def _from_epoch_seconds(field: str, value: str | int | float, number: float, round_up: bool) -> int:
    if not 0 <= number < float("inf"):
        raise InvalidValue(field, value, "wanted epoch seconds, zero or more")
    if number > _LOOKS_LIKE_MILLISECONDS:
        raise InvalidValue(field, value, "wanted epoch seconds, but this looks like milliseconds")
    if round_up:
        exact = _ROUND_UP.create_decimal(str(value).replace("_", ""))  # a context rejects the digit groups of float()
        return math.ceil(_ROUND_UP.multiply(exact, Decimal(1000)))
    return round(number * 1000)


def parse_duration(value: object) -> int:
    """Return the milliseconds of a duration.

    Raises:
        ValueError: the duration is not valid. The text contains what is wanted, but not the value.
    """
    match = None if isinstance(value, bool) else _DURATION.fullmatch(_duration_text(value))
    if match is None:
        raise ValueError(_WANTED_DURATION)
    duration_ms = Decimal(match[1]) * _UNITS_MS[match[2] or "s"]
    if duration_ms > _LONGEST_MS:
        raise ValueError(_WANTED_DURATION)
    if duration_ms % 1:
        raise ValueError("wanted whole milliseconds")
    return int(duration_ms)


def parse_whole_seconds(value: object) -> int:
    """Return the milliseconds of a duration that must be whole seconds.

    Raises:
        ValueError: the duration is not valid. The text contains what is wanted, but not the value.
    """
    duration_ms = parse_duration(value)
    if duration_ms % 1000:
        raise ValueError("wanted whole seconds")
    return duration_ms


def _duration_text(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return ""
    return str(value).strip() if isinstance(value, str | int | float) else ""
