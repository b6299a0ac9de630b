"""One reporter for all topics of a clock: each message counts for its own topic."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest
from confluent_kafka import Message

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.errors import InvalidValue, ReporterMisuse
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from tests.unit.client.fake_sink import (
    MINUTE_MS,
    NOW_MS,
    PARAMETERS,
    AssignedPartition,
    FakeSink,
    SteppedReporter,
    message,
)

pytestmark = pytest.mark.core

MAIN, RETRY = "checkins", "checkins-retry"
BOTH = ClockParameters("workers", (MAIN, RETRY), MINUTE_MS, 0, MINUTE_MS)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that were logged as errors."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def sent(stepped: SteppedReporter) -> dict[str, int]:
    """The timestamps that were reported last since the last call, by topic and partition."""
    stepped.step()
    reports = list(stepped.sink.reports)
    stepped.sink.reports.clear()
    return {str(partition): at_ms for report in reports for partition, at_ms in report.timestamps}


def reporter(parameters: ClockParameters = BOTH, *, has_parameters: bool = True) -> SteppedReporter:
    """A reporter without a topic."""
    return SteppedReporter(FakeSink(parameters), topic=None, has_parameters=has_parameters)


def observe(stepped: SteppedReporter, messages: Sequence[Message], *, in_batches: bool) -> None:
    """Observe messages together or one by one."""
    if in_batches:
        stepped.reporter.observe_many(messages)
    else:
        for each in messages:
            stepped.reporter.observe_message(each)


@pytest.mark.parametrize("in_batches", [True, False])
@pytest.mark.parametrize("has_parameters", [True, False])
def test_each_message_counts_for_its_topic(has_parameters: bool, in_batches: bool) -> None:
    """Also if its timestamp is lower than that of the partition with the same number of the other topic, and also
    before the clock's parameters are known."""
    stepped = reporter(has_parameters=has_parameters)
    batch = [message(0, NOW_MS, MAIN), message(0, NOW_MS - 9, RETRY), message(1, NOW_MS - 5, RETRY)]
    observe(stepped, [*batch, message(1, NOW_MS - 7, MAIN), message(0, NOW_MS - 3, RETRY)], in_batches=in_batches)

    expected = {f"{MAIN}:0": NOW_MS, f"{MAIN}:1": NOW_MS - 7, f"{RETRY}:0": NOW_MS - 3, f"{RETRY}:1": NOW_MS - 5}
    assert sent(stepped) == expected

    observe(stepped, [message(0, NOW_MS + 1, RETRY), message(0, NOW_MS + 2, MAIN)], in_batches=in_batches)
    assert stepped.reporter.flush(0)
    assert sent(stepped) == {f"{RETRY}:0": NOW_MS + 1, f"{MAIN}:0": NOW_MS + 2}


def test_a_boundary_in_either_topic_is_reported_at_once() -> None:
    """Each topic has reports of its own."""
    stepped = reporter()
    observe(stepped, [message(0, NOW_MS, MAIN), message(0, NOW_MS, RETRY)], in_batches=True)
    sent(stepped)
    for topic in (RETRY, MAIN):
        stepped.reporter.observe_message(message(0, NOW_MS + 30_000, topic))
        assert sent(stepped) == {}

    stepped.time.advance(60)
    stepped.pass_time(0)
    sent(stepped)
    stepped.reporter.observe_message(message(0, NOW_MS + MINUTE_MS, RETRY))

    assert sent(stepped) == {f"{RETRY}:0": NOW_MS + MINUTE_MS}


def test_all_topics_are_repeated() -> None:
    """Every 10 s."""
    stepped = reporter()
    observe(stepped, [message(0, NOW_MS, MAIN), message(3, NOW_MS - 1, RETRY)], in_batches=True)
    sent(stepped)
    stepped.time.advance(10)

    assert sent(stepped) == {f"{MAIN}:0": NOW_MS, f"{RETRY}:3": NOW_MS - 1}


def test_a_rebalance_concerns_the_partitions_of_its_topic() -> None:
    """Revoked partitions are reported, then forgotten; an assignment of one topic leaves the other one's progress."""
    stepped = reporter()
    assigned = [AssignedPartition(0, MAIN), AssignedPartition(0, RETRY)]
    stepped.reporter.on_assign(None, assigned)
    observe(stepped, [message(0, NOW_MS, MAIN), message(0, NOW_MS, RETRY)], in_batches=True)
    stepped.reporter.on_assign(None, [AssignedPartition(1, MAIN)])
    assert sent(stepped) == {f"{MAIN}:0": NOW_MS, f"{RETRY}:0": NOW_MS}
    observe(stepped, [message(0, NOW_MS + 1, MAIN), message(0, NOW_MS + 2, RETRY)], in_batches=True)
    stepped.reporter.on_revoke(None, [AssignedPartition(0, MAIN)])

    assert sent(stepped) == {f"{MAIN}:0": NOW_MS + 1, f"{RETRY}:0": NOW_MS + 2}

    stepped.time.advance(10)
    assert sent(stepped) == {f"{RETRY}:0": NOW_MS + 2}

    stepped.reporter.on_lost(None, [AssignedPartition(0, RETRY)])
    stepped.time.advance(10)
    assert sent(stepped) == {}


@pytest.mark.parametrize("first", [MAIN, "orders"])
def test_a_topic_that_is_not_the_clocks_is_rejected(first: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its messages are an error in the log and a rejection in the store, and the clock's topics count. The order of the
    first messages is of no importance."""
    stepped = reporter()
    stepped.sink.outcome = lambda reading: (
        Outcome.FOREIGN_TOPIC if reading.partition.topic == "orders" else Outcome.ACCEPTED
    )
    topics = [first, *({MAIN, RETRY, "orders"} - {first})]
    observe(stepped, [message(0, NOW_MS, topic) for topic in topics], in_batches=True)
    stepped.step()
    stepped.time.advance(1)
    stepped.step()
    rejected = [each for report in stepped.sink.reports for each in report.rejected]

    accepted = sent(stepped)
    assert {key: value for key, value in accepted.items() if not key.startswith("orders")} == {
        f"{MAIN}:0": NOW_MS,
        f"{RETRY}:0": NOW_MS,
    }
    if first == MAIN:
        assert rejected == [(PartitionTimestamp(Partition("orders", 0), NOW_MS), Outcome.FOREIGN_TOPIC)]
    (text,) = errors(caplog)
    assert "of topic 'orders' are rejected" in text
    assert f"clock checkins has topics {MAIN}, {RETRY}" in text


def test_a_topic_that_was_given_is_the_only_one(caplog: pytest.LogCaptureFixture) -> None:
    """Messages of the clock's other topic are rejected, and the error says how to observe all."""
    stepped = SteppedReporter(FakeSink(BOTH), topic=MAIN)
    observe(stepped, [message(0, NOW_MS, MAIN), message(0, NOW_MS, RETRY)], in_batches=True)

    assert sent(stepped) == {f"{MAIN}:0": NOW_MS}
    assert errors(caplog) == [
        f"messages of topic {RETRY!r} are rejected: this reporter has topic {MAIN!r}; create the Reporter without a "
        "topic to observe all topics of the clock"
    ]


def test_numbers_do_not_count_beside_messages_of_several_topics(caplog: pytest.LogCaptureFixture) -> None:
    """A number does not say of which topic it is. What was observed by number before is dropped, and every later one is
    rejected, which is logged once. Wrong arguments are errors as before."""
    stepped = reporter()
    stepped.reporter.observe_message(message(0, NOW_MS, MAIN))
    stepped.reporter.observe(1, NOW_MS)
    stepped.reporter.observe_message(message(0, NOW_MS, RETRY))
    for number in (0, 1, 2):
        stepped.reporter.observe(number, NOW_MS + MINUTE_MS)
    stepped.reporter.observe_message(message(0, NOW_MS + 1, MAIN))
    stepped.reporter.flush(0)

    assert sent(stepped) == {f"{MAIN}:0": NOW_MS + 1, f"{RETRY}:0": NOW_MS}
    assert errors(caplog) == [
        "reports without a topic are rejected: the consumer reads several topics: create one Reporter(…, topic=…) for "
        "each topic"
    ]
    with pytest.raises(InvalidValue):
        stepped.reporter.observe("0", NOW_MS)  # type: ignore[arg-type]


@pytest.mark.parametrize("assigned_first", [True, False])
def test_numbers_do_not_count_after_an_assignment_of_several_topics(assigned_first: bool) -> None:
    """Also if messages of only one of them were observed, before or after it."""
    stepped = reporter()
    both = [AssignedPartition(1, MAIN), AssignedPartition(1, RETRY)]
    if assigned_first:
        stepped.reporter.on_assign(None, both)
    stepped.reporter.observe_message(message(0, NOW_MS, MAIN))
    if not assigned_first:
        stepped.reporter.on_assign(None, both)
    stepped.reporter.observe(0, NOW_MS + 1)
    stepped.reporter.observe(1, NOW_MS)
    stepped.reporter.flush(0)

    assert sent(stepped) == {f"{MAIN}:0": NOW_MS}


def test_a_topic_that_the_clock_gets_later_counts() -> None:
    """From the first report that shows the new configuration."""
    stepped = reporter(PARAMETERS)
    observe(stepped, [message(0, NOW_MS, MAIN)], in_batches=True)
    sent(stepped)
    observe(stepped, [message(0, NOW_MS + 1, MAIN), message(0, NOW_MS + 1, RETRY)], in_batches=True)
    stepped.reporter.flush(0)
    assert sent(stepped) == {f"{MAIN}:0": NOW_MS + 1}

    stepped.sink.parameters = BOTH
    stepped.time.advance(10)
    sent(stepped)
    observe(stepped, [message(0, NOW_MS + 2, MAIN), message(0, NOW_MS + 2, RETRY)], in_batches=True)
    stepped.reporter.flush(0)
    assert sent(stepped) == {f"{MAIN}:0": NOW_MS + 2, f"{RETRY}:0": NOW_MS + 2}

    observe(stepped, [message(0, NOW_MS + 3, RETRY), message(0, NOW_MS + 4, MAIN)], in_batches=True)
    stepped.reporter.flush(0)
    assert sent(stepped) == {f"{RETRY}:0": NOW_MS + 3, f"{MAIN}:0": NOW_MS + 4}


def test_a_reporter_with_its_thread_reports_all_topics_and_closes_once() -> None:
    """One thread and one sink. After `close`, a message of any topic raises."""
    sink = FakeSink(BOTH)
    reporter = Reporter("memory://", "checkins", group="workers", sink=sink)
    reporter.observe_many([message(0, 1_000_000_000_000, topic) for topic in (MAIN, RETRY)])

    assert reporter.close()
    assert sink.closed
    topics = {partition.topic for report in sink.reports for partition, _ in report.timestamps}
    assert topics == {MAIN, RETRY}
    for topic in (MAIN, RETRY, "orders"):
        with pytest.raises(ReporterMisuse):
            reporter.observe_message(message(1, NOW_MS, topic))


class SlowRetries(FakeSink):
    """A store of a clock with `max_drift`, whose slowest partition is one of the retry topic."""

    last_minute = 0

    def report(self, report: Report) -> ReportAnswer:
        tick_ms = NOW_MS - 180 * MINUTE_MS + self.last_minute * MINUTE_MS
        return replace(super().report(report), last_tick_ms=tick_ms, lowest_ms=tick_ms)


def test_partitions_of_each_topic_can_run_ahead() -> None:
    """The slow partition of the retry topic goes on; those of both topics that are too far ahead are paused."""
    stepped = SteppedReporter(sink := SlowRetries(replace(BOTH, max_drift_ms=10 * MINUTE_MS)), topic=None)
    for minute in (0, 1):
        sink.last_minute = minute
        now_ms = NOW_MS - 180 * MINUTE_MS + minute * MINUTE_MS
        fast = [message(0, now_ms + 30 * MINUTE_MS, topic) for topic in (MAIN, RETRY)]
        near = [message(1, now_ms + 9 * MINUTE_MS, topic) for topic in (MAIN, RETRY)]
        observe(stepped, [*fast, *near, message(2, now_ms, RETRY)], in_batches=True)
        assert stepped.reporter.flush(0)
        stepped.time.advance(1)

    assert stepped.reporter.ahead() == {Partition(MAIN, 0), Partition(RETRY, 0)}
