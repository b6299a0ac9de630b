"""`make pipeline-outages`: a pipeline of three stages with faults at each of them, judged by the contents of its sink.

The stages: one with Kafka transactions, one that commits after its output, and a sink that commits after its database.
"""

import argparse
import random
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.pipeline.faults import Faults
from tests.system.outages.pipeline.judge import Judgement
from tests.system.outages.pipeline.pipeline import CLOCKS, Pipeline

_CALM_S = 15.0
_SHOWN = 10


def main() -> int:
    """Run it, and print the judgement. Returns 1 if something was wrong; the folder with all logs is kept then."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clocksvc-pipeline-"))
    print(f"logs in {folder}, seed {options.seed}", flush=True)
    with KafkaServer() as kafka, ValkeyServer() as valkey, Pipeline(folder, kafka, valkey) as pipeline:
        faults = Faults(pipeline, random.Random(options.seed))
        stuck = ""
        try:
            _inject(faults, random.Random(options.seed), time.monotonic() + 60 * options.minutes)
        except AssertionError as error:
            stuck = str(error)
        judgement = pipeline.judge(faults.calm)
        ended = pipeline.ended
    _print(judgement, faults, ended)
    print(stuck)
    if any(judgement.wrong.values()) or not all(one.right for one in faults.named) or stuck:
        return 1
    if not options.keep:
        shutil.rmtree(folder)
    return 0


def _inject(faults: Faults, rng: random.Random, until_s: float) -> None:
    """Inject faults: after a calm time, stages in turn, and another fault after every fourth of them."""
    faults.wait_until_calm(_CALM_S)
    stages = range(len(CLOCKS))
    others = [
        faults.restart_broker,
        faults.flush,
        faults.kill_leader,
        faults.kill_observer,
        faults.kill_observer_and_flush,
        *(lambda stage=stage: faults.rebalance(stage) for stage in stages),
    ]
    rng.shuffle(others)
    number = 0
    while time.monotonic() < until_s:
        faults.hold_a_stage(number % 3, "kill" if number % 5 == 4 else "stop")
        number += 1
        if number % 4 == 0:
            others[number // 4 % len(others)]()
            print(f"{len(faults.named)} holds, {dict(faults.done)}", flush=True)
    faults.wait_until_calm(_CALM_S)


def _print(judgement: Judgement, faults: Faults, ended: int) -> None:
    print(f"{judgement.records:,} records, ticks: {dict(judgement.ticks)}, {ended} members ended by themselves")
    print(f"faults: {dict(sorted(faults.done.items()))}")
    named = sorted(one.seconds for one in faults.named if one.seconds is not None)
    print(f"{len(faults.named)} holds: the right stage was named in {sum(one.right for one in faults.named)}")
    if named:
        print(f"named {median(named):.1f} s after the beginning of the fault, at most {named[-1]:.1f} s")
    for clock, (middle, most, maximum) in judgement.latencies_s.items():
        print(f"{clock}: a tick comes {middle:.2f} s after its boundary (99 %: {most:.2f} s, at most {maximum:.2f} s)")
    print(", ".join(f"{error} {len(texts)}" for error, texts in judgement.wrong.items()))
    for text in [text for texts in judgement.wrong.values() for text in texts][:_SHOWN]:
        print(f"  {text}")
    for one in [one for one in faults.named if not one.right][:_SHOWN]:
        print(f"  misnamed: {one}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.system.outages.pipeline", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs in any case")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
