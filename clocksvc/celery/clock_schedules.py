"""A Celery schedule by a clock's time: Celery's own arithmetic, asked with the clock's time instead of now."""

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


class CrontabDue:
    """The due times of a crontab in its own time zone, as a beat has them that has been running all along: a Schedule.

    Celery works out each run from the one before it. Where the clocks change that matters: of a repeated hour only the
    first pass counts, and what is due in an hour that does not exist is due an hour later. So runs are followed from
    some moment at least a day ago that is far from any change, however the ticks come.
    """

    def __init__(self, cron: BaseSchedule) -> None:
        self._zone: tzinfo = cron.tz
        self._words = f"{cron!r} {getattr(self._zone, 'key', None) or self._zone}"
        self._cron = copy.copy(cron)
        self._cron.app = cron.app  # a copy of a crontab has none
        self._now = _EPOCH
        self._cron.nowfun = lambda: self._now
        self._followed_to_ms = -1
        self._last_run_ms = self._next_ms = 0

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        if after_ms != self._followed_to_ms:
            self._run_at(self._quiet_moment(after_ms))
        found = []
        while self._next_ms <= upto_ms:
            self._run_at(self._next_ms)
            if self._last_run_ms > after_ms:
                found.append(self._last_run_ms)
        self._followed_to_ms = upto_ms
        return iter(found)

    def words(self) -> str:
        return self._words

    def _run_at(self, run_ms: int) -> None:
        # Celery's arithmetic is slow: the next run is worked out once for each run, not at each tick.
        self._last_run_ms, self._next_ms = run_ms, self._next(run_ms)

    def _next(self, last_ms: int) -> int:
        self._now = _EPOCH + last_ms * _MS
        next_ms = last_ms + self._cron.remaining_estimate(self._now) // _MS
        return int(next_ms) if next_ms > last_ms else boundary.next_boundary(last_ms, _MINUTE_MS)

    def _quiet_moment(self, before_ms: int) -> int:
        moment_ms = before_ms - 25 * _HOUR_MS
        while self._offset(moment_ms - 4 * _HOUR_MS) != self._offset(moment_ms + 4 * _HOUR_MS):
            moment_ms -= 6 * _HOUR_MS
        return moment_ms

    def _offset(self, timestamp_ms: int) -> timedelta | None:
        return (_EPOCH + timestamp_ms * _MS).astimezone(self._zone).utcoffset()


class IntervalDue:
    """Due on each multiple of an interval since the epoch, as ticks are: a Schedule."""

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        return iter(range(boundary.next_boundary(after_ms, self._every_ms), upto_ms + 1, self._every_ms))

    def words(self) -> str:
        return f"every {self._every_ms} ms"


def by_the_clock(entry: str, given: Any, interval_ms: int) -> CrontabDue | IntervalDue:
    """What an entry's Celery schedule is by a clock with this interval.

    Raises:
        InvalidValue: names the entry; a schedule that can't go by a clock.
    """
    field = f"beat_schedule[{entry!r}]"
    if isinstance(given, crontab):
        return CrontabDue(given)
    if type(given) is not schedule:
        raise InvalidValue(field, given, "wanted a crontab or an interval: nothing else can go by a clock")
    every_ms = given.run_every // _MS
    if every_ms < 1 or every_ms % interval_ms or given.run_every % _MS:
        wanted = f"wanted a multiple of the clock's interval, {interval_ms / 1000:g} s"
        raise InvalidValue(field, f"{given.run_every.total_seconds():g} s", wanted)
    return IntervalDue(every_ms)
