"""Times of one day as people write them, for tables of cases. Shares no code with the package."""

import calendar
import re

_MIDNIGHT_MS = calendar.timegm((2026, 11, 22, 0, 0, 0)) * 1000
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d\d\d))?)?")


def at(text: str) -> int:
    """Milliseconds since the epoch of `12:00`, `12:00:05` or `12:00:05.250` on 22 November 2026, UTC."""
    match = _TIME.fullmatch(text)
    assert match is not None, f"{text!r} is no time of day"
    hours, minutes, seconds, millis = (int(part or 0) for part in match.groups())
    return _MIDNIGHT_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis


def maybe_at(text: str | None) -> int | None:
    """The same; None for None."""
    return None if text is None else at(text)
