"""What a reporter says when the store does not know its clock, or partitions of it; seen from its log."""

import logging

import pytest

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome
from clocksvc.testing import ManualTime
from tests.http_stub import HttpStub, Reply
from tests.unit.client.report_desk import (
    BOUNDS,
    NOW_MS,
    Assigned,
    Desk,
    StepResult,
)

pytestmark = pytest.mark.core


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What was logged on a level since the last call; all is forgotten."""
    messages = [record.getMessage() for record in caplog.records if record.levelno == level]
    caplog.clear()
    return messages


def stepped_for(seconds: int, url: str) -> None:
    """A reporter to this URL, asked for so long."""
    time = ManualTime()
    with Reporter(url, "chekins", group="workers", time=time, start=False) as reporter:
        for _ in range(seconds):
            reporter.step()
            time.advance(1)


def test_a_clock_that_nobody_knows_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Not before five seconds, in which a service may start; then each minute; and once when it is known."""
    caplog.set_level(logging.INFO, "clocksvc.reporter")
    stepped = StepResult(Desk(bounds=None), acquainted=False)
    stepped.observe(NOW_MS)
    stepped.pass_time(4.9)

    assert said(caplog, logging.WARNING) == []

    stepped.pass_time(50)

    (warning,) = said(caplog, logging.WARNING)
    assert warning.startswith("clock 'checkins' is unknown at ")

    stepped.pass_time(130)

    assert len(said(caplog, logging.WARNING)) == 2

    stepped.desk.bounds = BOUNDS
    stepped.pass_time(20)

    assert "clock 'checkins' is known now" in said(caplog, logging.INFO)

    stepped.pass_time(120)

    assert said(caplog, logging.WARNING) == []


def test_a_clock_that_is_known_no_more_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A store that was emptied and gets no leader: one warning, which names the clock, not its partitions."""
    stepped = StepResult()
    stepped.observe(NOW_MS)
    stepped.desk.bounds = None
    stepped.pass_time(50)

    (warning,) = said(caplog, logging.WARNING)
    assert "clock 'checkins' is unknown" in warning


def test_partitions_that_stay_unknown_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """After a minute, all together, by name; and once when they are known."""
    caplog.set_level(logging.INFO, "clocksvc.reporter")
    stepped = StepResult()
    stepped.desk.outcome = lambda reading: Outcome.UNKNOWN if reading.partition.number > 1 else Outcome.ACCEPTED
    for partition in range(4):
        stepped.observe(NOW_MS, partition=partition)
    caplog.clear()
    stepped.pass_time(58)

    assert said(caplog, logging.WARNING) == []

    stepped.pass_time(300)

    (warning,) = said(caplog, logging.WARNING)
    assert warning.startswith("clock 'checkins': partitions unknown for 60 s: checkins:2, checkins:3; ")

    stepped.desk.outcome = lambda reading: Outcome.ACCEPTED
    stepped.pass_time(60)

    assert said(caplog, logging.INFO) == ["clock 'checkins': partitions known now: checkins:2, checkins:3"]


def test_a_partition_that_was_taken_away_is_not_said(caplog: pytest.LogCaptureFixture) -> None:
    """It is another consumer's to tell."""
    stepped = StepResult()
    stepped.desk.outcome = lambda reading: Outcome.UNKNOWN
    stepped.observe(NOW_MS)
    stepped.pass_time(30)
    stepped.reporter.on_lost(None, [Assigned(0)])
    stepped.pass_time(120)

    assert said(caplog, logging.WARNING) == []


@pytest.mark.servers
def test_the_address_is_named_without_its_password(
    redis_url: str, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """URL, database and prefix, and what may be wrong with them; of a service its URL."""
    at = redis_url.rpartition("/")[0]
    stepped_for(7, f"{at.replace('://', '://default:@')}/4?prefix={key_prefix}")

    (warning,) = said(caplog, logging.WARNING)
    address = f"{at.replace('://', '://default:***@')}/4?prefix={key_prefix} (prefix {key_prefix})"
    assert warning == (
        f"clock 'chekins' is unknown at {address}: is the service running, and are URL, database, prefix and "
        "clock's name the same as its own?"
    )

    answer: dict[str, object] = {"clock": "chekins", "timestamp_seconds": None, "reports": [], "bounds": None}
    with HttpStub(lambda asked: Reply(body=answer)) as stub:
        stepped_for(7, stub.url)

    (warning,) = said(caplog, logging.WARNING)
    assert warning.startswith(f"clock 'chekins' is unknown at {stub.url}: has it had a leader yet?")
