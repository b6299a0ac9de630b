"""`make outages MINUTES=5`: faults of every kind in a real installation, and what the observers saw.

First every kind of fault with one broker, then a cluster of three, where brokers that lead a log are killed. With
`--slices FILE`, each run adds its numbers to the file and prints the sum, so that a long test is made of short ones.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.system.outages.rounds.faults import IN_CLUSTER, KINDS, WITH_BUFFER
from tests.system.outages.rounds.goals import Goals, parse
from tests.system.outages.rounds.report import Outcome, describe, report, total
from tests.system.outages.rounds.setups import CROWD_CLOCKS, one_broker, three_brokers, with_buffer

KILLS_IN_CLUSTER = 10


def main() -> int:
    """Run the rounds. Returns 1 if something was wrong; the folder with all logs is kept then."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clocksvc-outages-"))
    print(f"seed {options.seed}; logs in {folder}", flush=True)
    outcomes = []
    if options.buffered:
        outcomes.append(_run_with_buffer(options, _make(folder / "buffered")))
    elif not options.cluster:
        outcomes.append(_run_one_broker(options, _make(folder / "one")))
    if options.cluster_kills and not options.buffered:
        outcomes.append(_run_three_brokers(options, _make(folder / "three")))
    if options.slices:
        print(f"\nall slices in {options.slices}:", *_add(outcomes, options.slices), sep="\n", flush=True)
    wrong = [text for outcome in outcomes for text in outcome.wrong()]
    if wrong:
        print(f"\n{len(wrong)} errors, see {folder}:", *wrong[:50], sep="\n  ")
        return 1
    if not options.keep:
        shutil.rmtree(folder)
    print("\nno errors")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.system.outages", description=__doc__)
    parser.add_argument("--minutes", type=float, help="run at least this long; 5 unless --until is given")
    parser.add_argument(
        "--until", default="", type=parse, help="kill=200,stop=20,…: kinds or groups of kinds, by count"
    )
    parser.add_argument("--kinds", default=",".join(KINDS), help="only these kinds of faults (with one broker)")
    parser.add_argument("--cluster", action="store_true", help="only the cluster of three brokers")
    parser.add_argument(
        "--cluster-kills", type=int, default=KILLS_IN_CLUSTER, help="brokers to kill in the cluster; 0: no cluster"
    )
    parser.add_argument("--buffered", action="store_true", help="only BufferedConsumers, judged by their sinks")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs in any case")
    parser.add_argument("--slices", type=Path, help="add the numbers to this file, and print the sum")
    parser.add_argument("--crowd", type=int, default=CROWD_CLOCKS, help="how many clocks besides the steady one")
    parser.add_argument("--partitions", type=int, default=32)
    parser.add_argument("--consumers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    return parser.parse_args()


def _run_one_broker(options: argparse.Namespace, folder: Path) -> Outcome:
    kinds = {name: KINDS[name] for name in options.kinds.split(",")}
    minutes = options.minutes if options.minutes is not None else (0.0 if options.until else 5.0)
    enough = _enough(minutes)
    outcome = one_broker(
        folder,
        options.seed,
        enough,
        Goals(kinds, options.until),
        _progress,
        partitions=options.partitions,
        consumers=options.consumers,
        kinds=kinds,
        crowd=options.crowd,
    )
    print(report(outcome), flush=True)
    return outcome


def _run_with_buffer(options: argparse.Namespace, folder: Path) -> Outcome:
    goals = Goals(WITH_BUFFER, options.until)
    minutes = options.minutes if options.minutes is not None else (0.0 if options.until else 5.0)
    outcome = with_buffer(folder, options.seed, _enough(minutes), goals, _progress)
    print(report(outcome), flush=True)
    return outcome


def _run_three_brokers(options: argparse.Namespace, folder: Path) -> Outcome:
    goals = Goals(IN_CLUSTER, {"kill-leading-broker": options.cluster_kills})
    outcome = three_brokers(folder, options.seed, _enough(0.0), goals, _progress, crowd=options.crowd)
    print(report(outcome), flush=True)
    return outcome


def _add(outcomes: list[Outcome], slices: Path) -> list[str]:
    """Add the numbers of these rounds to a file; the lines that describe all rounds in it."""
    with slices.open("a") as file:
        file.writelines(f"{json.dumps(outcome.numbers())}\n" for outcome in outcomes)
    rounds = [json.loads(line) for line in slices.read_text().splitlines()]
    return [f"{len(rounds)} rounds", *describe(total(rounds))]


def _enough(minutes: float) -> Callable[[Goals], bool]:
    """True after this time since the first fault, once every goal is reached."""
    began: list[float] = []

    def enough(goals: Goals) -> bool:
        began.append(time.monotonic())
        return began[-1] - began[0] >= 60 * minutes and not goals.left()

    return enough


def _make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _progress(text: str) -> None:
    if sys.stdout.isatty() or int(text.split()[0]) % 20 == 0:
        print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
