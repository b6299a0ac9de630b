"""The topic of a reporter, batches of messages, and rebalances."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from clocksvc import is_heartbeat
from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.interfaces.progress import ClockParameters
from tests.unit.client.fake_sink import (
    MINUTE_MS,
    NOW_MS,
    PARAMETERS,
    TOPIC,
    AssignedPartition,
    FakeSink,
    SteppedReporter,
    message,
)

pytestmark = pytest.mark.core

TWO_TOPICS = ClockParameters("workers", ("checkins", "results"), MINUTE_MS, 0, MINUTE_MS)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that were logged as errors."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_the_only_topic_of_a_clock_need_not_be_given() -> None:
    """The first answer contains it, and reports use it."""
    stepped = SteppedReporter(topic=None)
    stepped.reporter.observe(3, NOW_MS)
    stepped.step()
    ((partition, timestamp_ms),) = stepped.sink.reports[0].timestamps

    assert (partition.topic, partition.number, timestamp_ms) == (TOPIC, 3, NOW_MS)


def test_a_clock_of_several_topics_requires_a_topic(caplog: pytest.LogCaptureFixture) -> None:
    """Timestamps without a topic do not count: they are rejected for each topic that they may belong to, every 10 s.

    The error is logged once and names the topics; nothing raises.
    """
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic=None, has_parameters=False)
    stepped.reporter.observe(0, NOW_MS)
    stepped.step()
    stepped.reporter.observe(0, NOW_MS + MINUTE_MS)

    assert not stepped.reporter.flush()

    for _ in range(29):
        stepped.time.advance(1)
        stepped.step()
    rejected = tuple(
        (PartitionTimestamp(Partition(topic, 0), NOW_MS + MINUTE_MS), Outcome.FOREIGN_TOPIC)
        for topic in ("checkins", "results")
    )

    assert [(report.timestamps, report.rejected) for report in stepped.sink.reports] == [
        ((), ()),
        ((), rejected),
        ((), rejected),
    ]
    assert errors(caplog) == [
        "reports without a topic are rejected: clock checkins has several topics (checkins, results): create one "
        "Reporter(…, topic=…) for each topic"
    ]


def test_a_flush_does_not_wait_while_the_topic_is_not_known() -> None:
    """A rebalance is not delayed by a wrong configuration."""
    sink = FakeSink(TWO_TOPICS)
    with Reporter("memory://", "checkins", group="workers", sink=sink) as reporter:
        reporter.observe(0, NOW_MS)
        began = time.monotonic()

        assert not reporter.flush(30)
        assert time.monotonic() - began < 10


def test_what_was_observed_without_a_topic_never_counts() -> None:
    """Not even after the clock has only one topic again: the timestamp may be from another topic."""
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic=None)
    stepped.reporter.observe(0, NOW_MS)
    stepped.sink.parameters = PARAMETERS

    assert stepped.pass_time(20) == []
    assert stepped.observe(NOW_MS + 1) == [{0: NOW_MS + 1}]


def test_messages_name_the_topic_of_a_clock_of_several_topics() -> None:
    """Only what comes from messages counts; what was observed without a topic before is dropped."""
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic=None)
    stepped.reporter.observe(0, NOW_MS + 50)
    stepped.reporter.observe_message(message(1, NOW_MS, "results"))
    stepped.step()
    ((partition, timestamp_ms),) = [each for report in stepped.sink.reports for each in report.timestamps]

    assert (partition, timestamp_ms) == (Partition("results", 1), NOW_MS)


def test_a_topic_that_the_clock_does_not_have_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """The error names the topic and the clock's topics. Reports keep that topic, so that the store counts them."""
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic="check-ins")
    stepped.reporter.observe(0, NOW_MS)
    stepped.step()
    ((partition, _),) = stepped.sink.reports[0].timestamps

    assert partition == Partition("check-ins", 0)
    assert errors(caplog) == ["reports of topic 'check-ins' are rejected: clock checkins has topics checkins, results"]


def test_an_error_is_logged_once_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged again if the configuration was right in between; then the reporter logs what it reports."""
    caplog.set_level(logging.INFO, "clocksvc.reporter")
    stepped = SteppedReporter(FakeSink(PARAMETERS), topic="results")
    stepped.observe(NOW_MS)
    for parameters in (TWO_TOPICS, PARAMETERS, replace(PARAMETERS, interval_ms=1_000)):
        stepped.sink.parameters = parameters
        stepped.pass_time(20)

    (text,) = set(errors(caplog))
    assert text == "reports of topic 'results' are rejected: clock checkins has topics checkins"
    assert len(errors(caplog)) == 2
    assert [record.message for record in caplog.records if record.levelno == logging.INFO] == [
        "reporting the progress of group workers in topic results to clock checkins, which ticks every 60 s"
    ]


def test_one_topic_of_several_can_be_given() -> None:
    """Reports use it."""
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic="results")

    assert stepped.observe(NOW_MS) == [{0: NOW_MS}]
    assert stepped.reporter.flush()


def test_messages_of_another_topic_than_the_clock_s_are_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """A reporter without a topic takes it from the messages of its consumer, and never counts them for another one."""
    stepped = SteppedReporter(topic=None, has_parameters=False)
    stepped.reporter.observe_many([message(0, NOW_MS, "orders")])
    stepped.step()
    stepped.reporter.observe_many([message(0, NOW_MS, "orders")])

    assert {each.partition.topic for report in stepped.sink.reports for each in report.timestamps} == {"orders"}
    assert errors(caplog) == ["reports of topic 'orders' are rejected: clock checkins has topics checkins"]


def test_a_topic_added_later_breaks_no_consumer_that_runs(caplog: pytest.LogCaptureFixture) -> None:
    """A change of the clock's configuration is logged; the reporter continues with its topic."""
    stepped = SteppedReporter(topic=None)
    stepped.observe(NOW_MS)
    stepped.sink.parameters = TWO_TOPICS
    stepped.pass_time(10)

    assert stepped.observe(NOW_MS + MINUTE_MS) == [{0: NOW_MS + MINUTE_MS}]
    (text,) = errors(caplog)
    assert text.startswith(
        "reports will be rejected after a restart: clock checkins has several topics now (checkins, r"
    )


def test_a_batch_of_messages_counts_by_partition() -> None:
    """The highest timestamp of each partition counts; heartbeats count like other records."""
    stepped = SteppedReporter()
    stepped.reporter.observe_many([message(0, NOW_MS - 7), message(1, NOW_MS - 5), message(0, NOW_MS - 9)])
    stepped.step()

    assert stepped.sink.take_sent() == [{0: NOW_MS - 7, 1: NOW_MS - 5}]

    stepped.reporter.observe_many(iter([message(1, NOW_MS), message(0, NOW_MS + 3), message(1, NOW_MS + 1)]))
    stepped.step()

    assert stepped.sink.take_sent() == [{0: NOW_MS + 3, 1: NOW_MS + 1}]

    stepped.reporter.observe_many([])


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("timestamp_ms", [NOW_MS - 80_000, NOW_MS - 40_000, NOW_MS + 10])
def test_messages_of_another_topic_never_count(place: int, timestamp_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    """The error names both topics; the foreign message does not count, the rest of the batch does."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS - 70_000)
    batch = [message(0, NOW_MS - 20), message(1, NOW_MS - 10)]
    batch.insert(place, message(0, timestamp_ms, "orders"))
    stepped.reporter.observe_many(batch)
    stepped.reporter.observe_message(message(0, NOW_MS + 11, "orders"))
    stepped.reporter.flush()

    assert stepped.sink.last_sent() == {0: NOW_MS - 20, 1: NOW_MS - 10}
    assert errors(caplog) == [
        "messages of topic 'orders' are rejected: this reporter has topic 'checkins', and clock checkins has topics "
        "checkins"
    ]


@pytest.mark.parametrize("before", [[], [message(0, NOW_MS)]])
def test_a_foreign_message_that_moves_nothing_is_logged_if_it_is_first_or_last(
    before: list[Message], caplog: pytest.LogCaptureFixture
) -> None:
    """Also in a batch without a record that takes the slow path."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    stepped.reporter.observe_many([*before, message(0, NOW_MS, "orders")])

    (text,) = errors(caplog)
    assert "'orders'" in text


def test_messages_with_an_error_are_ignored() -> None:
    """Error events are not records; the end of a partition has no valid timestamp."""
    stepped = SteppedReporter()
    end = KafkaError(KafkaError._PARTITION_EOF)
    events = [message(0, NOW_MS + 9, error=end), message(1, -1, error=end), message(2, NOW_MS, error=end)]
    stepped.reporter.observe_many([*events, message(0, NOW_MS)])
    stepped.reporter.flush()

    assert stepped.sink.last_sent() == {0: NOW_MS}
    assert [report.rejected for report in stepped.sink.reports] == [()]


TIMES = st.integers(-100_000, 70_000)
BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 2), TIMES), max_size=8), max_size=8)


@given(BATCHES)
def test_a_batch_is_worth_the_same_as_its_messages_one_by_one(batches: list[list[tuple[int, int]]]) -> None:
    """Timestamps, rejections and late records are the same. Only messages have a timestamp type."""
    by_number, by_message, in_batches = (SteppedReporter(FakeSink(PARAMETERS, NOW_MS - 30_000)) for _ in range(3))
    for batch in batches:
        messages = [message(partition, NOW_MS + offset) for partition, offset in batch]
        for partition, offset in batch:
            by_number.reporter.observe(partition, NOW_MS + offset)
        for each in messages:
            by_message.reporter.observe_message(each)
        in_batches.reporter.observe_many(messages)
        for stepped in (by_number, by_message, in_batches):
            stepped.step()
    for stepped in (by_number, by_message, in_batches):
        stepped.pass_time(10)

    assert by_message.sink.reports == in_batches.sink.reports
    assert by_number.sink.reports == [replace(each, create_time_topics=()) for each in in_batches.sink.reports]


def test_an_assigned_partition_starts_without_progress() -> None:
    """Its earlier progress does not count: another consumer may have read it since."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    stepped.observe(NOW_MS, partition=1)
    stepped.reporter.on_assign(None, [AssignedPartition(0)])

    assert stepped.pass_time(11) == [{1: NOW_MS}]
    assert stepped.observe(NOW_MS - 50_000) == [{0: NOW_MS - 50_000}]


def test_a_partition_that_is_revoked_is_reported_then_forgotten() -> None:
    """Its last timestamp is sent before another consumer gets it."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    stepped.reporter.observe(0, NOW_MS + 5)
    stepped.reporter.on_revoke(None, [AssignedPartition(0)])

    assert stepped.sink.take_sent() == [{0: NOW_MS + 5}]
    assert stepped.pass_time(30) == []


def test_a_revocation_tries_once_when_the_store_is_out_of_reach() -> None:
    """A rebalance does not wait for a store that is down."""
    stepped = SteppedReporter()
    stepped.sink.error = TimeoutError()
    stepped.reporter.observe(0, NOW_MS)
    stepped.reporter.on_revoke(None, [AssignedPartition(0)])

    assert len(stepped.sink.take_sent()) == 1


def test_a_partition_that_is_lost_is_forgotten() -> None:
    """Another consumer has it already; nothing more is reported of it."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS, NOW_MS + 5)
    stepped.reporter.on_lost(None, [AssignedPartition(0)])

    assert stepped.pass_time(30) == []


def test_partitions_of_another_topic_are_ignored() -> None:
    """A consumer of two topics has a reporter for each, and both get the callbacks of every rebalance."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    for told in (stepped.reporter.on_assign, stepped.reporter.on_revoke, stepped.reporter.on_lost):
        told(None, [AssignedPartition(0, "orders")])

    assert stepped.pass_time(11) == [{0: NOW_MS}]


def test_an_answer_on_a_partition_that_was_forgotten_meanwhile_is_ignored() -> None:
    """It is revoked and assigned again during a report: the old answer must not change the new progress."""
    stepped = SteppedReporter()
    asked = stepped.sink.report

    def report(sent):  # type: ignore[no-untyped-def]
        stepped.reporter.on_lost(None, [AssignedPartition(0)])
        stepped.reporter.on_assign(None, [AssignedPartition(0)])
        stepped.reporter.observe(0, NOW_MS)
        stepped.sink.report = asked  # type: ignore[method-assign]
        return asked(sent)

    stepped.sink.report = report  # type: ignore[method-assign]

    assert stepped.observe(NOW_MS) == [{0: NOW_MS}, {0: NOW_MS}]


class RecordWithAttributes(NamedTuple):
    """A record as aiokafka has it."""

    headers: Sequence[tuple[str, bytes]]


def test_heartbeats_are_recognized_by_an_attribute_too() -> None:
    """Clients such as aiokafka have the headers as an attribute."""
    plain, other, beat = (
        RecordWithAttributes(headers) for headers in ((), [("trace", b"1")], (("clocksvc-heartbeat", b""),))
    )

    assert [is_heartbeat(each) for each in (plain, other, beat)] == [False, False, True]


def test_heartbeats_are_recognized_by_their_header() -> None:
    """With any value of the header, and among other headers."""
    plain, empty, beat = (message(0, NOW_MS) for _ in range(3))
    empty.set_headers([])
    beat.set_headers([("trace", b"1"), ("clocksvc-heartbeat", b"")])

    assert [is_heartbeat(each) for each in (plain, empty, beat)] == [False, False, True]
