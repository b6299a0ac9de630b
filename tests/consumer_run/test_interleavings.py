"""Some hundred seeds of each example, and the seeds that once failed. `make interleavings` runs many more."""

import pytest

from clocksvc.testing import ConsumerRun, Interleaving
from clocksvc.testing.consumer.explore import Exploration
from tests.consumer_run.defects import DEFECTS
from tests.consumer_run.examples import EXAMPLES
from tests.consumer_run.hunt import FOUND, failure, hunt_in_example

pytestmark = pytest.mark.core

SEEDS = 100

ONCE_FAILED = {
    ("orders", 812): "the judge: a member that had lost its partitions without noticing it could still commit",
    ("orders", 1_418): "the judge: a heartbeat in front of a record that is not flushed is reported later",
    ("orders", 1_549): "the judge: Kafka handles the commits of one member in their order",
}
"""Seeds that broke a promise once, and what was wrong."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_seed_breaks_a_promise(name: str) -> None:
    """Failures, rebalances and crashes between any two steps: at least once, in the order of the promises, and done."""
    build, records, check = EXAMPLES[name]

    explored = ConsumerRun.explore(build, records=records, check=check, seeds=range(SEEDS))

    assert explored.seeds == SEEDS
    if name == "orders in processes":
        assert len(explored.never) <= 5, explored.never


def test_there_are_many_classes_of_interleavings() -> None:
    """All of them come in `make interleavings`, which fails otherwise."""
    assert len(Interleaving) >= 50
    assert len({one.value for one in Interleaving}) == len(Interleaving)


@pytest.mark.parametrize(("name", "seed"), ONCE_FAILED)
def test_a_seed_that_once_failed_stays_a_test(name: str, seed: int) -> None:
    """A seed that failed once passes."""
    assert failure(name, seed) is None


def test_a_seed_replays_step_by_step() -> None:
    """The same seed has the same steps each time."""
    build, records, check = EXAMPLES["orders"]
    exploration = Exploration(build, records, check)

    first, second = exploration.story(7), exploration.story(7)

    assert first == second
    assert len(first.splitlines()) > 50


@pytest.mark.parametrize("name", DEFECTS)
def test_a_seed_finds_the_defect(name: str) -> None:
    """The message fits the defect, and the same seed finds nothing in the product itself.

    After a change of the consumer or of ConsumerRun, another seed may find it: `make interleavings ARGS=--write`.
    """
    hunted = hunt_in_example(DEFECTS[name], [FOUND.read()[name], *range(100)])

    assert hunted.seed is not None, hunted.other


def test_every_defect_is_found() -> None:
    """Within 2,000 seeds each."""
    assert set(FOUND.read()) == set(DEFECTS)
    assert max(FOUND.read().values()) < 2_000
