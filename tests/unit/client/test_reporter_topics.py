"""The topic of a reporter, batches of messages, and rebalances."""

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from clocksvc import is_heartbeat
from clocksvc.errors import ReporterMisuse
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


def test_the_only_topic_of_a_clock_need_not_be_given() -> None:
    """The first answer contains it, and reports use it."""
    stepped = SteppedReporter(topic=None)
    stepped.reporter.observe(3, NOW_MS)
    stepped.step()
    ((partition, timestamp_ms),) = stepped.sink.reports[0].timestamps

    assert (partition.topic, partition.number, timestamp_ms) == (TOPIC, 3, NOW_MS)


def test_a_clock_of_several_topics_requires_a_topic(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent; the error is logged, and raised by every later observation and flush."""
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic=None, has_parameters=False)
    stepped.reporter.observe(0, NOW_MS)
    stepped.step()

    with pytest.raises(ReporterMisuse, match="checkins, results"):
        stepped.reporter.observe(0, NOW_MS + 1)
    with pytest.raises(ReporterMisuse, match="topic="):
        stepped.reporter.observe_many([message(0, NOW_MS)])
    with pytest.raises(ReporterMisuse):
        stepped.reporter.flush()
    assert stepped.pass_time(30) == []
    assert "several topics" in caplog.text


def test_a_topic_that_the_clock_does_not_have_is_an_error() -> None:
    """The error names the topic and the clock's topics."""
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic="check-ins")

    with pytest.raises(ReporterMisuse, match=r"'check-ins'.*checkins, results"):
        stepped.reporter.observe(0, NOW_MS)


def test_one_topic_of_several_can_be_given() -> None:
    """Reports use it."""
    stepped = SteppedReporter(FakeSink(TWO_TOPICS), topic="results")

    assert stepped.observe(NOW_MS) == [{0: NOW_MS}]
    assert stepped.reporter.flush()


def test_messages_of_another_topic_than_the_clock_s_are_an_error() -> None:
    """A reporter without a topic takes it from the messages of its consumer."""
    stepped = SteppedReporter(topic=None, has_parameters=False)
    stepped.reporter.observe_many([message(0, NOW_MS, "orders")])
    stepped.step()

    with pytest.raises(ReporterMisuse, match=r"'orders'.*'checkins'"):
        stepped.reporter.observe_many([message(0, NOW_MS, "orders")])
    assert stepped.sink.take_sent() == []


def test_a_topic_added_later_breaks_no_consumer_that_runs() -> None:
    """A change of the clock's configuration is logged; the reporter continues with its topic."""
    stepped = SteppedReporter(topic=None)
    stepped.observe(NOW_MS)
    stepped.sink.parameters = TWO_TOPICS
    stepped.pass_time(10)

    assert stepped.observe(NOW_MS + MINUTE_MS) == [{0: NOW_MS + MINUTE_MS}]


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
def test_messages_of_another_topic_raise_after_all_others_counted(place: int, timestamp_ms: int) -> None:
    """The error names both topics; the foreign message does not count, the rest of the batch does."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS - 70_000)
    batch = [message(0, NOW_MS - 20), message(1, NOW_MS - 10)]
    batch.insert(place, message(0, timestamp_ms, "orders"))

    with pytest.raises(ReporterMisuse, match=r"'orders'.*'checkins'"):
        stepped.reporter.observe_many(batch)

    stepped.reporter.flush()

    assert stepped.sink.last_sent() == {0: NOW_MS - 20, 1: NOW_MS - 10}


def test_a_foreign_message_that_moves_nothing_raises_if_it_is_first_or_last() -> None:
    """Also in a batch without a record that takes the slow path."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    for batch in ([message(0, NOW_MS, "orders")], [message(0, NOW_MS), message(0, NOW_MS, "orders")]):
        with pytest.raises(ReporterMisuse):
            stepped.reporter.observe_many(batch)


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
    """Timestamps, rejections and late records are the same."""
    one_by_one, in_batches = (SteppedReporter(FakeSink(PARAMETERS, NOW_MS - 30_000)) for _ in range(2))
    for batch in batches:
        for partition, offset in batch:
            one_by_one.reporter.observe(partition, NOW_MS + offset)
        in_batches.reporter.observe_many([message(partition, NOW_MS + offset) for partition, offset in batch])
        one_by_one.step()
        in_batches.step()
    one_by_one.pass_time(10)
    in_batches.pass_time(10)

    assert one_by_one.sink.reports == in_batches.sink.reports


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


def test_heartbeats_are_recognized_by_their_header() -> None:
    """With any value of the header, and among other headers."""
    plain, empty, beat = (message(0, NOW_MS) for _ in range(3))
    empty.set_headers([])
    beat.set_headers([("trace", b"1"), ("clocksvc-heartbeat", b"")])

    assert [is_heartbeat(each) for each in (plain, empty, beat)] == [False, False, True]
