"""`python -m tests.simulation --seeds 2000 --jobs 2`, or `--seed 17 --trace`."""

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from tests.seed_runs.many import in_parallel, replay
from tests.simulation.branch_coverage import BranchCoverage
from tests.simulation.run import FAULTS, STEPS, Failure, Result, Simulation
from tests.simulation.sometimes import NEEDS_SEEDS, Path

CHUNK = 50
SHOWN = 10


@dataclass
class Totals:
    """The results of many seeds.

    Attributes:
        sometimes: how often each rare path was taken.
        lines: the product's log lines, by message.
        least: the smallest number in one seed.
        failed: the first line of each failure, by seed.
    """

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    least: dict[str, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Add one seed."""
        self.seeds += 1
        self.counts.update(result.counts)
        self.counts.update({f"fault {name}": count for name, count in result.faults.items()})
        self.counts.update({f"hold {reason}": count for reason, count in result.holds.items()})
        self.counts.update({f"operators, {answer}": count for answer, count in result.answers.items()})
        self.sometimes.update(result.sometimes)
        self.lines.update(result.lines)
        size = {"steps": result.counts["steps"], "faults": result.faults.total(), "takeovers": result.takeovers}
        for name, number in size.items():
            self.least[name] = min(number, self.least.get(name, number))

    def merge(self, other: "Totals") -> None:
        """Add the results of another process."""
        self.seeds += other.seeds
        self.counts.update(other.counts)
        self.sometimes.update(other.sometimes)
        self.lines.update(other.lines)
        self.failed.update(other.failed)
        for name, number in other.least.items():
            self.least[name] = min(number, self.least.get(name, number))


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
    """Run seeds. Returns 1 if one of them broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--sample", type=int, default=200, help="so many seeds are run once more to measure coverage")
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument("--trace", action="store_true", help="print every step")
    args = parser.parse_args()
    if args.seed is not None:
        simulation = Simulation(args.seed, traced=args.trace)
        return replay(args.seed, simulation, Failure, (lambda one: one.scheduler.story()) if args.trace else None)
    seeds = range(args.first, args.first + args.seeds)
    began, totals = time.monotonic(), Totals()
    for done in in_parallel(run_seeds, seeds, max(1, args.jobs), CHUNK):
        totals.merge(done)
        if sys.stderr.isatty():
            print(f"\r{totals.seeds + len(totals.failed)} of {args.seeds}", end="", file=sys.stderr, flush=True)
    _print(totals, args.seeds, time.monotonic() - began, args.jobs)
    never = _print_sometimes(totals, args.seeds)
    if args.sample:
        covered = BranchCoverage(FilePath(__file__).resolve().parents[2] / "clocksvc" / "leader")
        with covered:
            run_seeds(range(args.first, args.first + min(args.sample, args.seeds)))
        print(f"\nbranches of the leader that {min(args.sample, args.seeds)} of these seeds took:\n{covered.table()}")
    return int(bool(totals.failed) or never)


def _print(totals: Totals, seeds: int, seconds: float, jobs: int) -> None:
    print(f"{seeds} seeds, {seeds / seconds:.1f} a second in {jobs} processes, {len(totals.failed)} violations")
    if totals.seeds:
        least = ", ".join(f"{number} {name}" for name, number in totals.least.items())
        print(f"  the least in one seed: {least} (at least {STEPS}, {FAULTS} and 1)")
    for name, count in sorted(totals.counts.items()):
        print(f"  {name}: {count}")
    print("lines of the product's log:")
    for message, count in sorted(totals.lines.items()):
        print(f"  {message}: {count}")
    for seed, words in sorted(totals.failed.items())[:SHOWN]:
        print(f"seed {seed}: {words}\n  replay: python -m tests.simulation --seed {seed} --trace")


def _print_sometimes(totals: Totals, seeds: int) -> bool:
    """Print how often each rare path was taken. True if one was never taken, and if there were enough seeds for all."""
    print("sometimes:")
    for path in Path:
        print(f"  {path.value}: {totals.sometimes[path.value] or 'NEVER'}")
    never = [path for path in Path if not totals.sometimes[path.value]]
    print(f"{len(Path) - len(never)} of {len(Path)} rare paths were taken")
    return bool(never) and seeds >= NEEDS_SEEDS


if __name__ == "__main__":
    raise SystemExit(main())
