"""Each deliberate defect is found, by a seed that is known to find it.

A change of the simulation, or of the steps of the scheduler, changes what a seed does. Then one of the first seeds
still finds most defects. To search all seeds again: `make defects ARGS=--write`.
"""

import pytest

from tests.scheduler_simulation.defects import DEFECTS
from tests.scheduler_simulation.hunt import FOUND, failure
from tests.seed_runs.hunt import hunt


@pytest.mark.parametrize("name", DEFECTS)
def test_a_seed_finds_the_defect(name: str) -> None:
    """The message fits the defect, and the same seed finds nothing in the scheduler itself."""
    hunted = hunt(DEFECTS[name], [FOUND.read()[name], *range(1, 100)], failure)

    assert hunted.seed is not None, hunted.other


def test_every_defect_is_found() -> None:
    """Within 2,000 seeds each."""
    assert set(FOUND.read()) == set(DEFECTS)
    assert max(FOUND.read().values()) <= 2_000
    assert len(DEFECTS) >= 20
