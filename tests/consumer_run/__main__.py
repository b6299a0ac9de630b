"""`python -m tests.consumer_run --seeds 10000`: interleavings of the examples, and how soon each defect is found."""

import argparse
import time
from collections import Counter
from collections.abc import Mapping

from clocksvc.testing import ConsumerRun, Interleaving
from tests.consumer_run.arroyo_driver import ON_ARROYO
from tests.consumer_run.defects import DEFECTS
from tests.consumer_run.examples import EXAMPLES, Example
from tests.consumer_run.hunt import FOUND, hunt_in_example
from tests.seed_runs.hunt import Hunted

DEFECT_SEEDS = 2_000


def main() -> int:
    """Explore the examples, then search the defects. Returns 1 if something is not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="for each example")
    parser.add_argument("--defect", action="append", choices=sorted(DEFECTS), help="just this one; may be repeated")
    parser.add_argument("--write", action="store_true", help="keep the seeds that find defects, for the tests")
    parser.add_argument("--example", choices=sorted(EXAMPLES | ON_ARROYO), help="the example of --seed")
    parser.add_argument("--seed", type=int, help="print the steps of this seed")
    args = parser.parse_args()
    if args.seed is not None:
        build, records, check = (EXAMPLES | ON_ARROYO)[args.example or "orders"]
        print(ConsumerRun.replay(build, records=records, check=check, seed=args.seed))
        return 0
    never = [] if args.defect else _explore(args.seeds)
    if not args.defect:
        _explore_examples(ON_ARROYO, max(1, args.seeds // 5))
    hunted = [_show(hunt_in_example(DEFECTS[name], range(DEFECT_SEEDS))) for name in args.defect or DEFECTS]
    missed = [one.name for one in hunted if one.seed is None]
    most = max((one.tried for one in hunted if one.seed is not None), default=0)
    print(f"{len(hunted)} defects: {len(hunted) - len(missed)} found, none after more than {most} seeds", *missed)
    if args.write:
        FOUND.add(hunted, DEFECTS)
    return int(bool(never or missed))


def _explore(seeds: int) -> list[Interleaving]:
    hits = _explore_examples(EXAMPLES, seeds)
    for one in Interleaving:
        print(f"{hits[one] or 'NEVER':>9}  {one}")
    never = [one for one in Interleaving if not hits[one]]
    print(f"{len(Interleaving) - len(never)} of {len(Interleaving)} interleavings came")
    return never


def _explore_examples(chosen: Mapping[str, Example], seeds: int) -> Counter[Interleaving]:
    hits: Counter[Interleaving] = Counter()
    for name, (build, records, check) in chosen.items():
        cpu_s = time.process_time()
        explored = ConsumerRun.explore(build, records=records, check=check, seeds=range(seeds))
        cpu_s = time.process_time() - cpu_s
        print(f"{name}: {seeds} seeds, {explored.seconds:.1f} s, {1_000 * cpu_s / seeds:.2f} ms CPU each", flush=True)
        hits += explored.hits
    print(f"{sum(1 for count in hits.values() if count)} interleavings came")
    return hits


def _show(one: Hunted) -> Hunted:
    seeds = "NOT FOUND" if one.seed is None else str(one.tried)
    print(f"{one.name:<32} {seeds:>6}  {one.words}{one.other_messages}", flush=True)
    return one


if __name__ == "__main__":
    raise SystemExit(main())
