"""A reporter that reports over HTTP and has rejected timestamps of more partitions than one request may name."""

import logging

import pytest

from clocksvc.client.reporter import Reporter
from tests.preconditions import require
from tests.unit.api.clock_fixture import GROUP, NOON, TOPIC, ClockFixture
from tests.unit.api.running_service import serving


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="More than 5,000 rejected timestamps make every report invalid: good partitions stay unreported.",
)
def test_rejected_timestamps_never_keep_good_partitions_from_being_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The other partitions are reported, even if very many have a rejected timestamp."""
    caplog.set_level(logging.ERROR, "clocksvc.reporter")
    clock_fixture = ClockFixture()
    with serving(clock_fixture) as served:
        reporter = Reporter(served.url, "checkins", group=GROUP, topic=TOPIC, time=clock_fixture.time, start=False)
        reporter.step()
        reporter.observe(0, (NOON - 1) * 1000)
        reporter.step()
        require(clock_fixture.store.snapshot().known == 1, "the reporter reaches the service")
        for partition in range(1, 5_002):
            reporter.observe(partition, -1)
        reporter.observe(0, NOON * 1000)
        for _ in range(12):
            clock_fixture.time.advance(1)
            reporter.step()
        good = clock_fixture.store.partitions(None, 1)[0]
        reporter.close(0)

    assert good.raw_ms == NOON * 1000
