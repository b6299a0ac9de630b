"""Invalid timestamps, late records, and reports of a foreign group."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from unittest.mock import MagicMock, patch

import pytest
from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]
from confluent_kafka import Consumer

from clocksvc.client.membership import group_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.errors import RequestRejected
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS, TOPIC, AssignedPartition, FakeSink, SteppedReporter

pytestmark = pytest.mark.core

HALF_AN_HOUR_MS = 30 * MINUTE_MS


@contextmanager
def member(group: str) -> Iterator[Consumer]:
    """A consumer of confluent-kafka that never connects."""
    with closing(Consumer({"bootstrap.servers": "localhost:1", "group.id": group, "log_level": 0})) as consumer:
        yield consumer


def rejections(reports: list[Report]) -> list[tuple[int, int, Outcome]]:
    """(partition, timestamp, outcome) of all reported rejections."""
    return [(reading.partition.number, reading.timestamp_ms, why) for each in reports for reading, why in each.rejected]


def reports_within(stepped: SteppedReporter, seconds: float) -> list[Report]:
    """All reports of the next seconds."""
    reports: list[Report] = []
    stepped.sink.reports.clear()
    for _ in range(round(seconds * 2)):
        stepped.time.advance(0.5)
        stepped.step()
        reports += stepped.sink.reports
        stepped.sink.reports.clear()
    return reports


def test_a_timestamp_far_ahead_is_forgotten() -> None:
    """One broken producer does not hide valid records: the next boundary of its partition is reported on time."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS - MINUTE_MS)

    assert stepped.observe(NOW_MS + HALF_AN_HOUR_MS) == []
    assert stepped.observe(NOW_MS - 1) == []
    assert stepped.observe(NOW_MS + HALF_AN_HOUR_MS + 1, NOW_MS) == [{0: NOW_MS}]


def test_a_rejection_is_reported_to_the_store_within_a_second() -> None:
    """The latest rejection of each partition is reported once, so that it is counted and shown."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    stepped.reporter.observe(0, NOW_MS + HALF_AN_HOUR_MS)
    stepped.reporter.observe(0, NOW_MS + HALF_AN_HOUR_MS + 7)
    stepped.reporter.observe(1, -1)

    assert rejections(reports_within(stepped, 1.5)) == [
        (0, NOW_MS + HALF_AN_HOUR_MS + 7, Outcome.TOO_FAR_AHEAD),
        (1, -1, Outcome.NO_TIMESTAMP),
    ]
    assert rejections(reports_within(stepped, 30)) == []


def test_a_service_that_does_not_accept_rejections_gets_the_good_timestamps(caplog: pytest.LogCaptureFixture) -> None:
    """Rejections have reports of their own. If the service refuses them, they are dropped, with one warning each."""
    stepped = SteppedReporter()
    accept = stepped.sink.report

    def answer(report: Report) -> ReportAnswer:
        if report.rejected:
            raise RequestRejected("invalid-request: refusals.0.timestamp_ms")
        return accept(report)

    stepped.sink.report = answer  # type: ignore[method-assign]
    stepped.reporter.observe(0, -1)
    stepped.pass_time(1)

    assert stepped.observe(NOW_MS + 1_000, partition=1) == [{1: NOW_MS + 1_000}]
    assert stepped.reporter.flush(0)
    assert "refusals.0.timestamp_ms" in caplog.text


def test_rejections_are_reported_a_thousand_at_a_time_and_after_the_timestamps() -> None:
    """More are sent in several reports. They never make a report of timestamps larger."""
    stepped = SteppedReporter()
    for partition in range(2_500):
        stepped.reporter.observe(partition, -1)
    stepped.reporter.observe(0, NOW_MS)
    stepped.reporter.flush()

    assert [(len(report.timestamps), len(report.rejected)) for report in stepped.sink.reports] == [
        (1, 0),
        (0, 1_000),
        (0, 1_000),
        (0, 500),
    ]


def test_a_record_without_timestamp_is_refused_for_its_partition_alone() -> None:
    """Valid records before and after it count."""
    stepped = SteppedReporter()
    stepped.observe(-1)

    assert stepped.observe(NOW_MS - MINUTE_MS, -1) == [{0: NOW_MS - MINUTE_MS}]
    assert stepped.observe(NOW_MS, partition=1) == [{1: NOW_MS}]


def test_refusals_are_logged_once_for_each_partition(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each partition and cause, not for each record. It contains the number and what is wrong."""
    stepped = SteppedReporter()
    for _ in range(50):
        stepped.observe(-1)
        stepped.observe(NOW_MS + HALF_AN_HOUR_MS, partition=1)
        stepped.observe(NOW_MS // 1000, partition=1)

    assert caplog.messages == [
        "timestamp rejected: checkins:0 is -1, the record has no timestamp",
        "timestamp rejected: checkins:1 is 1795350600000 (2026-11-22T12:30:00Z), further ahead of the present time "
        "than max_future",
        "timestamp rejected: checkins:1 is 1795348800, looks like seconds, wanted milliseconds",
    ]


@pytest.mark.parametrize("has_parameters", [True, False])
@pytest.mark.parametrize("wrong_ms", [NOW_MS // 1000, NOW_MS * 1000, NOW_MS * 10**6])
def test_another_unit_is_rejected_by_its_name(wrong_ms: int, has_parameters: bool) -> None:
    """Also beside a good timestamp, which seconds are below. The number is forgotten: the next valid record counts."""
    stepped = SteppedReporter(has_parameters=has_parameters)
    stepped.observe(wrong_ms)
    stepped.observe(NOW_MS - MINUTE_MS)
    stepped.observe(wrong_ms + 1)
    assert stepped.observe(NOW_MS) == [{0: NOW_MS}]

    assert rejections(stepped.sink.reports + reports_within(stepped, 1.5))[-1:] == [
        (0, wrong_ms + 1, Outcome.NOT_MILLISECONDS)
    ]


def test_seconds_are_no_late_records() -> None:
    """They are rejected: only records of the right unit are late."""
    stepped = SteppedReporter()
    stepped.sink.last_tick_ms = NOW_MS
    stepped.observe(NOW_MS)
    stepped.pass_time(10)
    stepped.sink.reports.clear()
    stepped.reporter.observe(0, NOW_MS // 1000)
    stepped.reporter.observe(0, NOW_MS - 1)
    stepped.reporter.flush()

    assert sum(report.late_records for report in stepped.sink.reports) == 1


def test_more_late_records_than_a_report_may_have() -> None:
    """The rest is sent with the next report."""
    stepped = SteppedReporter()
    stepped.sink.last_tick_ms = NOW_MS
    stepped.observe(NOW_MS)
    stepped.pass_time(10)
    with patch("clocksvc.client.report_content.MAX_LATE_RECORDS", 2):
        for _ in range(3):
            stepped.reporter.observe(0, NOW_MS - 1)
        assert stepped.reporter.flush()
        assert stepped.reporter.flush()

    assert [report.late_records for report in stepped.sink.reports if report.late_records] == [2, 1]


def test_a_timestamp_a_little_ahead_counts() -> None:
    """Up to `max_future`, because the clocks of producers differ."""
    stepped = SteppedReporter()

    assert stepped.observe(NOW_MS + 2_000) == [{0: NOW_MS + 2_000}]
    assert stepped.observe(NOW_MS + MINUTE_MS) == [{0: NOW_MS + MINUTE_MS}]
    assert stepped.observe(NOW_MS + MINUTE_MS + 1) == []
    assert rejections(reports_within(stepped, 2)) == [(0, NOW_MS + MINUTE_MS + 1, Outcome.TOO_FAR_AHEAD)]


def test_what_was_seen_beside_a_doubtful_timestamp_is_not_hidden() -> None:
    """A store whose clock is behind rejects a timestamp that passed here: valid records around it count."""
    stepped = SteppedReporter()
    stepped.sink.outcome = _not_after(NOW_MS + 40_000)
    stepped.observe(NOW_MS - MINUTE_MS)

    assert stepped.observe(NOW_MS - 5, NOW_MS + 59_000, NOW_MS - 3) == [{0: NOW_MS + 59_000}]
    assert stepped.pass_time(1) == [{0: NOW_MS - 3}]
    assert stepped.observe(NOW_MS + 1) == [{0: NOW_MS + 1}]


def test_a_number_that_the_store_refuses_falls_back_to_the_last_accepted() -> None:
    """Also one that passed the local checks: the next valid record counts again."""
    stepped = SteppedReporter()
    stepped.sink.outcome = _not_after(NOW_MS)
    stepped.observe(NOW_MS - 2 * MINUTE_MS)

    assert stepped.observe(NOW_MS + 5_000)[0] == {0: NOW_MS + 5_000}

    stepped.pass_time(1)

    assert stepped.pass_time(10) == [{0: NOW_MS - 2 * MINUTE_MS}]
    assert stepped.observe(NOW_MS - MINUTE_MS) == [{0: NOW_MS - MINUTE_MS}]


def test_a_store_that_refuses_all_is_not_run_down() -> None:
    """If the clocks differ a lot, each record could cause a report: at most about ten a second are sent."""
    stepped = SteppedReporter()
    stepped.sink.outcome = lambda reading: Outcome.TOO_FAR_AHEAD
    sent = 0
    for millisecond in range(1_000):
        sent += len(stepped.observe(NOW_MS + millisecond))
        stepped.time.advance(0.001)

    assert sent <= 12


def test_what_is_ahead_before_the_bounds_are_known_is_judged_by_them() -> None:
    """With a `max_future` of 5 s, a timestamp 20 s ahead is rejected once the limit is known; a valid one is not."""
    parameters = ClockParameters("workers", (TOPIC,), MINUTE_MS, 0, 5_000)
    stepped = SteppedReporter(FakeSink(parameters), has_parameters=False)
    for timestamp_ms in (NOW_MS - 9, NOW_MS + 20_000, NOW_MS - 8, NOW_MS + HALF_AN_HOUR_MS):
        stepped.reporter.observe(0, timestamp_ms)
    stepped.reporter.observe(1, NOW_MS + 4_000)
    stepped.step()

    assert stepped.sink.last_sent() == {0: NOW_MS - 8, 1: NOW_MS + 4_000}
    assert (0, NOW_MS + 20_000, Outcome.TOO_FAR_AHEAD) in rejections(reports_within(stepped, 1))


def test_a_doubtful_number_that_was_overtaken_takes_no_good_one_with_it() -> None:
    """Before the parameters are known, a timestamp is a little ahead, then a higher one is on time, then the local
    clock is set back by minutes: the higher one is reported, and nothing is rejected."""
    stepped = SteppedReporter(has_parameters=False)
    stepped.reporter.observe(0, NOW_MS + 500)
    stepped.time.advance(2)
    stepped.reporter.observe(0, NOW_MS + 1_900)
    with patch.object(stepped.time, "now_ms", return_value=NOW_MS - 5 * MINUTE_MS):
        stepped.step()

    assert stepped.sink.last_sent() == {0: NOW_MS + 1_900}
    assert rejections(stepped.sink.reports) == []


def test_what_is_ahead_counts_when_its_time_has_come() -> None:
    """A timestamp within `max_future` is reported like any other; lower ones do not count after it."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS + 50_000)

    assert stepped.observe(NOW_MS + 31_000, NOW_MS) == []
    assert stepped.pass_time(45) == [{0: NOW_MS + 50_000}] * 4


def test_late_records_are_counted() -> None:
    """A record is late if it is before the last tick; a record that is only out of order is not."""
    stepped = SteppedReporter(FakeSink(last_tick_ms=NOW_MS - MINUTE_MS))
    stepped.observe(NOW_MS - 10)
    for timestamp_ms in (NOW_MS - 50, NOW_MS - MINUTE_MS, NOW_MS - MINUTE_MS - 1, NOW_MS - 9, NOW_MS - 90_000):
        stepped.reporter.observe(0, timestamp_ms)

    assert sum(report.late_records for report in reports_within(stepped, 10)) == 2
    assert sum(report.late_records for report in reports_within(stepped, 30)) == 0


def test_late_records_are_counted_after_a_rebalance() -> None:
    """A newly assigned partition is read from before the last tick: all these records are late, rising or not."""
    stepped = SteppedReporter(FakeSink(last_tick_ms=NOW_MS))
    stepped.observe(NOW_MS + 5)
    stepped.reporter.on_assign(None, [AssignedPartition(0)])
    for timestamp_ms in (NOW_MS - 40, NOW_MS - 30, NOW_MS - 35, NOW_MS, NOW_MS + 1, NOW_MS - 1):
        stepped.reporter.observe(0, timestamp_ms)

    assert sum(report.late_records for report in reports_within(stepped, 10)) == 4


def test_late_records_count_by_the_last_tick_known() -> None:
    """Answers contain the last tick; an answer without it changes nothing."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS - 10)
    stepped.sink.last_tick_ms = NOW_MS - MINUTE_MS
    stepped.pass_time(10)
    stepped.sink.last_tick_ms = None
    stepped.pass_time(10)
    stepped.reporter.observe(0, NOW_MS - MINUTE_MS - 1)

    assert sum(report.late_records for report in reports_within(stepped, 10)) == 1


def test_refusals_and_late_records_outlive_trouble() -> None:
    """They are reported once, when the store is available again."""
    stepped = SteppedReporter(FakeSink(last_tick_ms=NOW_MS - MINUTE_MS))
    stepped.sink.error = TimeoutError()
    stepped.observe(NOW_MS, NOW_MS - MINUTE_MS - 1, -1)
    stepped.pass_time(20)
    stepped.sink.error = None
    reports = reports_within(stepped, 20)

    assert rejections(reports) == [(0, -1, Outcome.NO_TIMESTAMP)]
    assert sum(report.late_records for report in reports) == 1


def test_a_foreign_group_is_logged_once_and_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The error names both groups; the reporter continues, so that the store can count its rejections."""
    stepped = SteppedReporter(
        FakeSink(ClockParameters("others", (TOPIC,), MINUTE_MS, 0, MINUTE_MS)), has_parameters=False
    )
    stepped.sink.outcome = lambda reading: Outcome.FOREIGN_GROUP
    stepped.observe(NOW_MS)

    assert stepped.pass_time(20) == [{0: NOW_MS}, {0: NOW_MS}]

    (said,) = (record for record in caplog.records if record.levelno >= logging.ERROR)

    assert "'others'" in said.message
    assert "'workers'" in said.message


def _not_after(limit_ms: int):  # type: ignore[no-untyped-def]
    def outcome(reading: PartitionTimestamp) -> Outcome:
        assert reading.partition == Partition(TOPIC, reading.partition.number)
        return Outcome.TOO_FAR_AHEAD if reading.timestamp_ms > limit_ms else Outcome.ACCEPTED

    return outcome


async def group_of_aiokafka(group: str | None) -> str | None:
    """What is found in a consumer of aiokafka with this group."""
    consumer = AIOKafkaConsumer(group_id=group)
    try:
        return group_of(consumer)
    finally:
        await consumer.stop()


def groups_of(reports: list[Report]) -> set[str]:
    """The groups of all reports with timestamps."""
    return {report.group for report in reports if report.timestamps}


@pytest.mark.parametrize("instance", [{}, {"group.instance.id": "one"}])
def test_the_group_of_a_consumer_is_found(instance: dict[str, str]) -> None:
    """As the installed clients give it."""
    settings = {"bootstrap.servers": "localhost:1", "group.id": "checkins:ü-1", "log_level": 0, **instance}
    with closing(Consumer(settings)) as consumer:
        assert group_of(consumer) == "checkins:ü-1"
    assert group_of(consumer) is None
    assert asyncio.run(group_of_aiokafka("workers")) == "workers"
    assert asyncio.run(group_of_aiokafka(None)) is None
    assert [group_of(other) for other in (None, object(), MagicMock())] == [None, None, None]


def test_a_consumer_of_another_group_is_never_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Its progress is sent as that of its own group, which the store rejects, until a consumer of the right group is
    assigned. One ERROR names both groups."""
    stepped = SteppedReporter()
    with member("dev") as other, member("workers") as right:
        for _ in range(2):
            stepped.reporter.on_assign(other, [AssignedPartition(0)])
        stepped.observe(NOW_MS)
        stepped.reporter.on_assign(None, [AssignedPartition(1)])
        assert groups_of(reports_within(stepped, 11)) == {"dev"}

        stepped.reporter.observe(0, NOW_MS + 1)
        stepped.reporter.on_assign(right, [AssignedPartition(1)])
        assert groups_of(reports_within(stepped, 11)) == set()
        stepped.reporter.observe(1, NOW_MS + 2)
        assert groups_of(reports_within(stepped, 11)) == {"workers"}

    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith(
        "the consumer is a member of group 'dev', but Reporter(…, group='workers') reports for another group to clock "
        "checkins: nothing counts for the clock"
    )


def test_a_reporter_of_another_group_than_consumer_and_clock_is_not_counted() -> None:
    """Also if the clock belongs to the group of the consumer: one of both is wrong."""
    stepped = SteppedReporter(FakeSink(ClockParameters("dev", (TOPIC,), MINUTE_MS, 0, MINUTE_MS)))
    with member("dev") as other:
        stepped.reporter.on_assign(other, [AssignedPartition(0)])
        stepped.observe(NOW_MS)

    assert groups_of(reports_within(stepped, 11)) == {"workers"}


def test_what_a_report_selected_keeps_its_group() -> None:
    """The right consumer is assigned after the timestamps of a report were selected, and before it is sent."""
    stepped = SteppedReporter()
    with member("dev") as other, member("workers") as right:
        stepped.reporter.on_assign(other, [AssignedPartition(0)])
        tracker = stepped.reporter._senders.first
        stepped.reporter.observe(0, NOW_MS)
        selected = tracker.select(stepped.time.monotonic(), stepped.time.monotonic() + 10, unsent=True)
        stepped.reporter.on_assign(right, [AssignedPartition(0)])

    assert len(selected) == 1
    assert tracker.report(selected).group == "dev"
