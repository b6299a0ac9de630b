"""Durations as people write them: `60s`, `5m`, `1h`, `7d`, `500ms`, or a plain number of seconds.

Inside they are whole milliseconds. Must not know what may last how long.
"""

import re
from decimal import Decimal

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHAPE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)?")
_LONGEST_MS = 3650 * _UNITS_MS["d"]
_WANTED = "wanted a duration of at most 3650d such as 60s, 5m, 1h or 7d, or a number of seconds"


def parse_duration(value: object) -> int:
    """Milliseconds.

    Raises:
        ValueError: says what is wanted, not the value.
    """
    match = None if isinstance(value, bool) else _SHAPE.fullmatch(_as_text(value))
    if match is None:
        raise ValueError(_WANTED)
    duration_ms = Decimal(match[1]) * _UNITS_MS[match[2] or "s"]
    if duration_ms > _LONGEST_MS:
        raise ValueError(_WANTED)
    if duration_ms % 1:
        raise ValueError("wanted whole milliseconds")
    return int(duration_ms)


def parse_whole_seconds(value: object) -> int:
    """Like `parse_duration`, for what can't be finer than a second."""
    duration_ms = parse_duration(value)
    if duration_ms % 1000:
        raise ValueError("wanted whole seconds")
    return duration_ms


def _as_text(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return ""
    return str(value).strip() if isinstance(value, str | int | float) else ""
