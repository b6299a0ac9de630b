"""Some seeds of the examples on Arroyo. `make interleavings` runs more."""

import pytest

from clocksvc.testing import ConsumerRun
from clocksvc.testing.consumer.explore import Exploration
from tests.consumer_run.arroyo_driver import ON_ARROYO

pytestmark = pytest.mark.core

SEEDS = 25

ONCE_FAILED = {
    ("orders on Arroyo", 792): "a dead letter that was not delivered was forgotten when the next one was produced",
}
"""Seeds that broke a promise once, and what was wrong."""


@pytest.mark.parametrize("name", ON_ARROYO)
def test_no_seed_breaks_a_promise(name: str) -> None:
    """The same promises as for the consumer's own loop."""
    build, records, check = ON_ARROYO[name]

    explored = ConsumerRun.explore(build, records=records, check=check, seeds=range(SEEDS))

    assert explored.seeds == SEEDS
    assert len([count for count in explored.hits.values() if count]) >= 20


@pytest.mark.parametrize(("name", "seed"), ONCE_FAILED)
def test_a_seed_that_once_failed_stays_a_test(name: str, seed: int) -> None:
    """A seed that failed once passes."""
    assert Exploration(*ON_ARROYO[name]).failure(seed) is None
