"""Timestamps as people write them: RFC 3339 in UTC, or epoch seconds; inside, whole milliseconds since the epoch."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from clocksvc.errors import InvalidValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOOKS_LIKE_MILLISECONDS = 10**11
_LAST_MS = 253_402_300_799_999
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
"""`fromisoformat` alone takes more than RFC 3339: weeks, no separators, any letter between date and time."""


@lru_cache(maxsize=4_096)  # a catch-up writes each time up to four times
def to_rfc3339(timestamp_ms: int) -> str:
    """`2026-11-22T12:00:35Z`, with milliseconds only where they are not zero."""
    moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
    spec = "milliseconds" if timestamp_ms % 1000 else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def parse_timestamp(field: str, value: str | int | float) -> int:
    """Milliseconds since the epoch from RFC 3339 with an offset, or epoch seconds.

    Raises:
        InvalidValue: names `field`; also for epoch seconds above 10^11, which look like milliseconds.
    """
    if not isinstance(value, str):
        return _from_epoch_seconds(field, value, value)
    text = value.strip()
    try:
        number = float(text)
    except ValueError:
        return _parse_rfc3339(field, text)
    return _from_epoch_seconds(field, value, number)


def _parse_rfc3339(field: str, text: str) -> int:
    wanted = "wanted RFC 3339 with an offset, such as 2026-11-22T12:00:00Z, or epoch seconds"
    if not _RFC3339.fullmatch(text.upper()):
        raise InvalidValue(field, text, wanted)
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise InvalidValue(field, text, wanted) from None
    timestamp_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= timestamp_ms <= _LAST_MS:
        raise InvalidValue(field, text, "wanted a time from 1970 to 9999")
    return timestamp_ms


def _from_epoch_seconds(field: str, value: object, number: float) -> int:
    if not 0 <= number < float("inf"):
        raise InvalidValue(field, value, "wanted epoch seconds, zero or more")
    if number > _LOOKS_LIKE_MILLISECONDS:
        raise InvalidValue(field, value, "looks like milliseconds: wanted epoch seconds")
    return round(number * 1000)
