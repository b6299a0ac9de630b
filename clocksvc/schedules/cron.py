"""Cron expressions with Celery's rules: the due times are those of a beat that has never stopped.

Celery computes each due time from the one before it, in the wall time of a zone. At a change of clocks, a repeated hour
counts once, and a due time in a skipped hour is due an hour later, once, with the ones that would come before it.
"""

import re
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from clocksvc.clock import boundary
from clocksvc.errors import InvalidValue

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
_LONGEST_CHANGE_MS = 25 * HOUR_MS
"""No zone moves its clocks further. The largest change was a day, when Samoa crossed the date line."""
_LAST_DAY = date(9998, 12, 31).toordinal()
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # wall time
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_MS = timedelta(milliseconds=1)
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NAMES = {
    **{name[:length]: number for number, name in enumerate(_DAYS) for length in (3, len(name))},
    **{name[:length]: number for number, name in enumerate(_MONTHS, 1) for length in (3, len(name))},
}
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 6),
)
_TERM = re.compile(r"(?:\*|(\w{1,12})(?:-(\w{1,12}))?)(?:/(\d{1,4}))?", re.ASCII)
_WANTED = (
    "wanted five fields with one space between: minute hour day-of-month month day-of-week, such as 30 2 * * mon-fri"
)


@lru_cache(maxsize=65_536)
def parse_cron(expression: str, timezone: str) -> "Cron":
    """Return a cron expression in a time zone. Equal arguments give the same object.

    Args:
        expression: minute, hour, day of the month, month and day of the week (0 to 6 from Sunday), as in Celery's
            `crontab.from_string`. A time must match all five.
        timezone: a name from the IANA database, such as `Europe/Berlin`.

    Raises:
        InvalidValue: one of them is not valid, or no date can match. Its field is `cron` or `timezone`.
    """
    texts = expression.split(" ") if isinstance(expression, str) else []
    if len(texts) != len(_FIELDS):
        raise InvalidValue("cron", expression, _WANTED)
    minutes, hours, days, months, weekdays = (
        parse_field(expression, text, *field) for text, field in zip(texts, _FIELDS, strict=True)
    )
    if not any(day <= _LONGEST_MONTHS[month - 1] for month in months for day in days):
        raise InvalidValue("cron", expression, f"no month of {texts[3]!r} has a day of {texts[2]!r}")
    return Cron(minutes, hours, days, months, weekdays, parse_timezone(timezone))


@lru_cache(maxsize=1_024)
def parse_timezone(name: str) -> tzinfo:
    """Return a time zone of the IANA database. Raises InvalidValue."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, TypeError, OSError, LookupError):
        wanted = "wanted a time zone of the IANA database, such as Europe/Berlin or UTC"
        raise InvalidValue("timezone", name, wanted) from None


def parse_field(expression: str, text: str, name: str, low: int, high: int) -> tuple[int, ...]:
    found: set[int] = set()
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        first, last = (
            (low, high) if match is None or match[1] is None else (parse_number(match[1]), parse_number(match[2]))
        )
        step = 1 if match is None or match[3] is None else int(match[3])
        only = match is not None and match[1] is not None and match[2] is None
        if only:
            last = first
        if match is None or first is None or last is None or step < 1 or (only and match[3]):
            wanted = "wanted *, a number, a name, or a range, with commas between; * or a range can have a step"
            raise InvalidValue("cron", expression, f"{term!r} is no {name}: {wanted}, such as 1,5 or */15 or 8-18/2")
        for number in (first, last):
            if not low <= number <= high:
                raise InvalidValue("cron", expression, f"{term!r} is no {name}: wanted {low} to {high}")
        numbers = [*range(first, last + 1)] if first <= last else [*range(first, high + 1), *range(low, last + 1)]
        found.update(numbers[::step])
    return tuple(sorted(found))


def parse_number(text: str | None) -> int | None:
    """Return a number, or that of the name of a month or day; None if it is neither."""
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    return _NAMES.get(text.lower())


class Cron:
    """The due times of one cron expression in one time zone. Equal expressions share one object, so it remembers.

    All arguments are ascending and not empty; `weekdays` are 0 to 6 from Sunday.
    """

    __slots__ = ("_after_ms", "_days", "_hours", "_minutes", "_months", "_next_ms", "_weekdays", "_zone")

    def __init__(
        self,
        minutes: tuple[int, ...],
        hours: tuple[int, ...],
        days: tuple[int, ...],
        months: tuple[int, ...],
        weekdays: tuple[int, ...],
        zone: tzinfo,
    ) -> None:
        self._minutes, self._hours, self._zone = minutes, hours, zone
        self._days, self._months, self._weekdays = frozenset(days), frozenset(months), frozenset(weekdays)
        self._after_ms = self._next_ms = -1

    def next_after(self, after_ms: int) -> int:
        """Return the first due time after a time. All times are in ms since the epoch.

        A date that comes at most once in centuries, such as Monday, 29 February, can be years ahead. After the year
        9998, the end of the calendar is returned.
        """
        if not self._after_ms <= after_ms < self._next_ms:
            self._next_ms = self._compute(after_ms)
            self._after_ms = after_ms
        return self._next_ms

    def _compute(self, after_ms: int) -> int:
        quiet_ms = _quiet_offset(self._zone, after_ms // DAY_MS)
        if quiet_ms is not None:
            return self._to_utc(self._next_match(after_ms, quiet_ms), quiet_ms)
        offset_ms = _offset(self._zone, after_ms)
        run_ms = self._run_before_change(after_ms, offset_ms)
        if run_ms is None:
            return self._to_utc(self._next_match(after_ms, offset_ms), offset_ms)
        while run_ms <= after_ms:
            offset_ms = _offset(self._zone, run_ms)
            next_ms = self._to_utc(self._next_match(run_ms, offset_ms), offset_ms)
            run_ms = next_ms if next_ms > run_ms else boundary.next_boundary(run_ms, MINUTE_MS)
        return run_ms

    def _run_before_change(self, after_ms: int, offset_ms: int) -> int | None:
        """Return the last ms before a change of clocks from which due times up to `after_ms` depend; None without one.

        In the repeated or the skipped hour and the same time after it, a due time depends on those before it.
        """
        low, high = after_ms - _LONGEST_CHANGE_MS, after_ms
        before_ms = _offset(self._zone, low)
        if before_ms == offset_ms:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(self._zone, middle) == before_ms:
                low = middle
            else:
                high = middle
        return low if after_ms < high + abs(offset_ms - before_ms) else None

    def _next_match(self, after_ms: int, offset_ms: int) -> int:
        """Return the first wall time that matches, in a minute after that of `after_ms`, in ms."""
        day, of_day_ms = divmod(after_ms + offset_ms, DAY_MS)
        hour, minute = divmod(of_day_ms // MINUTE_MS, 60)
        if self._matches_day(day):
            if hour in self._hours:
                index = bisect_right(self._minutes, minute)
                if index < len(self._minutes):
                    return day * DAY_MS + hour * HOUR_MS + self._minutes[index] * MINUTE_MS
            index = bisect_right(self._hours, hour)
            if index < len(self._hours):
                return day * DAY_MS + self._hours[index] * HOUR_MS + self._minutes[0] * MINUTE_MS
        return self._next_day(day) * DAY_MS + self._hours[0] * HOUR_MS + self._minutes[0] * MINUTE_MS

    def _matches_day(self, day: int) -> bool:
        if (day + 4) % 7 not in self._weekdays:  # 1 January 1970 was a Thursday
            return False
        found = date.fromordinal(day + _EPOCH_DAY)
        return found.day in self._days and found.month in self._months

    def _next_day(self, day: int) -> int:
        last = _LAST_DAY - _EPOCH_DAY
        day += 1
        while day < last and not self._matches_day(day):
            found = date.fromordinal(day + _EPOCH_DAY)
            if found.month in self._months:
                day += 1
            else:
                day += 32 - found.day
                day -= date.fromordinal(day + _EPOCH_DAY).day - 1
        return min(day, last)

    def _to_utc(self, wall_ms: int, likely_offset_ms: int) -> int:
        """Return the time of a wall time: of a repeated one the first, of a skipped one as if it existed."""
        likely_ms = wall_ms - likely_offset_ms
        if _quiet_offset(self._zone, likely_ms // DAY_MS) == likely_offset_ms:
            return likely_ms
        offset = (_EPOCH + timedelta(milliseconds=wall_ms)).replace(tzinfo=self._zone).utcoffset()
        return wall_ms - (offset or timedelta()) // _MS


def _offset(zone: tzinfo, timestamp_ms: int) -> int:
    offset = (_EPOCH_UTC + timedelta(milliseconds=timestamp_ms)).astimezone(zone).utcoffset()
    return (offset or timedelta()) // _MS


@lru_cache(maxsize=65_536)
def _quiet_offset(zone: tzinfo, day: int) -> int | None:
    """Return a zone's offset on a day of UTC; None if it changes on this day, on the one before or the one after."""
    offsets = {_offset(zone, (day + days) * DAY_MS) for days in (-2, -1, 0, 1, 2)}
    return offsets.pop() if len(offsets) == 1 else None
