"""Searches the deliberate defects of the scheduler by seeds."""

from contextlib import nullcontext
from pathlib import Path

from tests.scheduler_simulation.run import Failure, Simulation
from tests.seed_runs.defect import Defect
from tests.seed_runs.hunt import FoundSeeds

FOUND = FoundSeeds(Path(__file__).with_name("found.toml"), "python -m tests.scheduler_simulation --defects --write")


def failure(seed: int, defect: Defect | None = None) -> str | None:
    """The first line of a seed's failure, with a defect or without; None if nothing fails."""
    with nullcontext() if defect is None else defect.patch():
        try:
            Simulation(seed).run()
        except Failure as found:
            return str(found).splitlines()[0]
    return None
