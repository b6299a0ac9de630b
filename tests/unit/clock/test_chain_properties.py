"""For any changes of minimum, clocks and interval: never early, never twice, never back, none missing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.due_ticks import due_boundaries, make_ticks
from clocksvc.clock.holds import Hold, HoldInputs, Reason
from clocksvc.clock.log_record import ClockState, decode_message, encode_ticks
from clocksvc.clock.tick import Tick
from tests.unit.clock.hold_inputs import ROSTER

pytestmark = pytest.mark.core

SECOND = 1_000
END_MS = 300 * SECOND
TIMES = st.integers(0, END_MS) | st.integers(END_MS - 60 * SECOND, END_MS)
SIGHTS = st.builds(
    HoldInputs,
    state=st.just(ClockState()),
    roster=st.just(ROSTER),
    lowest_ms=st.none() | TIMES,
    interval_ms=st.sampled_from([1, 2, 3, 5, 7, 10, 60]).map(lambda seconds: seconds * SECOND),
    out_of_orderness_ms=st.sampled_from([0, 1, 1_500, 10_000]),
    max_past_ms=st.sampled_from([0, 500, 20 * SECOND, END_MS]),
    leader_now_ms=TIMES,
    store_now_ms=TIMES,
)
STEPS = st.lists(st.tuples(SIGHTS, st.integers(1, 20)), max_size=25)
STARTS = st.none() | st.integers(0, 300).map(lambda seconds: seconds * SECOND)


def multiples(interval_ms: int, after_ms: int, upto_ms: int) -> list[int]:
    """The boundaries after one time and not after another, found by walking from the epoch."""
    found, at_ms = [], 0
    while at_ms <= upto_ms:
        if at_ms > after_ms:
            found.append(at_ms)
        at_ms += interval_ms
    return found


def expected(sight: HoldInputs, limit: int) -> list[int]:
    """The ticks that are due, by the words of the promise alone."""
    if sight.lowest_ms is None:
        return []
    latest = min(sight.lowest_ms - sight.out_of_orderness_ms, sight.leader_now_ms, sight.store_now_ms)
    last = sight.state.last_tick_ms
    if last is None:
        oldest_ms = min(sight.leader_now_ms, sight.store_now_ms) - sight.max_past_ms
        return [at_ms for at_ms in multiples(sight.interval_ms, 0, latest)[-1:] if at_ms >= oldest_ms]
    return multiples(sight.interval_ms, last, latest)[:limit]


@given(sight=SIGHTS, last_ms=STARTS, limit=st.integers(1, 20))
def test_what_is_due_is_what_the_promise_says(sight: HoldInputs, last_ms: int | None, limit: int) -> None:
    """The result equals a walk over all multiples; where that finds none, a hold says which side is short."""
    seen = replace(sight, state=ClockState(last_tick_ms=last_ms))

    result = due_boundaries(seen, limit)

    if not isinstance(result, Hold):
        assert list(result) == expected(seen, limit) != []
        return
    assert expected(seen, limit) == []
    if result.reason is Reason.PARTITION_BEHIND:
        assert seen.lowest_ms is not None
        assert multiples(seen.interval_ms, last_ms or 0, seen.lowest_ms - seen.out_of_orderness_ms) == []
    elif result.reason is Reason.TOO_FAR_BACK:
        assert (last_ms, min(seen.leader_now_ms, seen.store_now_ms) > seen.max_past_ms) == (None, True)
    elif result.reason is Reason.AHEAD_OF_TIME:
        assert multiples(seen.interval_ms, last_ms or 0, min(seen.leader_now_ms, seen.store_now_ms)) == []
    else:
        assert (result.reason, seen.lowest_ms) == (Reason.PARTITION_UNREPORTED, None)


@given(steps=STEPS, start_ms=STARTS)
def test_the_chain_is_always_complete(steps: list[tuple[HoldInputs, int]], start_ms: int | None) -> None:
    """Minimums rise and fall, clocks jump, intervals change, leaders restart from the last record: each tick is
    after the one before it, names it, leaves no boundary of its interval out, and is never early."""
    state = ClockState(last_tick_ms=start_ms)
    ticks: list[Tick] = []
    for number, (sight, limit) in enumerate(steps):
        seen = replace(sight, state=state)
        result = due_boundaries(seen, limit)
        if isinstance(result, Hold):
            continue
        for message in encode_ticks(make_ticks("checkins", seen, result, 1_000 * number), seen.state):
            read = decode_message(message)
            assert read.tick is not None
            assert_follows(state.last_tick_ms, read.tick, seen)
            ticks.append(read.tick)
            state = read.state

    times = [tick.at_ms for tick in ticks]
    assert times == sorted(set(times))
    assert state.last_tick_ms == (times[-1] if times else start_ms)


def assert_follows(last_ms: int | None, tick: Tick, sight: HoldInputs) -> None:
    """The tick is the next one after `last_ms`, and no earlier than the sight allows."""
    assert tick.previous_ms == last_ms
    assert sight.lowest_ms is not None
    assert tick.at_ms + sight.out_of_orderness_ms <= sight.lowest_ms
    assert tick.at_ms <= sight.leader_now_ms
    assert tick.at_ms <= sight.store_now_ms
    assert tick.at_ms % sight.interval_ms == 0
    if last_ms is not None:
        assert multiples(tick.interval_ms, last_ms, tick.at_ms) == [tick.at_ms]


@given(
    rises=st.lists(st.integers(0, 30_000), min_size=1, max_size=10),
    interval_s=st.integers(1, 20),
    limit=st.integers(1, 3),
)
def test_small_batches_give_what_one_large_one_gives(rises: list[int], interval_s: int, limit: int) -> None:
    """However a rise is cut into steps and batches, the same ticks come out."""
    interval_ms = interval_s * SECOND
    lowest, last, given_ms = 0, 0, []
    for rise in rises:
        lowest += rise
        seen = HoldInputs(ClockState(last_tick_ms=last), ROSTER, lowest, interval_ms, 0, END_MS, lowest, lowest)
        while not isinstance(result := due_boundaries(seen, limit), Hold):
            given_ms += list(result)
            last = given_ms[-1]
            seen = replace(seen, state=ClockState(last_tick_ms=last))

    assert given_ms == multiples(interval_ms, 0, lowest)
