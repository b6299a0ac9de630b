"""A crontab as schedules: due when cron runs its lines, with ids that stay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.interfaces.schedule_topics import parse_id
from clocksvc.schedules.cron import parse_cron
from clocksvc.schedules.crontab import CrontabLine, read_crontab

pytestmark = pytest.mark.core

MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
DAYS = 400


def read(*lines: str, timezone: str = "UTC", has_user: bool = False, **fields: Any) -> list[CrontabLine]:
    """The lines of a crontab that run commands."""
    fields = {"task": "shop.run", **fields}
    return list(read_crontab(lines, prefix="shop:", timezone=timezone, fields=fields, has_user=has_user))


def ids(*lines: str) -> list[str]:
    """The ids of all schedules of a crontab."""
    return [schedule_id for line in read(*lines) for schedule_id, _ in line.schedules]


def crons(line: str) -> list[str]:
    """The cron expressions that a line becomes."""
    (found,) = read(f"{line} job")
    return [fields["cron"] for _, fields in found.schedules]


def test_a_line_becomes_a_schedule() -> None:
    """With time zone, task, options and its command; comments and empty lines are none."""
    (line,) = read("# nightly", "", "  30\t2  * * mon-fri  ./bills --all ", timezone="Europe/Berlin", catch_up="last")
    ((schedule_id, fields),) = line.schedules

    assert (line.number, line.error) == (3, None)
    assert parse_id(schedule_id) == schedule_id
    assert schedule_id.startswith("shop:")
    assert fields == {
        "cron": "30 2 * * mon-fri",
        "timezone": "Europe/Berlin",
        "task": "shop.run",
        "catch_up": "last",
        "payload": {"command": "./bills --all"},
    }


def test_ids_depend_on_the_commands_alone() -> None:
    """Other lines, and another time of the same line, change no id. Equal commands have different ids."""
    first, second = ids("0 2 * * * a", "0 3 * * * b")

    assert ids("# new", "0 9 * * * c", "5 4 * * * b", "0 2 * * * a")[1:] == [second, first]
    assert ids("0 2 * * * a", "0 3 * * * a", "0 4 * * * a") == [first, f"{first}.2", f"{first}.3"]


def test_what_belongs_to_a_command() -> None:
    """Its settings, its standard input behind `%`, and its user, as cron has them."""
    lines = read(
        "MAILTO=ops@example.com",
        "CRON_TZ = Asia/Tokyo",
        "PATH = '/opt/bin:/bin'",
        r"0 6 * * * root date +\%F%line 1%line 2",
        has_user=True,
    )
    ((_, fields),) = lines[0].schedules

    assert fields["timezone"] == "Asia/Tokyo"
    assert fields["payload"] == {
        "command": "date +%F",
        "stdin": "line 1\nline 2",
        "environment": {"MAILTO": "ops@example.com", "PATH": "/opt/bin:/bin"},
        "user": "root",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("@daily", ["0 0 * * *"]),
        ("@Weekly", ["0 0 * * 0"]),
        ("0 2 * * 7", ["0 2 * * 0"]),
        ("0 2 * * 5-7", ["0 2 * * 0,5,6"]),
        ("5-5 2 * * fri-7", ["5-5 2 * * 0,5,6"]),
        ("0 2 */2 * 1", ["0 2 */2 * 1"]),
        ("0 2 1,15 * 5", ["0 2 * * 5", "0 2 1,15 * 0,1,2,3,4,6"]),
        ("0 2 1 * 0-6", ["0 2 * * 0-6"]),
    ],
)
def test_crons_own_rules(line: str, expected: list[str]) -> None:
    """Names, Sunday as 7, and a day of the month or of the week."""
    assert crons(line) == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("@reboot ./start", "'@reboot' is not valid: wanted one of @yearly"),
        ("0 2 * * ./forgotten", "wanted five fields and a command"),
        ("0 25 * * * job", "'25' is no hour: wanted 0 to 23"),
        ("0 2 1 * 8 job", "'8' is no day of the week: wanted 0 to 7"),
        ("10-5 2 * * * job", "'10-5' goes from a higher to a lower number: wanted two ranges, such as 22-23,0-2"),
        ("0 1,22-2/2 * * * job", "'22-2' goes from a higher to a lower number"),
        ("0 2 28-3 * * job", "'28-3' goes from a higher to a lower number"),
        ("0 2 1 nov-Feb * job", "'nov-Feb' goes from a higher to a lower number"),
        ("0 2 1 * 7-2 job", "'7-2' goes from a higher to a lower number"),
        ("0 2 * * sat-sun job", "'sat-sun' goes from a higher to a lower number"),
        ("0 2 30 2 * job", "no month of '2' has a day of '30'"),
        ("0 2 * * * %only input", "wanted a command behind the time"),
        ("@daily", "wanted a command behind the time"),
    ],
)
def test_a_line_that_is_no_schedule_is_named(line: str, says: str) -> None:
    """With its number and what is wrong. The lines around it are not affected."""
    before, wrong, after = read("0 1 * * * a", line, "0 3 * * * b")

    assert [len(one.schedules) for one in (before, wrong, after)] == [1, 0, 1]
    assert (wrong.number, wrong.text) == (2, line)
    assert says in str(wrong.error)


def test_a_wrong_time_zone_is_named_once() -> None:
    """At its own line, with the number of lines that it affects. Other errors of these lines are still named."""
    lines = ["0 1 * * * a", "CRON_TZ=Mars/Base", "0 1 * * * b", "0 25 * * * c", "MAILTO=x", "0 2 * * * d"]
    found = read(*lines, "CRON_TZ=Asia/Tokyo", "0 3 * * * e", "CRON_TZ=Mars/Moon", "0 3 * * * f")

    assert [(one.number, len(one.schedules), one.unwritten) for one in found] == [
        (1, 1, 0),
        (2, 0, 2),
        (4, 0, 0),
        (8, 1, 0),
        (9, 0, 1),
    ]
    assert str(found[1].error).startswith("CRON_TZ: 'Mars/Base' is not valid: wanted a time zone")
    assert str(found[1].error).endswith("; the 2 lines after it are not written")
    assert "'25' is no hour" in str(found[2].error)
    assert str(found[4].error).endswith("; the line after it is not written")
    assert found[3].schedules[0][1]["timezone"] == "Asia/Tokyo"


def test_a_wrong_time_zone_without_lines() -> None:
    """It is named, too."""
    (line,) = read("CRON_TZ=Mars/Base")

    assert (line.number, line.unwritten) == (1, 0)
    assert str(line.error).endswith("or UTC")


@pytest.mark.parametrize("wrong", ["0 25 * * * a", "CRON_TZ=Mars/Base\n0 1 * * * a\nCRON_TZ=UTC"])
def test_ids_stay_when_a_line_is_corrected(wrong: str) -> None:
    """A line that is not written has its place among those with the same command."""
    first, second = ids("0 1 * * * a", "0 2 * * * a")

    assert ids(*wrong.split("\n"), "0 2 * * * a") == [second]
    assert first != second


def numbers(low: int, high: int) -> st.SearchStrategy[set[int]]:
    """What a field can have."""
    return st.sets(st.integers(low, high), min_size=1, max_size=4)


@given(days=st.none() | numbers(1, 28), weekdays=st.none() | numbers(0, 7), months=st.none() | numbers(1, 12))
def test_it_is_due_on_crons_days(days: set[int] | None, weekdays: set[int] | None, months: set[int] | None) -> None:
    """On each day that matches one of the restricted fields, exactly once. A loop over all days says which."""

    def text(field: set[int] | None) -> str:
        return "*" if field is None else ",".join(map(str, field))

    def matches(day: datetime) -> bool:
        by_day = days is not None and day.day in days
        by_weekday = weekdays is not None and bool({day.isoweekday(), day.isoweekday() % 7} & weekdays)
        if months is not None and day.month not in months:
            return False
        return by_day or by_weekday or (days is None and weekdays is None)

    expected = [day for day in (MONDAY + timedelta(number) for number in range(DAYS)) if matches(day)]
    found = []
    for cron in crons(f"0 0 {text(days)} {text(months)} {text(weekdays)}"):
        at_ms = int(MONDAY.timestamp() * 1000) - 1
        end_ms = at_ms + DAYS * 86_400_000
        while (at_ms := parse_cron(cron, "UTC").next_after(at_ms)) <= end_ms:
            found.append(datetime.fromtimestamp(at_ms / 1000, UTC))

    assert sorted(found) == expected
