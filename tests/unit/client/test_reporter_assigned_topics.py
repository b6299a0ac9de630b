"""A reporter learns from assignments and messages which topic its consumer reads. Another topic counts for nothing."""

import logging

import pytest

from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.interfaces.progress import ClockParameters
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS, TOPIC, AssignedPartition, FakeSink, SteppedReporter, message

pytestmark = pytest.mark.core

FOREIGN = "reports of topic 'brk' are rejected: clock checkins has topics checkins"
BRK_0 = AssignedPartition(0, "brk")


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clocksvc.reporter")


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The level and the text of each record."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def sent(stepped: SteppedReporter) -> list[PartitionTimestamp]:
    """The timestamps that were reported since the last call."""
    reports = list(stepped.sink.reports)
    stepped.sink.reports.clear()
    return [each for report in reports for each in report.timestamps]


def rejected(stepped: SteppedReporter) -> list[tuple[PartitionTimestamp, Outcome]]:
    """The rejections that were reported since the last call."""
    reports = list(stepped.sink.reports)
    stepped.sink.reports.clear()
    return [each for report in reports for each in report.rejected]


@pytest.mark.parametrize("topic", [None, TOPIC])
def test_numbers_of_another_topic_are_reported_as_such(topic: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """The consumer was assigned partitions of another topic only: its partition 0 is not the clock's partition 0."""
    stepped = SteppedReporter(topic=topic)
    stepped.sink.outcome = lambda reading: Outcome.FOREIGN_TOPIC
    caplog.clear()
    stepped.reporter.on_assign(None, [BRK_0])
    stepped.reporter.observe(0, NOW_MS)
    stepped.step()

    assert sent(stepped) == [PartitionTimestamp(Partition("brk", 0), NOW_MS)]
    assert logged(caplog) == [("ERROR", FOREIGN)]


def test_another_topic_without_records_is_an_error_too(caplog: pytest.LogCaptureFixture) -> None:
    """Heartbeats go to the clock's topic, so a quiet topic has no message that shows the mistake. The store learns the
    topic every 10 s, and nothing else is reported."""
    stepped = SteppedReporter(topic=None)
    stepped.reporter.on_assign(None, [BRK_0, AssignedPartition(1, "brk")])
    for _ in range(25):
        stepped.step()
        stepped.time.advance(1)
    nothing = (PartitionTimestamp(Partition("brk", 0), -1), Outcome.FOREIGN_TOPIC)

    assert [(report.timestamps, report.rejected) for report in stepped.sink.reports] == [((), (nothing,))] * 2
    assert stepped.reporter.flush(0)
    assert logged(caplog) == [("ERROR", FOREIGN)]


def test_the_topic_is_counted_as_soon_as_the_clock_has_it(caplog: pytest.LogCaptureFixture) -> None:
    """The topic was right, and the configuration was not."""
    stepped = SteppedReporter(topic=None)
    stepped.sink.outcome = lambda reading: Outcome.FOREIGN_TOPIC
    stepped.reporter.on_assign(None, [BRK_0])
    stepped.reporter.observe_message(message(0, NOW_MS, "brk"))
    stepped.step()
    stepped.sink.parameters = ClockParameters("workers", ("brk",), MINUTE_MS, 0, MINUTE_MS)
    stepped.sink.outcome = lambda reading: Outcome.ACCEPTED
    stepped.pass_time(10)

    assert stepped.reporter.flush(0)
    assert logged(caplog) == [
        ("ERROR", FOREIGN),
        ("INFO", "reporting the progress of group workers in topic brk to clock checkins, which ticks every 60 s"),
    ]


def test_a_consumer_of_two_topics_gets_them_one_after_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """The reporter of one topic sees the assignment of the other one first: this is no error."""
    stepped = SteppedReporter(topic=TOPIC)
    stepped.reporter.on_assign(None, [BRK_0])
    stepped.reporter.on_assign(None, [AssignedPartition(0)])
    stepped.reporter.observe(0, NOW_MS)
    stepped.reporter.on_revoke(None, [AssignedPartition(0)])
    stepped.reporter.observe(0, NOW_MS + 1)
    stepped.step()

    assert {each.partition for each in sent(stepped)} == {Partition(TOPIC, 0)}
    assert [level for level, _ in logged(caplog)] == ["INFO"]


def test_numbers_of_two_assigned_topics_do_not_count(caplog: pytest.LogCaptureFixture) -> None:
    """A partition number does not say of which topic it is. Also what was observed before the second topic came is
    dropped, and each topic gets the rejection."""
    stepped = SteppedReporter(topic=None)
    stepped.reporter.on_assign(None, [AssignedPartition(0)])
    stepped.reporter.observe(0, NOW_MS)
    stepped.reporter.on_assign(None, [BRK_0])
    stepped.reporter.observe(0, NOW_MS + MINUTE_MS)
    stepped.sink.reports.clear()
    assert stepped.pass_time(10) == []
    stepped.reporter.step()
    stepped.time.advance(10)
    stepped.reporter.step()

    assert rejected(stepped) == [
        (PartitionTimestamp(Partition(topic, 0), NOW_MS + MINUTE_MS), Outcome.FOREIGN_TOPIC) for topic in (TOPIC, "brk")
    ]
    assert not stepped.reporter.flush(0)
    assert logged(caplog)[-1] == (
        "ERROR",
        "reports without a topic are rejected: the consumer was assigned partitions of several topics (brk, checkins): "
        "create one Reporter(…, topic=…) for each topic",
    )


def test_messages_of_a_consumer_of_two_topics_count(caplog: pytest.LogCaptureFixture) -> None:
    """A message names its topic, so the assignment of another one changes nothing."""
    stepped = SteppedReporter(topic=None)
    stepped.reporter.on_assign(None, [AssignedPartition(0)])
    stepped.reporter.observe_message(message(0, NOW_MS))
    stepped.reporter.on_assign(None, [BRK_0])
    stepped.reporter.observe_message(message(0, NOW_MS + MINUTE_MS))
    stepped.step()

    assert sent(stepped)[-1] == PartitionTimestamp(Partition(TOPIC, 0), NOW_MS + MINUTE_MS)
    assert [level for level, _ in logged(caplog)] == ["INFO"]


@pytest.mark.parametrize("in_batches", [True, False])
def test_messages_of_another_topic_reach_the_store_as_rejections(in_batches: bool) -> None:
    """Within a second, so that the hold can name the topic."""
    stepped = SteppedReporter(topic=TOPIC)
    stray = message(3, NOW_MS, "brk")
    if in_batches:
        stepped.reporter.observe_many([stray])
    else:
        stepped.reporter.observe_message(stray)
    stepped.step()
    stepped.time.advance(1)
    stepped.step()

    assert [report.timestamps for report in stepped.sink.reports] == [()]
    assert rejected(stepped) == [(PartitionTimestamp(Partition("brk", 3), NOW_MS), Outcome.FOREIGN_TOPIC)]


@pytest.mark.parametrize("has_parameters", [True, False])
def test_an_assumed_topic_is_logged_once(has_parameters: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Without a topic, an assignment or a message, numbers count for the only topic of the clock."""
    stepped = SteppedReporter(topic=None, has_parameters=has_parameters)
    for number in range(3):
        stepped.reporter.observe(number, NOW_MS)
        stepped.pass_time(10)

    assert logged(caplog) == [
        (
            "INFO",
            "reporting the progress of group workers in topic checkins to clock checkins, which ticks every 60 s; the "
            "topic is assumed, because it is the only one of the clock: on_assign was not called, and the reporter was "
            "given no topic",
        )
    ]


def test_a_topic_is_not_assumed_before_it_is_needed(caplog: pytest.LogCaptureFixture) -> None:
    """The first answer can come before the first message, which names another topic than the clock's."""
    stepped = SteppedReporter(topic=None)
    stepped.reporter.observe_message(message(0, NOW_MS, "brk"))
    stepped.step()

    assert sent(stepped) == [PartitionTimestamp(Partition("brk", 0), NOW_MS)]
    assert logged(caplog) == [("ERROR", FOREIGN)]


def test_a_reporter_whose_timestamps_are_all_rejected_does_not_log_that_it_reports(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only the first accepted timestamp shows that reports count."""
    stepped = SteppedReporter(has_parameters=False)
    stepped.reporter.observe(0, NOW_MS // 1000)
    stepped.pass_time(10)
    stepped.sink.outcome = lambda reading: Outcome.TOO_FAR_AHEAD
    stepped.observe(NOW_MS)
    assert {level for level, _ in logged(caplog)} == {"WARNING"}

    stepped.sink.outcome = lambda reading: Outcome.ACCEPTED
    stepped.observe(NOW_MS + MINUTE_MS // 2)
    stepped.pass_time(10)
    assert logged(caplog)[-1] == (
        "INFO",
        "reporting the progress of group workers in topic checkins to clock checkins, which ticks every 60 s",
    )


def test_a_clock_that_follows_committed_offsets_needs_no_reporter(caplog: pytest.LogCaptureFixture) -> None:
    """Also a Reporter of the clock's own group is rejected. The line says what to do."""
    spec = ClockSpec("checkins", (TOPIC,), "workers", source=Source.COMMITTED)
    stepped = SteppedReporter(FakeSink(ClockParameters(spec.reporting_group, (TOPIC,), MINUTE_MS, 0, MINUTE_MS)))
    stepped.sink.outcome = lambda reading: Outcome.FOREIGN_GROUP
    stepped.reporter.observe_message(message(0, NOW_MS, TOPIC))
    stepped.pass_time(60)

    assert logged(caplog) == [
        (
            "ERROR",
            "reports of group 'workers' are rejected: clock checkins follows committed offsets: remove the Reporter, "
            "or set source: reports",
        )
    ]


def test_another_group_and_another_topic_are_two_errors(caplog: pytest.LogCaptureFixture) -> None:
    """And no other line follows while this lasts."""
    stepped = SteppedReporter(
        FakeSink(ClockParameters("others", (TOPIC,), MINUTE_MS, 0, MINUTE_MS)), topic=None, has_parameters=False
    )
    stepped.sink.outcome = lambda reading: Outcome.FOREIGN_GROUP
    stepped.reporter.observe_message(message(0, NOW_MS, "brk"))
    stepped.pass_time(60)

    assert logged(caplog) == [
        ("ERROR", "reports of group 'workers' are rejected: clock checkins belongs to group 'others'"),
        ("ERROR", FOREIGN),
    ]
