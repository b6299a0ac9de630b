"""What the judge wants, where it once wanted too much."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulation.judge.expected_overrides import ExpectedOverrides
from tests.simulation.judge.violation import Violation
from tests.simulation.liveness.partition_conditions import while_empty
from tests.simulation.run import Simulation

SHARED = "shared"


def _state(*, paused: bool) -> dict[str, Any]:
    pause = {"by": "an operator", "at": "2026-11-22T08:00:02Z", "reason": "a reason"} if paused else None
    return {"last_tick": "2026-11-22T08:00:02Z", "exclusions": [], "pause": pause}


@pytest.fixture(name="paused")
def _paused() -> ExpectedOverrides:
    """A clock whose pause is committed."""
    overrides = ExpectedOverrides()
    overrides.asked("a", "pause", None, expires_ms=2_000)
    overrides.judge({"state": _state(paused=True), "requests": [{"id": "a"}]}, store_ms=1_000)
    return overrides


def test_a_request_whose_commit_the_log_has_lost_is_not_done(paused: ExpectedOverrides) -> None:
    """No leader can know that it was committed, and the clock is not paused: `not_done` is true."""
    paused.log_lost(_state(paused=False), recorded=())

    paused.answered_not_done("a", "not_done")

    assert not paused.granted


@pytest.mark.parametrize("left", [_state(paused=False), None])
def test_a_lost_request_must_not_be_committed_after_the_answer(
    paused: ExpectedOverrides, left: dict[str, Any] | None
) -> None:
    """`not_done` means that it has no effect later."""
    paused.log_lost(left, recorded=())
    paused.answered_not_done("a", "not_done")

    with pytest.raises(Violation, match="committed after the answer"):
        paused.judge({"state": _state(paused=True), "requests": [{"id": "a"}]}, store_ms=1_500)


def test_a_request_in_the_log_is_not_answered_as_not_done(paused: ExpectedOverrides) -> None:
    """Without a loss, the answer is wrong."""
    with pytest.raises(Violation, match="pause was committed, and the answer was: not_done"):
        paused.answered_not_done("a", "not_done")


@pytest.mark.parametrize(
    ("is_paused", "recorded"), [(True, ()), (False, ("a",))], ids=["its effect is left", "its record is left"]
)
def test_a_request_that_a_loss_has_left_is_not_answered_as_not_done(
    paused: ExpectedOverrides, is_paused: bool, recorded: tuple[str, ...]
) -> None:
    """A loss of other records is no excuse."""
    paused.log_lost(_state(paused=is_paused), recorded)

    with pytest.raises(Violation, match="pause was committed"):
        paused.answered_not_done("a", "not_done")


def test_a_request_whose_record_is_written_again_is_not_answered_as_not_done(paused: ExpectedOverrides) -> None:
    """A leader that had read the lost record copies it in a snapshot."""
    paused.log_lost(_state(paused=False), recorded=())
    paused.restored(("a",))

    with pytest.raises(Violation, match="pause was committed"):
        paused.answered_not_done("a", "not_done")


@pytest.fixture(name="simulation")
def _simulation() -> Iterator[Simulation]:
    """A world in which several clocks watch one topic."""
    for seed in range(100):
        simulation = Simulation(seed)
        if SHARED in simulation.environment.topic_names:
            yield simulation
            simulation.scheduler.end()
            return
        simulation.scheduler.end()
    pytest.fail("no seed has a shared topic")


def test_a_clock_that_excludes_a_recreated_topic_goes_on_and_the_others_wait(simulation: Simulation) -> None:
    """An exclusion counts for its own clock only."""
    environment = simulation.environment
    first, *rest = environment.clocks_of(SHARED)
    everything = frozenset((one.topic, one.number) for one in environment.partitions() if one.topic == SHARED)
    simulation.judge.clock(first).standing.excluded = everything

    expected = while_empty(simulation.context, SHARED, end=lambda: None)

    assert expected.clocks == tuple(rest)
    assert expected.reasons == {"partition_unreported"}
    assert all(expected.partitions[clock] == everything for clock in rest)
    assert expected.others == (first,)


def test_all_clocks_go_on_if_each_excludes_the_recreated_topic(simulation: Simulation) -> None:
    """Then no clock waits for it."""
    environment = simulation.environment
    everything = frozenset((one.topic, one.number) for one in environment.partitions() if one.topic == SHARED)
    for clock in environment.clocks_of(SHARED):
        simulation.judge.clock(clock).standing.excluded = everything

    expected = while_empty(simulation.context, SHARED, end=lambda: None)

    assert not expected.reasons
    assert expected.clocks == tuple(environment.clocks)
