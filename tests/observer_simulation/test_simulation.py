"""Some seeds of everything at once. `make simulate` runs many more."""

import os
import subprocess
import sys
from collections import Counter

from tests.observer_simulation.faults import WEIGHTS
from tests.observer_simulation.run import Simulation
from tests.observer_simulation.sometimes import Path

SEEDS = 45


def test_no_seed_breaks_a_promise() -> None:
    """No claim and no tick is early, and every clock goes on once the faults are over."""
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    sometimes: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        result = Simulation(seed).run()
        counts.update(result.counts)
        faults.update(result.faults)
        sometimes.update(result.sometimes)

    assert counts["claims"] > 40 * SEEDS
    assert counts["ticks"] > 20 * SEEDS
    assert counts["ticks from end to end"] > 4 * SEEDS
    assert {fault.__name__ for fault, weight in WEIGHTS.items() if weight >= 3} <= set(faults)
    assert all(sometimes[path] > SEEDS for path in (Path.PASSED_BY_RECORD, Path.PASSED_DRAINED, Path.PASSED_EMPTY))


def test_a_seed_replays_step_by_step() -> None:
    """The same seed does the same steps, also in another process with other hashes, so that a failure can be read."""
    simulation = Simulation(9, traced=True)
    simulation.run()
    command = [sys.executable, "-m", "tests.observer_simulation", "--seed", "9", "--trace"]
    replayed = subprocess.run(
        command, env=os.environ | {"PYTHONHASHSEED": "12345"}, capture_output=True, text=True, check=True
    )

    assert len(simulation.timeline.story().splitlines()) > 100
    assert replayed.stdout.startswith(simulation.timeline.story())
