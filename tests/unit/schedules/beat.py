"""The due times of Celery's crontab, in 20 time zones, as a beat that is never delayed has them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab

YEAR_S = 1_767_225_600
FOUR_HOURS = timedelta(hours=4)
ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow", "America/New_York"),
    *("America/Los_Angeles", "America/St_Johns", "America/Sao_Paulo", "America/Santiago", "America/Havana"),
    *("Africa/Cairo", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tokyo", "Asia/Beirut", "Australia/Sydney"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "Antarctica/Troll"),
)


def changes_of(zone: str) -> list[int]:
    """The changes of clocks in 2026, to the quarter of an hour, in ms."""
    info = ZoneInfo(zone)

    def differ(first_s: int, step_s: int) -> bool:
        offsets = {datetime.fromtimestamp(second, info).utcoffset() for second in (first_s, first_s + step_s)}
        return len(offsets) > 1

    days = range(YEAR_S, YEAR_S + 365 * 86_400, 86_400)
    quarters = [quarter for day in days if differ(day, 86_400) for quarter in range(day, day + 86_400, 900)]
    return [(quarter + 900) * 1000 for quarter in quarters if differ(quarter, 900)]


CHANGES = {zone: changes_of(zone) for zone in ZONES}
APPS = {zone: Celery(zone, set_as_current=False, changes={"timezone": zone}) for zone in ZONES}


def runs_of_beat(cron: crontab, zone: str, since_ms: int) -> Iterator[int]:
    """Each run is computed by Celery from the run before it. `since_ms` is not within 4 hours of a change of clocks."""
    info = ZoneInfo(zone)
    last = datetime.fromtimestamp(since_ms / 1000, UTC)
    while (last - FOUR_HOURS).astimezone(info).utcoffset() != (last + FOUR_HOURS).astimezone(info).utcoffset():
        last -= FOUR_HOURS
    cron.app = APPS[zone]
    cron.nowfun = lambda: last
    while True:
        last += cron.remaining_estimate(last)
        yield int(last.timestamp() * 1000)
