"""Which topic a reporter reports for, messages as a consumer hands them over, and rebalances."""

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from clocksvc import is_heartbeat
from clocksvc.errors import ReporterMisuse
from clocksvc.interfaces.store import ClockParameters
from tests.unit.client.report_desk import (
    BOUNDS,
    MINUTE_MS,
    NOW_MS,
    TOPIC,
    Assigned,
    Desk,
    StepResult,
    message,
)

pytestmark = pytest.mark.core

TWO_TOPICS = ClockParameters("workers", ("checkins", "results"), MINUTE_MS, 0, MINUTE_MS)


def test_the_topic_of_a_clock_of_one_topic_need_not_be_told() -> None:
    """It comes with the first answer, and the numbers go out under it."""
    stepped = StepResult(topic=None)
    stepped.reporter.observe(3, NOW_MS)
    stepped.step()
    ((partition, timestamp_ms),) = stepped.desk.reports[0].timestamps

    assert (partition.topic, partition.number, timestamp_ms) == (TOPIC, 3, NOW_MS)


def test_a_clock_of_several_topics_wants_to_be_told_which(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is ever sent; the error is logged, and raised by every later observation and flush."""
    stepped = StepResult(Desk(TWO_TOPICS), topic=None, acquainted=False)
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
    """It names the topic, and those that there are."""
    stepped = StepResult(Desk(TWO_TOPICS), topic="check-ins")

    with pytest.raises(ReporterMisuse, match=r"'check-ins'.*checkins, results"):
        stepped.reporter.observe(0, NOW_MS)


def test_one_topic_of_several_can_be_told() -> None:
    """The numbers go out under it."""
    stepped = StepResult(Desk(TWO_TOPICS), topic="results")

    assert stepped.observe(NOW_MS) == [{0: NOW_MS}]
    assert stepped.reporter.flush()


def test_messages_of_another_topic_than_the_clock_s_are_an_error() -> None:
    """A reporter that was told no topic learns from its messages which one its consumer reads."""
    stepped = StepResult(topic=None, acquainted=False)
    stepped.reporter.observe_many([message(0, NOW_MS, "orders")])
    stepped.step()

    with pytest.raises(ReporterMisuse, match=r"'orders'.*'checkins'"):
        stepped.reporter.observe_many([message(0, NOW_MS, "orders")])
    assert stepped.desk.take() == []


def test_a_topic_added_later_breaks_no_consumer_that_runs() -> None:
    """A change of the clock's configuration is logged; the reporter goes on with its topic."""
    stepped = StepResult(topic=None)
    stepped.observe(NOW_MS)
    stepped.desk.bounds = TWO_TOPICS
    stepped.pass_time(10)

    assert stepped.observe(NOW_MS + MINUTE_MS) == [{0: NOW_MS + MINUTE_MS}]


def test_a_batch_of_messages_counts_by_partition() -> None:
    """The highest of each partition; heartbeats count like all others."""
    stepped = StepResult()
    stepped.reporter.observe_many([message(0, NOW_MS - 7), message(1, NOW_MS - 5), message(0, NOW_MS - 9)])
    stepped.step()

    assert stepped.desk.take() == [{0: NOW_MS - 7, 1: NOW_MS - 5}]

    stepped.reporter.observe_many(iter([message(1, NOW_MS), message(0, NOW_MS + 3), message(1, NOW_MS + 1)]))
    stepped.step()

    assert stepped.desk.take() == [{0: NOW_MS + 3, 1: NOW_MS + 1}]

    stepped.reporter.observe_many([])


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("timestamp_ms", [NOW_MS - 80_000, NOW_MS - 40_000, NOW_MS + 10])
def test_messages_of_another_topic_are_refused_after_all_others_counted(place: int, timestamp_ms: int) -> None:
    """The error names both topics; the foreign message counts for nothing, the rest of its batch does."""
    stepped = StepResult()
    stepped.observe(NOW_MS - 70_000)
    batch = [message(0, NOW_MS - 20), message(1, NOW_MS - 10)]
    batch.insert(place, message(0, timestamp_ms, "orders"))

    with pytest.raises(ReporterMisuse, match=r"'orders'.*'checkins'"):
        stepped.reporter.observe_many(batch)

    stepped.reporter.flush()

    assert stepped.desk.last() == {0: NOW_MS - 20, 1: NOW_MS - 10}


def test_a_foreign_message_that_moves_nothing_is_refused_where_it_is_first_or_last() -> None:
    """Also in a batch in which no record needs a second look."""
    stepped = StepResult()
    stepped.observe(NOW_MS)
    for batch in ([message(0, NOW_MS, "orders")], [message(0, NOW_MS), message(0, NOW_MS, "orders")]):
        with pytest.raises(ReporterMisuse):
            stepped.reporter.observe_many(batch)


def test_messages_with_an_error_are_passed_over() -> None:
    """Events are no records; the end of a partition has no timestamp worth the name."""
    stepped = StepResult()
    end = KafkaError(KafkaError._PARTITION_EOF)
    events = [message(0, NOW_MS + 9, error=end), message(1, -1, error=end), message(2, NOW_MS, error=end)]
    stepped.reporter.observe_many([*events, message(0, NOW_MS)])
    stepped.reporter.flush()

    assert stepped.desk.last() == {0: NOW_MS}
    assert [report.rejected for report in stepped.desk.reports] == [()]


TIMES = st.integers(-100_000, 70_000)
BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 2), TIMES), max_size=8), max_size=8)


@given(BATCHES)
def test_a_batch_is_worth_the_same_as_its_messages_one_by_one(batches: list[list[tuple[int, int]]]) -> None:
    """Numbers, refusals and late records alike."""
    one_by_one, in_batches = (StepResult(Desk(BOUNDS, NOW_MS - 30_000)) for _ in range(2))
    for batch in batches:
        for partition, offset in batch:
            one_by_one.reporter.observe(partition, NOW_MS + offset)
        in_batches.reporter.observe_many([message(partition, NOW_MS + offset) for partition, offset in batch])
        one_by_one.step()
        in_batches.step()
    one_by_one.pass_time(10)
    in_batches.pass_time(10)

    assert one_by_one.desk.reports == in_batches.desk.reports


def test_a_partition_that_is_assigned_begins_anew() -> None:
    """What was known of it before counts no more: it may be another consumer's since."""
    stepped = StepResult()
    stepped.observe(NOW_MS)
    stepped.observe(NOW_MS, partition=1)
    stepped.reporter.on_assign(None, [Assigned(0)])

    assert stepped.pass_time(11) == [{1: NOW_MS}]
    assert stepped.observe(NOW_MS - 50_000) == [{0: NOW_MS - 50_000}]


def test_a_partition_that_is_revoked_is_reported_then_forgotten() -> None:
    """The last word on it goes out before it is another consumer's."""
    stepped = StepResult()
    stepped.observe(NOW_MS)
    stepped.reporter.observe(0, NOW_MS + 5)
    stepped.reporter.on_revoke(None, [Assigned(0)])

    assert stepped.desk.take() == [{0: NOW_MS + 5}]
    assert stepped.pass_time(30) == []


def test_a_revocation_tries_once_when_the_store_is_out_of_reach() -> None:
    """A rebalance waits for no store that is down."""
    stepped = StepResult()
    stepped.desk.trouble = TimeoutError()
    stepped.reporter.observe(0, NOW_MS)
    stepped.reporter.on_revoke(None, [Assigned(0)])

    assert len(stepped.desk.take()) == 1


def test_a_partition_that_is_lost_is_forgotten() -> None:
    """Another consumer has it already; nothing more is said of it."""
    stepped = StepResult()
    stepped.observe(NOW_MS, NOW_MS + 5)
    stepped.reporter.on_lost(None, [Assigned(0)])

    assert stepped.pass_time(30) == []


def test_another_topic_s_partitions_are_nobody_s_business() -> None:
    """A consumer of two topics has a reporter for each, and both hear of every rebalance."""
    stepped = StepResult()
    stepped.observe(NOW_MS)
    for told in (stepped.reporter.on_assign, stepped.reporter.on_revoke, stepped.reporter.on_lost):
        told(None, [Assigned(0, "orders")])

    assert stepped.pass_time(11) == [{0: NOW_MS}]


def test_an_answer_on_a_partition_that_was_forgotten_meanwhile_is_ignored() -> None:
    """Revoked and assigned again while a report is under way: the new beginning is not settled by the old answer."""
    stepped = StepResult()
    asked = stepped.desk.report

    def report(sent):  # type: ignore[no-untyped-def]
        stepped.reporter.on_lost(None, [Assigned(0)])
        stepped.reporter.on_assign(None, [Assigned(0)])
        stepped.reporter.observe(0, NOW_MS)
        stepped.desk.report = asked  # type: ignore[method-assign]
        return asked(sent)

    stepped.desk.report = report  # type: ignore[method-assign]

    assert stepped.observe(NOW_MS) == [{0: NOW_MS}, {0: NOW_MS}]


def test_heartbeats_are_known_by_their_header() -> None:
    """Whatever its value, and whatever other headers there are."""
    plain, empty, beat = (message(0, NOW_MS) for _ in range(3))
    empty.set_headers([])
    beat.set_headers([("trace", b"1"), ("clocksvc-heartbeat", b"")])

    assert [is_heartbeat(each) for each in (plain, empty, beat)] == [False, False, True]
