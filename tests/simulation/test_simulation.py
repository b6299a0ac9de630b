"""A few hundred steps of everything at once, from seeds: no promise is broken, and the clock lives."""

import pytest

from tests.simulation.run import Simulation

SEEDS = range(1, 121)

ONCE_FAILED = (486, 789, 1022, 1628)
"""Seeds that broke a promise once, or showed that the judge was wrong: they stay."""


@pytest.mark.parametrize("first", range(SEEDS.start, SEEDS.stop, 20))
def test_no_seed_breaks_a_promise(first: int) -> None:
    """Crashes, pauses, lost state and lying metadata between any two steps: never early, lost, twice or back."""
    results = [Simulation(seed).run() for seed in range(first, first + 20)]

    assert sum(result.ticks for result in results) > 100
    assert sum(sum(result.faults.values()) for result in results) > 100
    assert sum(result.takeovers for result in results) > 20


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_seed_that_once_failed_stays_a_test(seed: int) -> None:
    """What was found once is not lost again."""
    assert Simulation(seed).run().ticks > 0


def test_a_seed_replays_step_by_step() -> None:
    """The same seed does the same steps, so that a failure can be looked at."""
    first, second = Simulation(7), Simulation(7)
    first.run()
    second.run()

    assert first.hub.trace == second.hub.trace
    assert len(first.hub.trace) > 200
