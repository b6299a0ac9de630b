"""`python -m tests.observer_simulation --seeds 2000 --jobs 2`, or `--seed 17 --trace`."""

import argparse
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.observer_simulation.defects import DEFECTS
from tests.observer_simulation.hunt import FOUND, failure
from tests.observer_simulation.run import Failure, Result, Simulation
from tests.observer_simulation.sometimes import AT_LEAST, NEEDS_SEEDS, Path
from tests.seed_runs.hunt import search
from tests.seed_runs.many import in_parallel, replay

CHUNK = 25
SHOWN = 20


@dataclass
class Totals:
    """The results of many seeds. `failed` has the first line of each failure, by seed."""

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, result: "Result | Totals") -> None:
        """Add the results of a seed, or of another process."""
        for name in ("counts", "faults", "sometimes"):
            getattr(self, name).update(getattr(result, name))
        if isinstance(result, Totals):
            self.failed.update(result.failed)
        self.seeds += result.seeds if isinstance(result, Totals) else 1


def run_seeds(seeds: Iterable[int]) -> Totals:
    """Run seeds one after the other."""
    logging.disable(logging.CRITICAL)
    totals = Totals()
    for seed in seeds:
        try:
            totals.add(Simulation(seed).run())
        except Failure as failure:
            totals.seeds += 1
            totals.failed[seed] = str(failure).splitlines()[0]
    return totals


def main() -> int:
    """Run seeds. Returns 1 if one of them broke a promise, or a rare path was not taken often enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument("--trace", action="store_true", help="print every step")
    parser.add_argument("--defect", action="append", choices=sorted(DEFECTS), help="search it; may be repeated")
    parser.add_argument("--defects", action="store_true", help="search all deliberate defects")
    parser.add_argument("--write", action="store_true", help="keep the seeds that find defects, for the tests")
    args = parser.parse_args()
    if args.seed is not None:
        simulation = Simulation(args.seed, traced=args.trace)
        return replay(args.seed, simulation, Failure, (lambda one: one.timeline.story()) if args.trace else None)
    seeds = range(args.first, args.first + args.seeds)
    if args.defects or args.defect:
        return search(DEFECTS, args.defect or DEFECTS, seeds, failure, FOUND if args.write else None)
    began, totals = time.monotonic(), Totals()
    for done in in_parallel(run_seeds, seeds, max(1, args.jobs), CHUNK):
        totals.add(done)
    _print(totals, args.seeds, time.monotonic() - began, args.jobs)
    rare = [path.value for path in Path if totals.sometimes[path.value] < AT_LEAST]
    print(f"{len(Path) - len(rare)} of {len(Path)} rare paths were taken often enough; not: {rare}")
    return int(bool(totals.failed) or (bool(rare) and args.seeds >= NEEDS_SEEDS))


def _print(totals: Totals, seeds: int, seconds: float, jobs: int) -> None:
    print(f"{seeds} seeds, {seeds / seconds:.1f} a second in {jobs} processes, {len(totals.failed)} violations")
    sometimes = {path.value: totals.sometimes[path.value] for path in Path}
    for title, counts in (("judged and asked:", totals.counts), ("faults:", totals.faults), ("sometimes:", sometimes)):
        print(title)
        for name, count in sorted(counts.items()):
            print(f"  {name}: {count}")
    for seed, words in sorted(totals.failed.items())[:SHOWN]:
        print(f"seed {seed}: {words}\n  replay: python -m tests.observer_simulation --seed {seed} --trace")


if __name__ == "__main__":
    raise SystemExit(main())
