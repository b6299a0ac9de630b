"""`python -m tests.scheduler_simulation --seeds 2000 --jobs 2`, or `--seed 17 --trace`."""

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.scheduler_simulation.defects import DEFECTS
from tests.scheduler_simulation.hunt import FOUND, failure
from tests.scheduler_simulation.run import Failure, Result, Simulation
from tests.scheduler_simulation.sometimes import AT_LEAST, NEEDS_SEEDS, Path
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
    lines: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    longest_delay_ms: int = 0

    def add(self, result: Result) -> None:
        """Add one seed."""
        self.seeds += 1
        for name in ("counts", "faults", "sometimes", "lines"):
            getattr(self, name).update(getattr(result, name))
        self.longest_delay_ms = max(self.longest_delay_ms, result.longest_delay_ms)

    def merge(self, other: "Totals") -> None:
        """Add the results of another process."""
        self.seeds += other.seeds
        for name in ("counts", "faults", "sometimes", "lines", "failed"):
            getattr(self, name).update(getattr(other, name))
        self.longest_delay_ms = max(self.longest_delay_ms, other.longest_delay_ms)


def run_seeds(seeds: Iterable[int]) -> Totals:
    """Run seeds one after the other."""
    logging.disable(logging.CRITICAL)
    totals = Totals()
    for seed in seeds:
        try:
            totals.add(Simulation(seed).run())
        except Failure as failure:
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
        return replay(args.seed, simulation, Failure, (lambda one: one.scheduler.story()) if args.trace else None)
    seeds = range(args.first, args.first + args.seeds)
    if args.defects or args.defect:
        return search(DEFECTS, args.defect or DEFECTS, seeds, failure, FOUND if args.write else None)
    began, totals = time.monotonic(), Totals()
    for done in in_parallel(run_seeds, seeds, max(1, args.jobs), CHUNK):
        totals.merge(done)
        if sys.stderr.isatty():
            print(f"\r{totals.seeds + len(totals.failed)} of {args.seeds}", end="", file=sys.stderr, flush=True)
    _print(totals, args.seeds, time.monotonic() - began, args.jobs)
    rare = _print_sometimes(totals, args.seeds)
    return int(bool(totals.failed) or rare)


def _print(totals: Totals, seeds: int, seconds: float, jobs: int) -> None:
    print(f"{seeds} seeds, {seeds / seconds:.1f} a second in {jobs} processes, {len(totals.failed)} violations")
    print(f"  the longest delay of due records in a rolling restart: {totals.longest_delay_ms} ms")
    for title, counts in (("", totals.counts), ("faults:", totals.faults), ("log lines:", totals.lines)):
        if title:
            print(title)
        for name, count in sorted(counts.items()):
            print(f"  {name}: {count}")
    for seed, words in sorted(totals.failed.items())[:SHOWN]:
        print(f"seed {seed}: {words}\n  replay: python -m tests.scheduler_simulation --seed {seed} --trace")


def _print_sometimes(totals: Totals, seeds: int) -> bool:
    """Print how often each rare path was taken. True if one was not taken often enough in a run of enough seeds."""
    print("sometimes:")
    for path in Path:
        print(f"  {path.value}: {totals.sometimes[path.value] or 'NEVER'}")
    rare = [path.value for path in Path if totals.sometimes[path.value] < AT_LEAST[path]]
    print(f"{len(Path) - len(rare)} of {len(Path)} rare paths were taken often enough; not: {rare}")
    return bool(rare) and seeds >= NEEDS_SEEDS


if __name__ == "__main__":
    raise SystemExit(main())
