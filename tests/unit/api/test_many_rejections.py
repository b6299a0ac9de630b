"""A reporter that reports over HTTP and has rejected timestamps of more partitions than one request may name."""

import logging

import pytest

from clocksvc.client.reporter import Reporter
from tests.preconditions import require
from tests.unit.api.clock_fixture import GROUP, NOON, TOPIC, ClockFixture
from tests.unit.api.running_service import serving


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


def test_the_lowest_and_the_highest_timestamp_of_a_record_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A producer that sets nanoseconds: the service counts a rejected timestamp, and the other partitions count."""
    caplog.set_level(logging.ERROR, "clocksvc.reporter")
    clock_fixture = ClockFixture()
    with serving(clock_fixture) as served:
        reporter = Reporter(served.url, "checkins", group=GROUP, topic=TOPIC, time=clock_fixture.time, start=False)
        reporter.observe(0, NOON * 1000)
        reporter.observe(1, NOON * 10**9)
        reporter.observe(1, -(2**63))

        assert reporter.flush()

        reporter.observe(1, NOON * 10**9)

        assert reporter.flush()
        reporter.close(0)
        counted = clock_fixture.store.counters().reports

    assert (counted["accepted"], counted["no_timestamp"], counted["not_milliseconds"]) == (1, 1, 1)
    assert caplog.messages == []
