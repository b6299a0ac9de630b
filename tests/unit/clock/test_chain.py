"""Which records lead from a log's last tick to one that was published."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from clocksvc.clock.log_record import ClockState, Record, path_to_tick
from clocksvc.clock.tick import Tick
from tests.interfaces.tick_log_examples import control, tick, ticks

pytestmark = pytest.mark.core

SECOND, THIRD = tick(2), tick(3)
LATER = replace(THIRD, tick=replace(THIRD.tick or Tick("", 0, 0, 0, 0), emitted_at_ms=999_999))
"""The same minute, written in another attempt."""
FIRST = replace(tick(1), tick=replace(tick(1).tick or Tick("", 0, 0, 0, 0), previous_ms=None))


def led(written: Sequence[Record], *, last: Record | None = SECOND, known: Record = THIRD) -> list[Record]:
    """From the log's last committed record, minute 2 unless told otherwise, to the tick of minute 3."""
    assert known.tick is not None
    return path_to_tick(known.tick, ClockState() if last is None else last.state, written)


def test_one_record_leads_to_the_next_tick() -> None:
    """Among what the log has already."""
    assert led([*ticks(1, 2), THIRD]) == [THIRD]


def test_a_chain_is_given_oldest_first() -> None:
    """All ticks of one transaction, from the last one that is committed."""
    assert led(ticks(1, 9), last=tick(4), known=tick(9)) == ticks(5, 5)


def test_what_was_published_counts_not_another_attempt() -> None:
    """A tick of the same minute that was aborted before or after it differs in something."""
    assert led([LATER, THIRD]) == [THIRD]
    assert led([THIRD, LATER]) == [THIRD]
    assert led([LATER]) == []


def test_control_records_are_no_links() -> None:
    """They are committed before they are published."""
    assert led([control(2), SECOND, control(2), THIRD, control(3)], last=control(2)) == [THIRD]


def test_what_knows_nothing_of_the_last_committed_record_is_over() -> None:
    """Committed once more, it would take back an exclusion that was granted since."""
    assert led([SECOND, THIRD, control(2)], last=control(2)) == []
    assert led([FIRST, control(0)], last=control(0), known=FIRST) == []


def test_a_log_without_a_tick_may_have_had_its_first() -> None:
    """Which names none before it."""
    assert led([FIRST, SECOND, THIRD], last=None) == [FIRST, SECOND, THIRD]


@pytest.mark.parametrize(
    ("written", "last"),
    [
        ([], SECOND),
        (ticks(1, 2), SECOND),
        ([tick(1), THIRD], tick(1)),
        ([FIRST, SECOND, THIRD], control(0)),
        (ticks(2, 2), None),
    ],
)
def test_a_chain_with_a_gap_leads_nowhere(written: Sequence[Record], last: Record | None) -> None:
    """A missing record gives no path."""
    assert led(written, last=last) == []
