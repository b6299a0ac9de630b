"""Turns Celery schedules into recurrences. They use Celery's own arithmetic with the time of a clock."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from celery.schedules import BaseSchedule, crontab, schedule

from clocksvc.clock import boundary
from clocksvc.errors import InvalidValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000


def recurrence_of(entry: str, given: Any, interval_ms: int) -> "CrontabRecurrence | IntervalRecurrence":
    """Return the recurrence of a beat entry's schedule.

    Args:
        entry: the entry's name, for errors.
        given: the entry's `schedule`.
        interval_ms: the interval of the clock.

    Raises:
        InvalidValue: the schedule is neither a crontab nor a multiple of the clock's interval.
    """
    field = f"beat_schedule[{entry!r}]"
    if isinstance(given, crontab):
        return CrontabRecurrence(given)
    if type(given) is not schedule:
        raise InvalidValue(
            field, given, "wanted a crontab or an interval, because other schedules can't follow a clock"
        )
    every_ms = given.run_every // _MS
    if every_ms < 1 or every_ms % interval_ms or given.run_every % _MS:
        wanted = f"wanted a multiple of the clock's interval, {interval_ms / 1000:g} s"
        raise InvalidValue(field, f"{given.run_every.total_seconds():g} s", wanted)
    return IntervalRecurrence(every_ms)


class IntervalRecurrence:
    """Is due at each multiple of an interval since the epoch, like ticks."""

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        return iter(range(boundary.next_boundary(after_ms, self._every_ms), upto_ms + 1, self._every_ms))

    def fingerprint(self) -> str:
        return f"every {self._every_ms} ms"


class CrontabRecurrence:
    """Is due at the times of a crontab, in the time zone of the crontab.

    The due times are the same as those of a beat that has never stopped. Celery computes each run from the previous
    run. This matters at a change of daylight saving time: a repeated hour counts once, and a run in a skipped hour is
    due an hour later. So the computation begins at least a day before the requested time, and not near such a change.
    """

    def __init__(self, cron: BaseSchedule) -> None:
        self._zone: tzinfo = cron.tz
        self._fingerprint = f"{cron!r} {getattr(self._zone, 'key', None) or self._zone}"
        self._cron = copy.copy(cron)
        self._cron.app = cron.app  # the copy of a crontab has no app
        self._now = _EPOCH
        self._cron.nowfun = lambda: self._now
        self._computed_upto_ms = -1
        self._last_run_ms = self._next_run_ms = 0

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        if after_ms != self._computed_upto_ms:
            self._set_last_run(self._start_before(after_ms))
        found = []
        while self._next_run_ms <= upto_ms:
            self._set_last_run(self._next_run_ms)
            if self._last_run_ms > after_ms:
                found.append(self._last_run_ms)
        self._computed_upto_ms = upto_ms
        return iter(found)

    def fingerprint(self) -> str:
        return self._fingerprint

    def _set_last_run(self, run_ms: int) -> None:
        # Celery's arithmetic is slow, so the next run is computed once per run and not at each tick.
        self._last_run_ms, self._next_run_ms = run_ms, self._run_after(run_ms)

    def _run_after(self, last_ms: int) -> int:
        self._now = _EPOCH + last_ms * _MS
        next_ms = last_ms + self._cron.remaining_estimate(self._now) // _MS
        return int(next_ms) if next_ms > last_ms else boundary.next_boundary(last_ms, _MINUTE_MS)

    def _start_before(self, timestamp_ms: int) -> int:
        """Return a time at least 25 hours before `timestamp_ms` whose UTC offset does not change within 4 hours."""
        start_ms = timestamp_ms - 25 * _HOUR_MS
        while self._utc_offset(start_ms - 4 * _HOUR_MS) != self._utc_offset(start_ms + 4 * _HOUR_MS):
            start_ms -= 6 * _HOUR_MS
        return start_ms

    def _utc_offset(self, timestamp_ms: int) -> timedelta | None:
        return (_EPOCH + timestamp_ms * _MS).astimezone(self._zone).utcoffset()
