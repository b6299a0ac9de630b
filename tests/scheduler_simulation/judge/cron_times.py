"""The times of a cron expression, by trying every minute of every day: slow and plain.

Only what the simulation writes is supported: `*`, `*/n`, numbers and lists of numbers.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
MINUTE = timedelta(minutes=1)


def cron_times(expression: str, timezone: str, after_ms: int, upto_ms: int) -> list[int]:
    """Return the due times after a time and up to another one, ascending, in ms.

    A wall time that comes twice counts the first time. One that does not exist is due an hour later, and once if
    another one is due then.
    """
    found: list[int] = []
    for day in range(after_ms // DAY_MS, upto_ms // DAY_MS + 1):
        found += [one for one in _of_day(expression, timezone, day) if after_ms < one <= upto_ms]
    return found


@lru_cache(maxsize=4_096)
def _of_day(expression: str, timezone: str, day: int) -> tuple[int, ...]:
    """Return the due times on one day of UTC."""
    zone = ZoneInfo(timezone)
    minutes, hours, days, months, weekdays = expression.split(" ")
    found = set()
    # Wall times differ from UTC by up to a day.
    wall = datetime(1970, 1, 1) + timedelta(days=day - 1)  # noqa: DTZ001  # wall time
    for _ in range(3 * 24 * 60):
        if (
            _matches(minutes, wall.minute, 0)
            and _matches(hours, wall.hour, 0)
            and _matches(days, wall.day, 1)
            and _matches(months, wall.month, 1)
            and _matches(weekdays, wall.isoweekday() % 7, 0)
        ):
            # fold=0 is the first of two, and an hour later if there is none: the offset is that of before the change.
            at_ms = (wall.replace(tzinfo=zone, fold=0) - EPOCH) // timedelta(milliseconds=1)
            if at_ms // DAY_MS == day:
                found.add(at_ms)
        wall += MINUTE
    return tuple(sorted(found))


def _matches(field: str, number: int, low: int) -> bool:
    if field == "*":
        return True
    if field.startswith("*/"):
        return (number - low) % int(field[2:]) == 0
    return number in map(int, field.split(","))
