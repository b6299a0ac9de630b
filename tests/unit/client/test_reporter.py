"""What a reporter sends and when, observed at the sink, with a manual clock."""

import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome
from clocksvc.errors import InvalidValue, StoreUnavailable
from clocksvc.interfaces.progress import ClockParameters
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS, PARAMETERS, TOPIC, FakeSink, SteppedReporter

pytestmark = pytest.mark.core


def test_parameters_are_requested_each_second_until_they_arrive() -> None:
    """Before a leader has written the clock's parameters, reports are empty; afterwards everything is sent at once."""
    stepped = SteppedReporter(FakeSink(parameters=None), has_parameters=False)
    stepped.reporter.observe(0, NOW_MS - 5)

    assert stepped.pass_time(2.5) == []

    stepped.sink.parameters = PARAMETERS

    assert stepped.pass_time(1) == [{0: NOW_MS - 5}]


def test_a_record_within_the_interval_is_not_written() -> None:
    """Nothing is sent between boundaries. The report at a boundary has the exact highest timestamp."""
    stepped = SteppedReporter()

    assert stepped.observe(NOW_MS - 3 * MINUTE_MS + 10) == [{0: NOW_MS - 3 * MINUTE_MS + 10}]
    assert stepped.observe(NOW_MS - 3 * MINUTE_MS + 700, NOW_MS - 2 * MINUTE_MS - 1) == []
    assert stepped.observe(NOW_MS - 2 * MINUTE_MS) == [{0: NOW_MS - 2 * MINUTE_MS}]


def test_a_boundary_is_crossed_in_raw_terms() -> None:
    """With an out-of-orderness of 10 s, a report is due at a record 10 s after the boundary."""
    stepped = SteppedReporter(FakeSink(ClockParameters("workers", (TOPIC,), MINUTE_MS, 10_000, MINUTE_MS)))
    stepped.observe(NOW_MS - 60_000)

    assert stepped.observe(NOW_MS - 50_001) == []
    assert stepped.observe(NOW_MS - 50_000) == [{0: NOW_MS - 50_000}]
    assert stepped.observe(NOW_MS + 9_999) == []
    assert stepped.observe(NOW_MS + 10_000) == [{0: NOW_MS + 10_000}]


def test_all_is_repeated_every_ten_seconds() -> None:
    """This restores a store that lost its data."""
    stepped = SteppedReporter()
    for partition in range(3):
        stepped.reporter.observe(partition, NOW_MS + partition)
    stepped.step()
    stepped.sink.take_sent()
    stepped.reporter.observe(1, NOW_MS + 50)

    assert stepped.pass_time(11) == [{0: NOW_MS, 1: NOW_MS + 50, 2: NOW_MS + 2}]
    assert stepped.pass_time(30) == [{0: NOW_MS, 1: NOW_MS + 50, 2: NOW_MS + 2}] * 3


def test_partitions_that_cross_together_go_in_one_report() -> None:
    """A report has the partitions that crossed a boundary since the last report, and no others."""
    stepped = SteppedReporter()
    for partition in range(4):
        stepped.observe(NOW_MS - MINUTE_MS, partition=partition)
    for partition in (1, 3):
        stepped.reporter.observe(partition, NOW_MS)
    stepped.step()

    assert stepped.sink.take_sent() == [{1: NOW_MS, 3: NOW_MS}]


def test_a_report_carries_a_thousand_partitions_at_most() -> None:
    """More partitions are sent in several reports."""
    stepped = SteppedReporter()
    for partition in range(2_500):
        stepped.reporter.observe(partition, NOW_MS)
    stepped.step()

    assert [len(sent) for sent in stepped.sink.take_sent()] == [1_000, 1_000, 500]


def test_an_unknown_partition_is_repeated_a_second_later() -> None:
    """It is repeated until it is known; other partitions are not repeated with it."""
    stepped = SteppedReporter()
    stepped.sink.outcome = lambda reading: Outcome.UNKNOWN if reading.partition.number == 1 else Outcome.ACCEPTED
    stepped.reporter.observe(0, NOW_MS)
    stepped.observe(NOW_MS, partition=1)

    assert stepped.pass_time(2.5) == [{1: NOW_MS}, {1: NOW_MS}]

    stepped.sink.outcome = lambda reading: Outcome.ACCEPTED

    assert stepped.pass_time(1) == [{1: NOW_MS}]
    assert stepped.pass_time(5) == []


def test_a_store_that_lost_a_partition_gets_it_again_each_second() -> None:
    """A partition that was accepted and is unknown at the next repetition counts as unreported."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    stepped.sink.outcome = lambda reading: Outcome.UNKNOWN
    stepped.pass_time(10)

    assert stepped.pass_time(3) == [{0: NOW_MS}] * 3


def test_store_errors_do_not_reach_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    """Observations neither raise nor block; the highest timestamps are sent when the store is available."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS - 2 * MINUTE_MS)
    stepped.sink.error = StoreUnavailable()
    with caplog.at_level(logging.INFO, "clocksvc.reporter"):
        for minute in range(10):
            stepped.observe(NOW_MS + minute * 1_000 - MINUTE_MS, NOW_MS + minute * 1_000)
        attempts = len(stepped.pass_time(60))
        stepped.sink.error = None

        assert stepped.pass_time(5.1)[0] == {0: NOW_MS + 9_000}

    assert 12 <= attempts <= 60 / 2.5  # the back-off ends at 5 s, of which jitter takes up to half
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "reports can't be sent",
        "reports are sent again",
    ]


def test_an_unexpected_error_is_retried(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback, and the reporter retries."""
    stepped = SteppedReporter()
    stepped.sink.error = ZeroDivisionError("never seen before")
    stepped.observe(NOW_MS)
    stepped.sink.error = None

    assert stepped.pass_time(1) == [{0: NOW_MS}]

    (lost,) = (record for record in caplog.records if record.message.startswith("reports can't be sent"))

    assert lost.exc_info is not None


def test_changed_parameters_are_used() -> None:
    """After the interval changes to one second, a report is sent for each second."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)
    stepped.sink.parameters = ClockParameters("workers", (TOPIC,), 1_000, 0, MINUTE_MS)
    stepped.pass_time(10)

    assert stepped.observe(NOW_MS + 1_000) == [{0: NOW_MS + 1_000}]
    assert stepped.observe(NOW_MS + 1_999) == []
    assert stepped.observe(NOW_MS + 2_000) == [{0: NOW_MS + 2_000}]


def test_an_invalid_argument_is_named() -> None:
    """The error is raised at once and has no secret."""
    for url, token, field in [
        ("localhost", None, "url"),
        ("ftp://host", None, "url"),
        ("https://user:hunter2@host", None, "url"),
        ("redis://:hunter2@host/0?wrong=1", None, "url"),
        ("redis://host", "hunter2", "token"),
        ("https://host", "hunter 2\n", "token"),
    ]:
        with pytest.raises(InvalidValue, match=field) as raised:
            Reporter(url, "checkins", group="workers", token=token)

        assert "hunter" not in str(raised.value)

    with pytest.raises(InvalidValue, match="group"):
        Reporter("redis://host", "checkins", group="")
    with pytest.raises(InvalidValue, match="clock"):
        Reporter("redis://host", "Check Ins", group="workers")


@pytest.mark.parametrize("field", ["url", "clock", "group", "topic"])
@pytest.mark.parametrize("value", [["m1"], 7])
def test_an_argument_of_another_type_is_named(field: str, value: object) -> None:
    """Otherwise `on_assign` would raise later, in the consumer's loop: `unhashable type: 'list'`."""
    arguments: dict[str, Any] = {"url": "redis://host", "clock": "checkins", "group": "workers", "topic": "t"}

    with pytest.raises(InvalidValue, match=rf"^{field}: {re.escape(repr(value))} is not valid: wanted "):
        Reporter(**{**arguments, field: value}, start=False)


@pytest.mark.parametrize(
    ("partition", "timestamp"), [(-1, NOW_MS), ("0", NOW_MS), ([0], NOW_MS), (0, 1.5), (0, None), (0, str(NOW_MS))]
)
def test_invalid_partitions_and_timestamps_raise(partition: object, timestamp: object) -> None:
    """Partition numbers and integer milliseconds are required."""
    with pytest.raises(InvalidValue, match=r"^(partition|timestamp_ms): .* is not valid: wanted "):
        SteppedReporter().reporter.observe(partition, timestamp)  # type: ignore[arg-type]


@pytest.mark.parametrize("timestamp", [None, str(NOW_MS), [NOW_MS]])
def test_an_invalid_timestamp_of_a_known_partition_raises(timestamp: object) -> None:
    """The comparison of the fast path can't compare it: the error names the value, and later records count."""
    stepped = SteppedReporter()
    stepped.observe(NOW_MS)

    with pytest.raises(InvalidValue, match=rf"^timestamp_ms: {re.escape(repr(timestamp))} is not valid: wanted "):
        stepped.reporter.observe(0, timestamp)  # type: ignore[arg-type]
    assert stepped.observe(NOW_MS + MINUTE_MS) == [{0: NOW_MS + MINUTE_MS}]


EVENTS = st.one_of(
    st.tuples(st.just("observe"), st.integers(0, 2), st.integers(-200_000, 200_000)),
    st.tuples(st.just("pass"), st.integers(0, 15_000), st.just(0)),
    st.tuples(st.just("break"), st.booleans(), st.just(0)),
)


@given(st.lists(EVENTS, max_size=60))
def test_the_highest_timestamp_that_is_not_rejected_is_sent(events: list[tuple[str, int, int]]) -> None:
    """For any order of records, pauses and failures: the store finally has the exact highest timestamp."""
    stepped = SteppedReporter()
    expected: dict[int, int] = {}
    for what, first, second in events:
        if what == "observe":
            now_ms = stepped.time.now_ms()
            stepped.reporter.observe(first, now_ms + second)
            if second <= MINUTE_MS:
                expected[first] = max(expected.get(first, 0), now_ms + second)
        elif what == "pass":
            stepped.time.advance(first / 1000)
            stepped.reporter.step()
        else:
            stepped.sink.error = StoreUnavailable() if first else None
    stepped.sink.error = None
    stepped.pass_time(30)
    sent = stepped.pass_time(10)

    assert sent == ([expected] if expected else [])
