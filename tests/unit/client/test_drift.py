"""Which partitions are ahead of the global clock: the rule alone, with times as arguments."""

import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.client.drift import (
    CONFIRMED_S,
    MAX_ASK_S,
    MIN_ASK_S,
    MOVING_S,
    STARTING_S,
    Drift,
    ReadPosition,
    select_ahead,
)
from clocksvc.client.due_times import NEVER
from clocksvc.interfaces.progress import ClockParameters, ReportAnswer
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS

pytestmark = pytest.mark.core

DRIFT_MS = 10 * MINUTE_MS
PARAMETERS = ClockParameters("workers", ("checkins",), MINUTE_MS, 5_000, MINUTE_MS, DRIFT_MS)
BEGIN_MS = NOW_MS - 180 * MINUTE_MS
"""Three hours before the present."""


def answer(minute: int, lowest_minute: float | None = None, parameters: ClockParameters = PARAMETERS) -> ReportAnswer:
    """The answer when the clock has the tick `minute` minutes after BEGIN_MS. The slowest partition is just past it."""
    lowest_ms = BEGIN_MS + round((minute if lowest_minute is None else lowest_minute) * MINUTE_MS) + 5_000
    return ReportAnswer((), parameters, BEGIN_MS + minute * MINUTE_MS, lowest_ms)


def at(**minutes: float) -> dict[str, ReadPosition]:
    """Partitions whose clocks are some minutes after BEGIN_MS, and which the store has accepted there."""
    raw_ms = {name: BEGIN_MS + round(minute * MINUTE_MS) + 5_000 for name, minute in minutes.items()}
    return {name: ReadPosition(timestamp_ms, timestamp_ms) for name, timestamp_ms in raw_ms.items()}


def catching_up() -> Drift[str]:
    """A clock that has emitted the tick of minute 1 at second 1, because its slowest partition has advanced."""
    drift: Drift[str] = Drift()
    drift.apply_answer(answer(0), 0.0)
    drift.apply_answer(answer(1), 1.0)
    return drift


def ahead(drift: Drift[str], positions: Mapping[str, ReadPosition], now: float, now_ms: int = NOW_MS) -> set[str]:
    """The partitions that are ahead, as the tracker asks for them."""
    return set(drift.update(positions if drift.may_pause(now, now_ms) else {}))


@given(
    st.dictionaries(st.integers(0, 9), st.integers(-DRIFT_MS, 3 * DRIFT_MS)),
    st.sets(st.integers(0, 9)),
    st.integers(1, DRIFT_MS),
)
def test_ahead_above_the_limit_until_below_its_half(
    drifts_ms: dict[int, int], before: set[int], max_drift_ms: int
) -> None:
    """Above the limit always, below its half never, and in between as before."""
    selected = select_ahead(
        {key: NOW_MS + drift_ms for key, drift_ms in drifts_ms.items()}, NOW_MS, max_drift_ms, before
    )

    for key, drift_ms in drifts_ms.items():
        if drift_ms > max_drift_ms:
            assert key in selected
        elif drift_ms < max_drift_ms / 2:
            assert key not in selected
        else:
            assert (key in selected) == (key in before)


def test_paused_above_max_drift_and_resumed_below_half_of_it() -> None:
    """Compared are partition clocks, so `max_out_of_orderness` is subtracted first."""
    drift = catching_up()

    assert ahead(drift, at(slow=1, near=11, far=11.01), 1) == {"far"}
    assert ahead(drift, at(slow=1, near=11, far=6), 1) == {"far"}

    drift.apply_answer(answer(2), 2.0)

    assert ahead(drift, at(slow=2, near=11, far=6), 2) == set()
    assert ahead(drift, at(slow=2, near=11, far=11), 2) == set()


def test_what_is_not_accepted_by_the_store_may_be_the_slowest_partition() -> None:
    """The partition of the lowest timestamp is not ahead, even if it has advanced since the answer. Neither is one
    that the store has not answered yet."""
    drift = catching_up()
    accepted_ms = BEGIN_MS + MINUTE_MS + 5_000
    far_ms = BEGIN_MS + 60 * MINUTE_MS
    positions = {
        "slowest": ReadPosition(far_ms, accepted_ms),
        "unanswered": ReadPosition(far_ms, -1),
        "other": ReadPosition(far_ms, accepted_ms + 1),
    }

    assert ahead(drift, positions, 1) == {"other"}


def test_nothing_is_ahead_without_max_drift() -> None:
    """Also if it is removed while partitions are paused."""
    drift = catching_up()
    assert ahead(drift, at(far=60), 1) == {"far"}

    drift.apply_answer(answer(2, parameters=replace(PARAMETERS, max_drift_ms=None)), 2.0)

    assert ahead(drift, at(far=60), 2) == set()


def test_nothing_is_ahead_if_the_answers_end() -> None:
    """After CONFIRMED_S."""
    drift = catching_up()

    assert ahead(drift, at(far=60), 1 + CONFIRMED_S) == {"far"}
    assert ahead(drift, at(far=60), 1.001 + CONFIRMED_S) == set()


@pytest.mark.parametrize(
    "waits_for",
    [
        ReportAnswer((), PARAMETERS, BEGIN_MS + MINUTE_MS, None),
        ReportAnswer((), PARAMETERS, None, BEGIN_MS + MINUTE_MS),
        ReportAnswer((), None, BEGIN_MS + MINUTE_MS, None),
    ],
    ids=["a partition is unknown", "the store has no tick", "the store is empty"],
)
def test_nothing_is_ahead_if_the_answers_confirm_nothing(waits_for: ReportAnswer) -> None:
    """After CONFIRMED_S, too."""
    drift = catching_up()
    for second in range(2, 13):
        drift.apply_answer(waits_for, float(second))

    assert ahead(drift, at(far=60), 1.001 + CONFIRMED_S) == set()


def test_nothing_is_ahead_of_a_clock_that_does_not_tick() -> None:
    """It is paused, has no leader, or has no tick log: the slowest partition advances, and no tick follows."""
    drift = catching_up()
    for second in range(2, 13):
        drift.apply_answer(answer(1, lowest_minute=second), float(second))

    assert ahead(drift, at(far=60), 1 + CONFIRMED_S) == {"far"}
    assert ahead(drift, at(far=60), 1.001 + CONFIRMED_S) == set()


def test_ticks_that_are_behind_the_slowest_partition_confirm_a_backlog() -> None:
    """While ticks come, the minimum of the partitions is the global clock that they lead to."""
    drift = catching_up()
    for second in range(2, 20):
        drift.apply_answer(answer(second, lowest_minute=10 * second), float(second))

    assert ahead(drift, at(far=10 * 19 + 10, farther=10 * 19 + 11), 20, NOW_MS + DRIFT_MS + 120 * MINUTE_MS) == {
        "farther"
    }


def test_nothing_is_ahead_of_a_partition_that_does_not_advance() -> None:
    """It is stuck, quiet or without a consumer. After a minute, the others continue, until it advances again."""
    drift = catching_up()
    for second in range(2, 70):
        drift.apply_answer(answer(1), float(second))

    assert ahead(drift, at(far=60), 1 + MOVING_S) == {"far"}
    assert ahead(drift, at(far=60), 1.001 + MOVING_S) == set()

    drift.apply_answer(answer(2), 70.0)

    assert ahead(drift, at(far=60), 70) == {"far"}


def test_the_first_answer_pauses_for_10_seconds() -> None:
    """A consumer that has just started does not know yet whether the slowest partition advances."""
    drift: Drift[str] = Drift()
    assert ahead(drift, at(far=60), 0) == set()

    for second in range(15):
        drift.apply_answer(answer(0), float(second))

        assert ahead(drift, at(far=60), second) == ({"far"} if second <= STARTING_S else set())

    drift.apply_answer(answer(1), 15.0)

    assert ahead(drift, at(far=60), 15) == {"far"}


def test_the_slowest_partition_is_ahead_while_its_timestamp_is_pending() -> None:
    """It will be reported without reading further records, so the clock does not wait for a paused partition."""
    drift = catching_up()
    accepted_ms = BEGIN_MS + MINUTE_MS + 5_000
    positions = {
        name: ReadPosition(BEGIN_MS + minute * MINUTE_MS + 5_000, accepted_ms, pending)
        for name, minute, pending in (("far", 12, True), ("near", 11, True), ("reported", 12, False))
    }

    assert ahead(drift, positions, 1) == {"far"}


def test_nothing_is_ahead_of_a_clock_that_is_nearly_on_time() -> None:
    """A timestamp in the future pauses nothing while the clock is at most `max_drift` behind."""
    drift = catching_up()
    global_ms = BEGIN_MS + MINUTE_MS

    assert ahead(drift, at(far=60), 1, global_ms + DRIFT_MS) == set()
    assert ahead(drift, at(far=60), 1, global_ms + DRIFT_MS + 1) == {"far"}


@given(
    st.lists(
        st.tuples(
            st.floats(0, 8),
            st.one_of(st.none(), st.integers(0, 30)),
            st.one_of(st.none(), st.integers(0, 90)),
            st.dictionaries(
                st.sampled_from("abcd"), st.tuples(st.integers(0, 90), st.integers(0, 30), st.booleans()), min_size=1
            ),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_slowest_partition_reads_after_any_answers(
    steps: list[tuple[float, int | None, int | None, dict[str, tuple[int, int, bool]]]],
) -> None:
    """For any answers: nothing is ahead that is not more than half of `max_drift` ahead, nothing that the store has not
    accepted beyond its lowest timestamp and that is not pending, and nothing CONFIRMED_S after the last answer with a
    lowest timestamp."""
    drift: Drift[str] = Drift()
    now, known_at, lowest_ms, global_ms = 0.0, float("-inf"), 0, 0
    for pause_s, tick, lowest, read in steps:
        now += pause_s
        last_ms = None if tick is None else BEGIN_MS + tick * MINUTE_MS
        found_ms = None if lowest is None else BEGIN_MS + lowest * MINUTE_MS + 5_000
        drift.apply_answer(ReportAnswer((), PARAMETERS, last_ms, found_ms), now)
        if last_ms is not None and found_ms is not None:
            known_at, lowest_ms, global_ms = now, found_ms, max(last_ms, found_ms - 5_000)
        positions = {
            name: ReadPosition(BEGIN_MS + (minute + more) * MINUTE_MS, BEGIN_MS + minute * MINUTE_MS, pending)
            for name, (minute, more, pending) in read.items()
        }
        for name in ahead(drift, positions, now):
            assert positions[name].accepted_ms > lowest_ms or positions[name].pending
            assert 2 * (positions[name].timestamp_ms - 5_000 - global_ms) >= DRIFT_MS
            assert now - known_at <= CONFIRMED_S
        assert ahead(drift, positions, max(now, known_at) + CONFIRMED_S + 0.001) == set()


def test_the_reporter_asks_as_often_as_the_clock_is_fast() -> None:
    """While a partition is ahead. Otherwise it would be resumed too late, and the catch-up would be slower."""
    drift = catching_up()
    ahead(drift, at(slow=1), 1)
    assert drift.ask_at == NEVER

    ahead(drift, at(far=60), 1)
    assert drift.ask_at == 1 + MIN_ASK_S

    def intervals(minutes_a_second: float, count: int) -> list[float]:
        asked = [drift.ask_at]
        for _ in range(count):
            drift.apply_answer(answer(int(asked[-1] * minutes_a_second)), asked[-1])
            asked.append(drift.ask_at)
        return [later - earlier for earlier, later in itertools.pairwise(asked)]

    assert intervals(0.01, 12)[-1] == pytest.approx(MAX_ASK_S)
    assert intervals(10, 12)[-1] == pytest.approx(MIN_ASK_S, abs=MIN_ASK_S)

    drift.discard("far")
    assert drift.ask_at == NEVER
