"""What a reporter logs if the store does not know its clock, or partitions of it."""

import logging

import pytest

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome
from clocksvc.testing import ManualTime
from tests.http_stub import HttpStub, Reply
from tests.unit.client.fake_sink import NOW_MS, PARAMETERS, AssignedPartition, FakeSink, SteppedReporter

pytestmark = pytest.mark.core


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """The messages logged on a level since the last call; clears the log."""
    messages = [record.getMessage() for record in caplog.records if record.levelno == level]
    caplog.clear()
    return messages


def stepped_for(seconds: int, url: str) -> None:
    """Run a reporter with this URL for some seconds."""
    time = ManualTime()
    with Reporter(url, "chekins", group="workers", time=time, start=False) as reporter:
        for _ in range(seconds):
            reporter.step()
            time.advance(1)


def test_an_unknown_clock_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged after five seconds, in which a service may start; then each minute; and once when it is known."""
    caplog.set_level(logging.INFO, "clocksvc.reporter")
    stepped = SteppedReporter(FakeSink(parameters=None), has_parameters=False)
    stepped.observe(NOW_MS)
    stepped.pass_time(4.9)

    assert logged(caplog, logging.WARNING) == []

    stepped.pass_time(50)

    (warning,) = logged(caplog, logging.WARNING)
    assert warning.startswith("clock 'checkins' is unknown at ")

    stepped.pass_time(130)

    assert len(logged(caplog, logging.WARNING)) == 2

    stepped.sink.parameters = PARAMETERS
    stepped.pass_time(20)

    assert "clock 'checkins' is known now" in logged(caplog, logging.INFO)

    stepped.pass_time(120)

    assert logged(caplog, logging.WARNING) == []


def test_a_clock_that_becomes_unknown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An emptied store without a leader: one warning, which names the clock, not its partitions."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    stepped.sink.parameters = None
    stepped.pass_time(50)

    (warning,) = logged(caplog, logging.WARNING)
    assert "clock 'checkins' is unknown" in warning


def test_partitions_that_stay_unknown_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """They are logged once after 30 s, in one line with their names, and once when they are known."""
    caplog.set_level(logging.INFO, "clocksvc.reporter")
    stepped = SteppedReporter()
    stepped.sink.outcome = lambda reading: Outcome.UNKNOWN if reading.partition.number > 1 else Outcome.ACCEPTED
    for partition in range(4):
        stepped.observe(NOW_MS, partition=partition)
    caplog.clear()
    stepped.pass_time(28)

    assert logged(caplog, logging.WARNING) == []

    stepped.pass_time(300)

    (warning,) = logged(caplog, logging.WARNING)
    assert warning.startswith("clock 'checkins': partitions unknown for 30 s: checkins:2, checkins:3; ")

    stepped.sink.outcome = lambda reading: Outcome.ACCEPTED
    stepped.pass_time(60)

    assert logged(caplog, logging.INFO) == ["clock 'checkins': partitions known now: checkins:2, checkins:3"]


def test_a_partition_that_was_taken_away_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Another consumer reports it."""
    stepped = SteppedReporter()
    stepped.sink.outcome = lambda reading: Outcome.UNKNOWN
    stepped.observe(NOW_MS)
    stepped.pass_time(15)
    stepped.reporter.on_lost(None, [AssignedPartition(0)])
    stepped.pass_time(120)

    assert logged(caplog, logging.WARNING) == []


@pytest.mark.servers
def test_the_address_is_named_without_its_password(
    redis_url: str, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has URL, database, prefix and what to check; for a service its URL."""
    at = redis_url.rpartition("/")[0]
    stepped_for(7, f"{at.replace('://', '://default:@')}/4?prefix={key_prefix}")

    (warning,) = logged(caplog, logging.WARNING)
    address = f"{at.replace('://', '://default:***@')}/4?prefix={key_prefix} (prefix {key_prefix})"
    assert warning == (
        f"clock 'chekins' is unknown at {address}: check that the service is running, and that it "
        "uses the same URL, database, prefix and clock name"
    )

    nothing: dict[str, object] = {"timestamp_seconds": None, "lowest_timestamp_ms": None, "bounds": None}
    answer = {"clock": "chekins", "reports": [], **nothing}
    with HttpStub(lambda asked: Reply(body=answer)) as stub:
        stepped_for(7, stub.url)

    (warning,) = logged(caplog, logging.WARNING)
    assert warning.startswith(f"clock 'chekins' is unknown at {stub.url}: check with `clocksvc status` that")
