"""Repeated log lines: one for each state, and a count."""

import logging

import pytest

from clocksvc.runtime.repeated_lines import MAX_STATES, REPEAT_AFTER_S, RepeatedLines, without_numbers

pytestmark = pytest.mark.core

logger = logging.getLogger("tests.repeated_lines")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> RepeatedLines:
    caplog.set_level(logging.INFO, logger.name)
    return RepeatedLines(logger)


def test_a_state_is_logged_once_and_then_with_a_count(lines: RepeatedLines, caplog: pytest.LogCaptureFixture) -> None:
    """Another state is logged at once. The count is in the text and in a field."""
    for now_s in (0.0, 0.001, 10.0, REPEAT_AFTER_S - 1):
        lines.log(now_s, logging.WARNING, "down", "%s is down", "kafka", extra={"broker": 1})
    lines.log(1.0, logging.WARNING, "other", "redis is down")
    lines.log(REPEAT_AFTER_S, logging.WARNING, "down", "%s is down", "kafka", extra={"broker": 1})

    first, other, last = caplog.records
    assert [first.message, other.message] == ["kafka is down", "redis is down"]
    assert last.message == "kafka is down; 3 more lines like this were left out"
    assert (vars(first)["broker"], vars(last)["broker"], vars(last)["left_out"]) == (1, 1, 3)


def test_a_state_that_ended_is_logged_again(lines: RepeatedLines, caplog: pytest.LogCaptureFixture) -> None:
    """At once, without a count. The same if the clock was set back."""
    lines.log(5.0, logging.WARNING, "down", "down")
    lines.clear()
    lines.log(5.1, logging.WARNING, "down", "down")
    lines.log(4.0, logging.WARNING, "down", "down")

    assert caplog.messages == ["down"] * 3


def test_the_number_of_states_is_limited(lines: RepeatedLines, caplog: pytest.LogCaptureFixture) -> None:
    """Texts with random parts need no more memory."""
    for number in range(3 * MAX_STATES):
        lines.log(0.0, logging.DEBUG, number, "x")

    assert len(lines._states) <= MAX_STATES


def test_numbers_do_not_make_a_state() -> None:
    """Durations and offsets change with each attempt."""
    assert without_numbers("refused (after 12ms in state X)") == without_numbers("refused (after 0ms in state X)")
