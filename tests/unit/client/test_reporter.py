"""What a reporter sends, and when; seen from the sink, with time moved by hand."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome
from clocksvc.errors import InvalidValue, StoreUnavailable
from clocksvc.interfaces.store import ClockParameters
from tests.unit.client.report_desk import (
    BOUNDS,
    MINUTE_MS,
    NOW_MS,
    TOPIC,
    Desk,
    StepResult,
)

pytestmark = pytest.mark.core


def test_bounds_are_asked_for_each_second_until_they_are_there() -> None:
    """Before a leader has written the clock's bounds only empty reports go out; then, at once, all that was seen."""
    stepped = StepResult(Desk(bounds=None), acquainted=False)
    stepped.reporter.observe(0, NOW_MS - 5)

    assert stepped.pass_time(2.5) == []

    stepped.desk.bounds = BOUNDS

    assert stepped.pass_time(1) == [{0: NOW_MS - 5}]


def test_a_record_within_the_interval_is_not_written() -> None:
    """Between boundaries nothing is sent, and the boundary's report has the exact highest timestamp."""
    stepped = StepResult()

    assert stepped.observe(NOW_MS - 3 * MINUTE_MS + 10) == [{0: NOW_MS - 3 * MINUTE_MS + 10}]
    assert stepped.observe(NOW_MS - 3 * MINUTE_MS + 700, NOW_MS - 2 * MINUTE_MS - 1) == []
    assert stepped.observe(NOW_MS - 2 * MINUTE_MS) == [{0: NOW_MS - 2 * MINUTE_MS}]


def test_a_boundary_is_crossed_in_raw_terms() -> None:
    """With an out-of-orderness of 10 s the report is due once a record stands 10 s past the boundary."""
    stepped = StepResult(Desk(ClockParameters("workers", (TOPIC,), MINUTE_MS, 10_000, MINUTE_MS)))
    stepped.observe(NOW_MS - 60_000)

    assert stepped.observe(NOW_MS - 50_001) == []
    assert stepped.observe(NOW_MS - 50_000) == [{0: NOW_MS - 50_000}]
    assert stepped.observe(NOW_MS + 9_999) == []
    assert stepped.observe(NOW_MS + 10_000) == [{0: NOW_MS + 10_000}]


def test_all_is_repeated_every_ten_seconds() -> None:
    """So that a store that lost everything knows it again."""
    stepped = StepResult()
    for partition in range(3):
        stepped.reporter.observe(partition, NOW_MS + partition)
    stepped.step()
    stepped.desk.take()
    stepped.reporter.observe(1, NOW_MS + 50)

    assert stepped.pass_time(11) == [{0: NOW_MS, 1: NOW_MS + 50, 2: NOW_MS + 2}]
    assert stepped.pass_time(30) == [{0: NOW_MS, 1: NOW_MS + 50, 2: NOW_MS + 2}] * 3


def test_partitions_that_cross_together_go_in_one_report() -> None:
    """A report carries all that crossed since the last one, and nothing else."""
    stepped = StepResult()
    for partition in range(4):
        stepped.observe(NOW_MS - MINUTE_MS, partition=partition)
    for partition in (1, 3):
        stepped.reporter.observe(partition, NOW_MS)
    stepped.step()

    assert stepped.desk.take() == [{1: NOW_MS, 3: NOW_MS}]


def test_a_report_carries_a_thousand_partitions_at_most() -> None:
    """More go in several reports, one after the other."""
    stepped = StepResult()
    for partition in range(2_500):
        stepped.reporter.observe(partition, NOW_MS)
    stepped.step()

    assert [len(sent) for sent in stepped.desk.take()] == [1_000, 1_000, 500]


def test_an_unknown_partition_is_repeated_a_second_later() -> None:
    """Until the roster knows it; the others are not repeated with it."""
    stepped = StepResult()
    stepped.desk.outcome = lambda reading: Outcome.UNKNOWN if reading.partition.number == 1 else Outcome.ACCEPTED
    stepped.reporter.observe(0, NOW_MS)
    stepped.observe(NOW_MS, partition=1)

    assert stepped.pass_time(2.5) == [{1: NOW_MS}, {1: NOW_MS}]

    stepped.desk.outcome = lambda reading: Outcome.ACCEPTED

    assert stepped.pass_time(1) == [{1: NOW_MS}]
    assert stepped.pass_time(5) == []


def test_a_store_that_forgot_is_told_again_each_second() -> None:
    """A partition that was accepted and is unknown at the next repeat counts as never told."""
    stepped = StepResult()
    stepped.observe(NOW_MS)
    stepped.desk.outcome = lambda reading: Outcome.UNKNOWN
    stepped.pass_time(10)

    assert stepped.pass_time(3) == [{0: NOW_MS}] * 3


def test_trouble_with_the_store_is_kept_from_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    """No observation raises or waits; the newest number of each partition is sent once the store is back."""
    stepped = StepResult()
    stepped.desk.trouble = StoreUnavailable()
    with caplog.at_level(logging.INFO, "clocksvc.reporter"):
        for minute in range(10):
            stepped.observe(NOW_MS + minute * 1_000 - MINUTE_MS, NOW_MS + minute * 1_000)
        attempts = len(stepped.pass_time(60))
        stepped.desk.trouble = None

        assert stepped.pass_time(5.1)[0] == {0: NOW_MS + 9_000}

    assert 12 <= attempts <= 60 / 2.5  # the back-off ends at 5 s, of which jitter takes up to half
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "reports can't be sent",
        "reports are sent again",
    ]


def test_an_error_that_nobody_thought_of_is_trouble_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback, and the reporter tries again."""
    stepped = StepResult()
    stepped.desk.trouble = ZeroDivisionError("never seen before")
    stepped.observe(NOW_MS)
    stepped.desk.trouble = None

    assert stepped.pass_time(1) == [{0: NOW_MS}]

    (lost,) = (record for record in caplog.records if record.message.startswith("reports can't be sent"))

    assert lost.exc_info is not None


def test_bounds_that_change_are_followed() -> None:
    """A clock that is configured anew, with an interval of a second, gets a report for each second."""
    stepped = StepResult()
    stepped.observe(NOW_MS)
    stepped.desk.bounds = ClockParameters("workers", (TOPIC,), 1_000, 0, MINUTE_MS)
    stepped.pass_time(10)

    assert stepped.observe(NOW_MS + 1_000) == [{0: NOW_MS + 1_000}]
    assert stepped.observe(NOW_MS + 1_999) == []
    assert stepped.observe(NOW_MS + 2_000) == [{0: NOW_MS + 2_000}]


def test_a_wrong_argument_is_refused_by_name() -> None:
    """At once, without showing a secret."""
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


@pytest.mark.parametrize(("partition", "timestamp"), [(-1, NOW_MS), ("0", NOW_MS), (0, 1.5), (0, None)])
def test_what_is_no_partition_or_timestamp_is_refused(partition: object, timestamp: object) -> None:
    """A partition's number and whole milliseconds are wanted."""
    with pytest.raises(InvalidValue, match=r"^(partition|timestamp_ms): "):
        StepResult().reporter.observe(partition, timestamp)  # type: ignore[arg-type]


HAPPENINGS = st.one_of(
    st.tuples(st.just("observe"), st.integers(0, 2), st.integers(-200_000, 200_000)),
    st.tuples(st.just("pass"), st.integers(0, 15_000), st.just(0)),
    st.tuples(st.just("break"), st.booleans(), st.just(0)),
)


@given(st.lists(HAPPENINGS, max_size=60))
def test_what_is_told_is_the_highest_that_was_not_refused(happenings: list[tuple[str, int, int]]) -> None:
    """Whatever the order of records, pauses and failures: once the store answers it has the exact number."""
    stepped = StepResult()
    expected: dict[int, int] = {}
    for what, first, second in happenings:
        if what == "observe":
            now_ms = stepped.time.now_ms()
            stepped.reporter.observe(first, now_ms + second)
            if second <= MINUTE_MS:
                expected[first] = max(expected.get(first, 0), now_ms + second)
        elif what == "pass":
            stepped.time.advance(first / 1000)
            stepped.reporter.step()
        else:
            stepped.desk.trouble = StoreUnavailable() if first else None
    stepped.desk.trouble = None
    stepped.pass_time(30)
    told = stepped.pass_time(10)

    assert told == ([expected] if expected else [])
