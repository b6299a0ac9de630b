"""`python -m tests.simulation --seeds 200`, or `--seed 17 --trace`."""

import argparse
import logging
import time
from collections import Counter

from tests.simulation.run import Failure, Simulation


def main() -> int:
    """Run seeds; 1 when one of them broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument("--trace", action="store_true", help="print every step")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    began = time.monotonic()
    totals: Counter[str] = Counter()
    for seed in seeds:
        simulation = Simulation(seed)
        try:
            result = simulation.run()
        except Failure as failure:
            if args.trace:
                print("\n".join(simulation.hub.trace))
            print(failure)
            return 1
        totals.update(steps=result.steps, ticks=result.ticks, takeovers=result.takeovers, records=result.records)
        totals.update({f"fault {name}": count for name, count in result.faults.items()})
    seconds = time.monotonic() - began
    print(f"{len(seeds)} seeds, {len(seeds) / seconds:.1f} a second, 0 violations")
    for name, count in sorted(totals.items()):
        print(f"  {name}: {count}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
