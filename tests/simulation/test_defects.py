"""Each deliberate defect is found, by a seed that is known to find it or by a directed test.

A change of the simulation, or of the steps of the product, changes what a seed does. Then one of the first seeds still
finds the defects that are found often; `make defects ARGS=--write` searches all seeds again.
"""

import pytest

from tests.simulation.defects.catalogue import DEFECTS
from tests.simulation.defects.directed import proves
from tests.simulation.defects.hunt import FOUND, hunt

SEEDS = FOUND.read()
OFTEN = [name for name, seed in SEEDS.items() if seed <= 12 or not DEFECTS[name].directed]
DIRECTED = [name for name, defect in DEFECTS.items() if defect.directed]


@pytest.mark.parametrize("name", OFTEN)
def test_a_seed_finds_the_defect(name: str) -> None:
    """The message fits the defect, and the same seed finds nothing in the product itself."""
    hunted = hunt(DEFECTS[name], [SEEDS[name], *range(1, 161)])

    assert hunted.seed is not None, hunted.other


@pytest.mark.parametrize("name", DIRECTED)
def test_a_directed_test_finds_the_defect(name: str) -> None:
    """The test passes, and fails with the defect in the product."""
    assert proves(DEFECTS[name].directed, DEFECTS[name])


def test_every_defect_is_found() -> None:
    """At least twenty by chance within 2,000 seeds each, the others by a directed test."""
    assert len(SEEDS) >= 20
    assert max(SEEDS.values()) <= 2_000
    assert set(SEEDS) <= set(DEFECTS)
    assert set(DEFECTS) == {*OFTEN, *DIRECTED}
