"""One word on how a clock is doing."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from clocksvc.clock.holds import Hold, Reason, Status, status
from clocksvc.clock.spec import ClockSpec, Source
from tests.unit.clock.times import at, maybe_at

pytestmark = pytest.mark.core

SPEC = ClockSpec("checkins", ("orders",), "orders-consumer")
"""Interval 60 s, so a hold shows after 120 s without a tick."""


class Case(NamedTuple):
    """A clock at 12:00:00, and the word on it."""

    why: str
    expected: str
    last: str | None = "11:59"
    hold: Reason | None = None
    quiet_s: int = 0
    out_of_orderness_s: int = 0
    rebuilding: bool = False


CASES = [
    Case("ticks come", "running"),
    Case("a tick for this very moment", "running", last="12:00"),
    Case("4 minutes behind is on time: two intervals, and as long as a hold takes to show", "running", last="11:56"),
    Case("a second more is not", "catching_up", last="11:55:59"),
    Case("out-of-orderness is on purpose, not behind", "running", last="11:55:50", out_of_orderness_s=10),
    Case("a second more than that is behind", "catching_up", last="11:55:49", out_of_orderness_s=10),
    Case("hours of ticks are still to come", "catching_up", last="03:00"),
    Case("a hold shows", "holding", hold=Reason.PARTITION_BEHIND, quiet_s=120),
    Case("a clock that holds far behind is holding, not catching up", "holding", last="03:00", hold=Reason.NO_LEADER),
    Case("a pause has its own word", "paused", hold=Reason.PAUSED),
    Case("a pause before the first tick too", "paused", last=None, hold=Reason.PAUSED),
    Case("no leader yet, no tick ever", "starting", last=None, hold=Reason.NO_LEADER),
    Case("the first reports are not there yet", "starting", last=None, hold=Reason.PARTITION_UNREPORTED, quiet_s=119),
    Case("they are overdue", "holding", last=None, hold=Reason.PARTITION_UNREPORTED, quiet_s=120),
    Case("all are there, the first tick is on its way", "starting", last=None),
    Case("the first tick is long on its way, and nothing holds it", "starting", last=None, quiet_s=3600),
    Case("a topic that is missing at a first start does not mend by waiting", "holding", None, Reason.TOPIC_MISSING),
    Case("a new partition holds a running clock at once", "holding", hold=Reason.PARTITION_UNREPORTED),
    Case("a replica that reads the stream again is rebuilding, regardless of all else", "rebuilding", rebuilding=True),
    Case("even where a hold shows", "rebuilding", hold=Reason.PAUSED, rebuilding=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_word_on_a_clock(case: Case) -> None:
    """The status is what the row says."""
    word = status(
        SPEC,
        case.out_of_orderness_s * 1000,
        maybe_at(case.last),
        None if case.hold is None else Hold(case.hold),
        at("12:00"),
        quiet_ms=case.quiet_s * 1000,
        rebuilding=case.rebuilding,
    )

    assert word == case.expected


def test_the_words_are_the_ones_of_the_contract() -> None:
    """Every word has a row, and there is no other."""
    words = {"starting", "running", "catching_up", "holding", "paused", "rebuilding"}

    assert {one.value for one in Status} == words == {case.expected for case in CASES}


OBSERVED = ClockSpec("bills", ("orders",), "loader", source=Source.COMMITTED, drain_delay_ms=3_600_000)


def test_a_clock_of_quiet_partitions_is_on_time_after_its_drain_delay() -> None:
    """Two intervals, drain_delay, and as long as a hold takes to show."""
    words = [status(OBSERVED, 0, at(last), None, at("12:00"), quiet_ms=0) for last in ("10:56", "10:55:59")]

    assert words == ["running", "catching_up"]


def test_a_clock_with_a_short_interval_holds_after_two_polls() -> None:
    """Its ticks come after polls only."""
    fast = replace(OBSERVED, interval_ms=1_000, poll_ms=30_000)

    assert fast.effective_hold_after_ms == 70_000
    assert replace(fast, hold_after_ms=5_000).effective_hold_after_ms == 5_000
    assert replace(fast, source=Source.REPORTS, drain_delay_ms=0).effective_hold_after_ms == 10_000
