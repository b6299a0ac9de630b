"""Boundaries: multiples of the interval since the epoch."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock import boundary
from tests.unit.clock.times import at

pytestmark = pytest.mark.core

MINUTE = 60_000
TIMES = st.integers(0, 400_000)
INTERVALS = st.integers(1, 60).map(lambda seconds: seconds * 1000)


class Case(NamedTuple):
    """One time and the boundaries around it."""

    why: str
    time: str
    interval_s: int
    floor: str
    next: str
    ceil: str


CASES = [
    Case("a boundary is its own floor, the next is a whole interval on", "12:00", 60, "12:00", "12:01", "12:00"),
    Case("a millisecond before a boundary belongs to the one before", "12:00:59.999", 60, "12:00", "12:01", "12:01"),
    Case("a millisecond after a boundary has reached it", "12:01:00.001", 60, "12:01", "12:02", "12:02"),
    Case("boundaries are multiples since the epoch, not since a first record", "12:03", 300, "12:00", "12:05", "12:05"),
    Case("after a change to 5 minutes the next is the smallest multiple", "12:04", 300, "12:00", "12:05", "12:05"),
    Case("after a change from 5 minutes to 1 the next is a minute on", "12:05", 60, "12:05", "12:06", "12:05"),
    Case("7 s divide no minute: the epoch is what counts", "12:01", 7, "12:00:56", "12:01:03", "12:01:03"),
    Case("a day's boundary is midnight, UTC", "12:00", 12 * 3600, "12:00", "24:00", "12:00"),
    Case("the shortest interval is a second", "12:00:01.500", 1, "12:00:01", "12:00:02", "12:00:02"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_boundaries_around_a_time(case: Case) -> None:
    """`floor`, `next_boundary` and `ceil` give what the row says."""
    now, interval_ms = at(case.time), case.interval_s * 1000

    assert boundary.floor(now, interval_ms) == at(case.floor)
    assert boundary.next_boundary(now, interval_ms) == at(case.next)
    assert boundary.ceil(now, interval_ms) == at(case.ceil)


class Between(NamedTuple):
    """A range of time and the boundaries in it."""

    why: str
    after: str
    upto: str
    interval_s: int
    limit: int
    expected: list[str]


BETWEEN = [
    Between("the last tick is never given again", "12:00", "12:00", 60, 10, []),
    Between("a boundary that is just reached is due", "12:00", "12:01", 60, 10, ["12:01"]),
    Between("one that is a millisecond away is not", "12:00", "12:00:59.999", 60, 10, []),
    Between("every skipped boundary is due, ascending", "12:00", "12:03:20", 60, 10, ["12:01", "12:02", "12:03"]),
    Between("a jump goes out in batches, the oldest first", "12:00", "12:59", 60, 2, ["12:01", "12:02"]),
    Between("a minimum that fell behind the last tick makes none", "12:05", "12:01", 60, 10, []),
    Between("a longer interval begins with its own multiple", "12:03", "12:11", 300, 10, ["12:05", "12:10"]),
    Between("a shorter interval begins right after the last tick", "12:05", "12:07", 60, 10, ["12:06", "12:07"]),
    Between("the limit may be zero", "12:00", "12:05", 60, 0, []),
]


@pytest.mark.parametrize("case", BETWEEN, ids=lambda case: case.why)
def test_boundaries_in_a_span(case: Between) -> None:
    """The boundaries that the row says."""
    found = boundary.boundaries_between(at(case.after), at(case.upto), case.interval_s * 1000, case.limit)

    assert list(found) == [at(time) for time in case.expected]


@given(after=TIMES, upto=TIMES, interval_ms=INTERVALS, limit=st.integers(0, 12))
def test_span_equals_walking_every_second(after: int, upto: int, interval_ms: int, limit: int) -> None:
    """The range is what a walk over all seconds finds: multiples after the one end and not after the other."""
    walked = [ms for ms in range(0, upto + 1, 1000) if ms % interval_ms == 0 and ms > after]

    assert list(boundary.boundaries_between(after, upto, interval_ms, limit)) == walked[:limit]


@given(timestamp=TIMES, interval_ms=INTERVALS)
def test_boundaries_around_any_time_equal_walking(timestamp: int, interval_ms: int) -> None:
    """Floor, following and at-or-after are the neighbours that a walk over all multiples finds."""
    multiples = [interval_ms * step for step in range(400_000 // interval_ms + 2)]

    assert boundary.floor(timestamp, interval_ms) == max(ms for ms in multiples if ms <= timestamp)
    assert boundary.next_boundary(timestamp, interval_ms) == min(ms for ms in multiples if ms > timestamp)
    assert boundary.ceil(timestamp, interval_ms) == min(ms for ms in multiples if ms >= timestamp)


@given(raw=TIMES, late=st.integers(0, 100_000), interval_ms=INTERVALS)
def test_the_threshold_is_the_first_timestamp_with_which_the_next_boundary_is_reached(
    raw: int, late: int, interval_ms: int
) -> None:
    """One millisecond less does not reach it."""
    threshold = boundary.next_threshold(raw, late, interval_ms)
    before = boundary.reached(raw, late, interval_ms)

    assert before <= raw - late < before + interval_ms
    assert boundary.reached(threshold - 1, late, interval_ms) == before
    assert boundary.reached(threshold, late, interval_ms) == before + interval_ms
