"""Recurrences of beat entries: the due times are those of Celery's own schedules, evaluated as beat does it."""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule

from clocksvc.celery.recurrence import CrontabRecurrence, IntervalRecurrence, recurrence_of
from clocksvc.errors import InvalidValue

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo")
MINUTE_MS = 60_000


class OtherSchedule(BaseSchedule):  # type: ignore[misc]  # Celery has no type annotations
    """A user's own schedule class; Celery has others too, such as `solar`."""


def moment(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def app_in(zone: str) -> Celery:
    app = Celery("due", set_as_current=False)
    app.conf.timezone = zone
    return app


def random_crontab(rng: random.Random, app: Celery) -> crontab:
    """Fields have all forms that crontab allows."""

    def field(low: int, high: int) -> str:
        kind = rng.randrange(4)
        if kind == 0:
            return "*"
        if kind == 1:
            return f"*/{rng.randrange(2, max(3, high // 2))}"
        if kind == 2:
            begin = rng.randrange(low, high)
            return f"{begin}-{rng.randrange(begin, high)}" if begin < high - 1 else str(begin)
        return ",".join(str(rng.randrange(low, high)) for _ in range(rng.randrange(1, 4)))

    return with_app(
        app,
        minute=field(0, 60),
        hour=field(0, 24),
        day_of_week=field(0, 7) if rng.random() < 0.3 else "*",
        day_of_month=field(1, 29) if rng.random() < 0.3 else "*",
        month_of_year=field(1, 13) if rng.random() < 0.2 else "*",
    )


def with_app(app: Celery, **fields: str) -> crontab:
    """As beat does: the app is set after construction."""
    cron = crontab(**fields)
    cron.app = app
    return cron


class Beat:
    """Evaluates Celery's own schedule as beat does, through `is_due`."""

    def __init__(self, cron: crontab) -> None:
        self._cron = cron
        self._now = datetime.now(UTC)
        self._cron.nowfun = lambda: self._now

    def runs(self, since_ms: int, until_ms: int) -> list[int]:
        """When a beat that was started at `since_ms` sends, if it is never delayed."""
        found, last_ms, now_ms = [], since_ms, since_ms
        while now_ms <= until_ms:
            self._now = moment(now_ms)
            answer = self._cron.is_due(moment(last_ms))
            if answer.is_due and now_ms > last_ms:
                found.append(now_ms)
                last_ms = now_ms
            now_ms += max(1_000, math.ceil(answer.next * 1000))
        return found


def quiet_day_before(start_ms: int, zone: str) -> int:
    """Noon of a day at least two days earlier, without a change of daylight saving time near it."""
    day = datetime.fromtimestamp(start_ms / 1000, ZoneInfo(zone)).replace(hour=12, minute=0) - timedelta(days=2)
    while (day - timedelta(days=1)).utcoffset() != (day + timedelta(days=1)).utcoffset():
        day -= timedelta(days=1)
    return int(day.timestamp()) // 60 * MINUTE_MS


def random_start(rng: random.Random, zone: str) -> int:
    """A random minute; in one of three cases within a day of a change of daylight saving time."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(365 * 1440))
    if rng.random() < 1 / 3:
        day = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
        changes = [n for n in range(365) if (day + timedelta(n)).utcoffset() != (day + timedelta(n + 1)).utcoffset()]
        if changes:
            at = (day + timedelta(rng.choice(changes))).astimezone(UTC) + timedelta(minutes=rng.randrange(240))
    return int(at.timestamp()) // 60 * MINUTE_MS


@pytest.mark.parametrize("first", range(0, 1_000, 250))
def test_due_times_are_those_of_celery(first: int) -> None:
    """For 1,000 random crontabs and time zones, also near changes of daylight saving time."""
    compared = 0
    for seed in range(first, first + 250):
        rng = random.Random(seed)
        zone = rng.choice(ZONES)
        app = app_in(zone)
        cron, start_ms = random_crontab(rng, app), random_start(rng, zone)
        due = CrontabRecurrence(cron)

        until_ms = start_ms + rng.choice([1, 1, 2]) * 1_440 * MINUTE_MS
        actual = list(due.due(start_ms, until_ms))
        expected = [at_ms for at_ms in Beat(cron).runs(quiet_day_before(start_ms, zone), until_ms) if at_ms > start_ms]
        assert actual == expected, f"seed {seed}: {cron!r} in {zone} from {moment(start_ms)}"
        compared += 1 + len(actual)
    assert compared > 1_000


@pytest.mark.parametrize("begin", ["2026-06-01T00:00:00", "2026-03-28T22:00:00", "2026-10-24T22:00:00"])
def test_due_times_do_not_depend_on_the_steps(begin: str) -> None:
    """One call or many, with restarts in between, also near changes of daylight saving time."""
    start_ms = int(datetime.fromisoformat(f"{begin}+00:00").timestamp() * 1000)
    at_once = list(_every_seven_minutes().due(start_ms, start_ms + 600 * MINUTE_MS))

    due = _every_seven_minutes()
    in_steps: list[int] = []
    for minute in range(600):
        if minute % 50 == 0:
            due = _every_seven_minutes()
        in_steps += due.due(start_ms + minute * MINUTE_MS, start_ms + (minute + 1) * MINUTE_MS)

    assert in_steps == at_once
    assert len(at_once) > 60


def _every_seven_minutes() -> CrontabRecurrence:
    return CrontabRecurrence(with_app(app_in("Europe/Berlin"), minute="*/7"))


def test_an_interval_is_due_at_its_multiples() -> None:
    """Since the epoch, as ticks are."""
    assert list(IntervalRecurrence(300_000).due(300_000, 900_000)) == [600_000, 900_000]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (schedule(timedelta(seconds=90)), "wanted a multiple of the clock's interval, 60 s"),
        (schedule(timedelta(seconds=0)), "wanted a multiple of the clock's interval, 60 s"),
        (schedule(timedelta(microseconds=60_000_001)), "wanted a multiple of the clock's interval, 60 s"),
        (OtherSchedule(), "wanted a crontab or an interval"),
    ],
)
def test_other_schedules_are_rejected(given: Any, wanted: str) -> None:
    """The error names the entry and says what is allowed."""
    with pytest.raises(InvalidValue) as raised:
        recurrence_of("bills", given, MINUTE_MS)

    assert "beat_schedule['bills']" in str(raised.value)
    assert wanted in str(raised.value)


def test_the_fingerprint_depends_on_schedule_and_zone() -> None:
    """So a changed entry is a new schedule."""
    fingerprints = [
        recurrence_of("e", with_app(app_in(zone), minute=minute), MINUTE_MS).fingerprint()
        for minute, zone in [("1", "UTC"), ("1", "UTC"), ("2", "UTC"), ("1", "Europe/Berlin")]
    ]

    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3
