"""The judge of many clocks finds each error that is planted in a clean log, and moves and delays are counted."""

import pytest

from tests.system.evidence import TickWithOffset
from tests.system.outages.fleet.judge import judge
from tests.system.outages.fleet.leaders import Move, Moved, moved
from tests.system.outages.fleet.load import Reported

pytestmark = pytest.mark.core

BEGIN_S, END_S = 1_000, 1_010


def tick(at_s: int, late_ms: int = 50) -> TickWithOffset:
    """A tick that was appended some ms after its time."""
    return TickWithOffset(at_s * 1000, (at_s - 1) * 1000, at_s * 1000 + late_ms, {})


REPORTS = {"c": [Reported(at_s * 1000 + 10, at_s * 1000 + 20) for at_s in range(BEGIN_S, END_S)]}
TICKS = [tick(at_s) for at_s in range(BEGIN_S, END_S)]


def found_in(ticks: list[TickWithOffset]) -> dict[str, int]:
    """The number of errors by kind."""
    wrong = judge({"c": ticks}, REPORTS, 1, {}).wrong
    return {error: len(texts) for error, texts in wrong.items() if texts}


@pytest.mark.parametrize(
    ("ticks", "found"),
    [
        (TICKS, {}),
        ([*TICKS[:4], *TICKS[5:]], {"lost": 2}),  # also the next tick names another one before it
        ([*TICKS[:5], TICKS[4], *TICKS[5:]], {"twice": 1, "lost": 1}),
        ([*TICKS[:4], tick(BEGIN_S + 4, 5), *TICKS[5:]], {"early": 1}),
        (TICKS[:-1], {"lost": 1}),  # reported, but not given
        ([], {"lost": 1}),
    ],
)
def test_errors_are_found(ticks: list[TickWithOffset], found: dict[str, int]) -> None:
    """Lost in the middle and at the end, twice, and before the report was sent."""
    assert found_in(ticks) == found


def test_the_longest_delay_begins_with_the_answer_to_the_report() -> None:
    """A tick that came 3 s late belongs to the phase in which it came."""
    judgement = judge({"c": [*TICKS[:4], tick(BEGIN_S + 4, 3_020), *TICKS[5:]]}, REPORTS, 1, {})
    longest = judgement.longest((BEGIN_S + 7) * 1000, (BEGIN_S + 8) * 1000)

    assert longest is not None
    assert (longest.clock, longest.ms) == ("c", 3_000)
    before = judgement.longest(BEGIN_S * 1000, (BEGIN_S + 7) * 1000)
    assert before is not None
    assert before.ms == 30


def test_a_log_that_goes_back_is_counted() -> None:
    """Changes of leaders in a phase: what was before it is the beginning, what comes after it does not count."""
    moves = [Move(0, 1, "a"), Move(0, 2, "a"), Move(15, 1, "b"), Move(16, 1, "a"), Move(17, 2, "b"), Move(30, 2, "a")]

    assert moved(moves, 10, 20) == Moved(logs=2, times=3, most=2, returns=1)
    assert moved(moves, 18, 20) == Moved(0, 0, 0, 0)
