"""Reports state the topics from which a consumer read records with the timestamp type CreateTime."""

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message

from clocksvc.clock.partition import Outcome
from clocksvc.errors import StoreUnavailable
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS, TOPIC, SteppedReporter

pytestmark = pytest.mark.core

CREATED, APPENDED = TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME


def record(timestamp_type: int, timestamp_ms: int, partition: int = 0) -> Message:
    """A record with this timestamp type."""
    return Message(topic=TOPIC, partition=partition, timestamp=(timestamp_type, timestamp_ms))


def stated(stepped: SteppedReporter) -> list[tuple[dict[int, int], bool]]:
    """The reports with timestamps since the last call, and whether they state CreateTime for the topic."""
    reports = [
        ({partition.number: at_ms for partition, at_ms in report.timestamps}, report.create_time_topics == (TOPIC,))
        for report in stepped.sink.reports
        if report.timestamps
    ]
    assert all(report.create_time_topics in ((), (TOPIC,)) for report in stepped.sink.reports)
    stepped.sink.reports.clear()
    return reports


@pytest.mark.parametrize("in_batches", [True, False])
@pytest.mark.parametrize("crosses", [True, False])
def test_the_first_report_with_a_create_time_record_states_it(in_batches: bool, crosses: bool) -> None:
    """Also if the record crosses no boundary, and its timestamp is only repeated."""
    stepped = SteppedReporter()
    observe = stepped.reporter.observe_many if in_batches else lambda each: stepped.reporter.observe_message(each[0])
    observe([record(APPENDED, NOW_MS - MINUTE_MS)])
    stepped.step()

    assert stated(stepped) == [({0: NOW_MS - MINUTE_MS}, False)]

    timestamp_ms = NOW_MS if crosses else NOW_MS - 7
    observe([record(CREATED, timestamp_ms)])
    stepped.reporter.step()
    stepped.time.advance(10)
    stepped.step()

    assert stated(stepped)[0] == ({0: timestamp_ms}, True)


def test_it_is_stated_although_records_with_log_append_time_follow() -> None:
    """A report states it until one that states it was accepted; then the type of the newest record counts."""
    stepped = SteppedReporter()
    stepped.sink.error = StoreUnavailable()
    stepped.reporter.observe_many([record(CREATED, NOW_MS - 9), record(APPENDED, NOW_MS - 8)])
    stepped.step()
    stepped.sink.error = None
    stepped.sink.outcome = lambda reading: Outcome.UNKNOWN
    stepped.pass_time(0)
    stepped.sink.reports.clear()
    stepped.time.advance(5)
    stepped.step()

    assert stated(stepped) == [({0: NOW_MS - 8}, True)]

    stepped.sink.outcome = lambda reading: Outcome.ACCEPTED
    for _ in range(2):
        stepped.time.advance(10)
        stepped.step()

    assert stated(stepped) == [({0: NOW_MS - 8}, True), ({0: NOW_MS - 8}, False)]


def test_a_topic_with_create_time_is_stated_in_each_report() -> None:
    """A store that lost its data gets it again."""
    stepped = SteppedReporter()
    stepped.reporter.observe_many([record(CREATED, NOW_MS)])
    stepped.step()
    for _ in range(2):
        stepped.time.advance(10)
        stepped.step()

    assert stated(stepped) == [({0: NOW_MS}, True)] * 3


def test_only_reports_with_such_partitions_state_it() -> None:
    """A report of other partitions does not."""
    stepped = SteppedReporter()
    stepped.reporter.observe_many([record(CREATED, NOW_MS), record(APPENDED, NOW_MS, partition=1)])
    stepped.step()
    stepped.sink.reports.clear()
    stepped.reporter.observe_many([record(APPENDED, NOW_MS + MINUTE_MS // 2, partition=1)])
    stepped.reporter.observe(1, NOW_MS + MINUTE_MS)
    stepped.step()

    assert stated(stepped) == [({1: NOW_MS + MINUTE_MS}, False)]


def test_without_a_message_nothing_is_stated() -> None:
    """`observe` gets no timestamp type."""
    stepped = SteppedReporter()
    stepped.reporter.observe(0, NOW_MS)
    stepped.step()

    assert stated(stepped) == [({0: NOW_MS}, False)]
