"""Some seeds of everything at once. `make simulate` runs many more."""

import os
import subprocess
import sys
from collections import Counter

from tests.scheduler_simulation.faults import WEIGHTS
from tests.scheduler_simulation.run import FAULTS, Simulation

SEEDS = 25


def test_no_seed_breaks_a_promise() -> None:
    """Faults between any two steps: each due time once, never early, nothing lost, and all of it out in the end."""
    results = [Simulation(seed).run() for seed in range(1, SEEDS + 1)]

    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
        faults.update(result.faults)
    assert all(result.faults.total() >= FAULTS for result in results)
    assert counts["sent"] > 25 * SEEDS
    assert counts["fences"] > 3 * SEEDS
    assert {fault.__name__ for fault, weight in WEIGHTS.items() if weight >= 2} <= set(faults)


def test_a_seed_replays_step_by_step() -> None:
    """The same seed does the same steps, also in another process with other hashes, so that a failure can be read."""
    simulation = Simulation(7, traced=True)
    simulation.run()
    command = [sys.executable, "-m", "tests.scheduler_simulation", "--seed", "7", "--trace"]
    replayed = subprocess.run(
        command, env=os.environ | {"PYTHONHASHSEED": "12345"}, capture_output=True, text=True, check=True
    )

    assert len(simulation.scheduler.story().splitlines()) > 200
    assert replayed.stdout.startswith(simulation.scheduler.story())
