"""Searches the deliberate defects of the consumer by seeds."""

from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from clocksvc.testing.consumer.explore import Exploration
from tests.consumer_run.defects import Defect
from tests.consumer_run.examples import EXAMPLES
from tests.seed_runs.hunt import FoundSeeds, Hunted, hunt

FOUND = FoundSeeds(Path(__file__).with_name("found.toml"), "python -m tests.consumer_run --write")


def failure(example: str, seed: int, defect: Defect | None = None) -> str | None:
    """The message of a seed, with a defect or without; None if nothing fails."""
    build, records, check = EXAMPLES[example]
    with nullcontext() if defect is None else defect.patch():
        return Exploration(build, records, check).failure(seed)


def hunt_in_example(defect: Defect, seeds: Iterable[int]) -> Hunted:
    """Search a defect in its example."""
    return hunt(defect, seeds, partial(failure, defect.example))
