"""How soon each defect is found: `python -m tests.simulation.defects [--name N] [--seeds 2000] [--write]`."""

import argparse
import logging
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.seed_runs.hunt import Hunted
from tests.simulation.defects.catalogue import DEFECTS
from tests.simulation.defects.hunt import FOUND, hunt


def main() -> int:
    """Search each defect. Returns 1 if one is not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", action="append", choices=sorted(DEFECTS), help="just this one; may be repeated")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="keep the seeds that found something, for the tests")
    args = parser.parse_args()
    names = args.name or list(DEFECTS)
    print(f"{'defect':<38} {'seeds':>6}  message")
    hunted = []
    for one in _hunt_all(names, range(args.first, args.first + args.seeds), args.jobs):
        hunted.append(one)
        print(_line(one), flush=True)
    if args.write:
        _write(hunted)
    seeded, missed = [one for one in hunted if one.seed is not None], [one for one in hunted if not one.found]
    most = max((one.tried for one in seeded), default=0)
    print(
        f"{len(hunted)} defects: {len(seeded)} found by seeds, none after more than {most}; "
        f"{len(hunted) - len(seeded) - len(missed)} only by a directed test; {len(missed)} not found"
    )
    return 1 if missed else 0


def _hunt_all(names: list[str], seeds: range, jobs: int) -> Iterable[Hunted]:
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(_hunt, seeds=seeds), names)


def _hunt(name: str, seeds: range) -> Hunted:
    logging.disable(logging.CRITICAL)
    return hunt(DEFECTS[name], seeds)


def _line(one: Hunted) -> str:
    told = [one.words] if one.words else []
    if one.seed is None and one.directed:
        told.append(f"found by {DEFECTS[one.name].directed}")
    if one.directed is False:
        told.append(f"NOT found by {DEFECTS[one.name].directed}")
    if one.other:
        told.append(one.other_messages.strip())
    seeds = str(one.tried) if one.seed is not None else "-" if one.found else "NOT FOUND"
    return f"{one.name:<38} {seeds:>6}  {' '.join(told)}"


def _write(hunted: Iterable[Hunted]) -> None:
    seeds = FOUND.read()
    for one in hunted:
        seeds.pop(one.name, None)
        if one.seed is not None:
            seeds[one.name] = one.seed
    FOUND.write(seeds, DEFECTS)


if __name__ == "__main__":
    raise SystemExit(main())
