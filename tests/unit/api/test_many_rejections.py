"""A reporter that reports over HTTP and has rejected timestamps of more partitions than one request may name."""

import logging

import pytest

from clocksvc.client.reporter import Reporter
from tests.preconditions import require
from tests.unit.api.bed import GROUP, NOON, TOPIC, Bed
from tests.unit.api.served import serving


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="More than 5,000 rejected timestamps make every report invalid: good partitions stay unreported.",
)
def test_rejected_timestamps_never_keep_good_partitions_from_being_reported(caplog: pytest.LogCaptureFixture) -> None:
    """However many partitions have a rejected timestamp: the others are reported."""
    caplog.set_level(logging.ERROR, "clocksvc.reporter")
    bed = Bed()
    with serving(bed) as served:
        reporter = Reporter(served.url, "checkins", group=GROUP, topic=TOPIC, time=bed.time, start=False)
        reporter.step()
        reporter.observe(0, (NOON - 1) * 1000)
        reporter.step()
        require(bed.store.snapshot().known == 1, "the reporter reaches the service")
        for partition in range(1, 5_002):
            reporter.observe(partition, -1)
        reporter.observe(0, NOON * 1000)
        for _ in range(12):
            bed.time.advance(1)
            reporter.step()
        good = bed.store.partitions(None, 1)[0]
        reporter.close(0)

    assert good.raw_ms == NOON * 1000
