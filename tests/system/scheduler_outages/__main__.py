"""`make scheduler-outages`: kills, restarts and changes while a clock runs through an hour, and what Kafka has then."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from clocksvc.client.schedules import Schedules
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.installation import wall_ms
from tests.system.scheduler_outages.changes import Acknowledged, Writer
from tests.system.scheduler_outages.evidence import Evidence, judge
from tests.system.scheduler_outages.faults import KINDS
from tests.system.scheduler_outages.target import CLOCK, Target
from tests.waiting import eventually

_PARTITIONS = 4
_HTTP_IDS = 2_000
_CAUGHT_UP_WITHIN_S = 120.0
_DAY_S = 86_400


def main() -> int:
    """Run it once. Returns 1 if a promise was broken; the folder with all logs is kept then."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clocksvc-scheduler-outages-"))
    print(f"seed {options.seed}; logs in {folder}", flush=True)
    properties = {"log.retention.check.interval.ms": str(86_400_000)}
    with KafkaServer(properties=properties) as kafka, ValkeyServer() as valkey:
        evidence, faults, outcomes, ended = run(folder, kafka, valkey, options)
    for text in report(evidence, faults, outcomes, ended):
        print(text)
    if evidence.violations or not evidence.counts.get("sent"):
        return 1
    if not options.keep:
        shutil.rmtree(folder)
    return 0


def run(
    folder: Path, kafka: KafkaServer, valkey: ValkeyServer, options: argparse.Namespace
) -> tuple[Evidence, Counter[str], Counter[str], list[tuple[str, int]]]:
    """Start everything, inject faults until the clock's minutes are over, wait for the end, and judge."""
    rng, faults = random.Random(options.seed), Counter[str]()
    begin_s = (wall_ms() // 60_000 - options.minutes - 10) * 60
    target = Target(folder, kafka, valkey, _PARTITIONS, begin_s, options.speed)
    acknowledged = Acknowledged()
    try:
        target.begin()
        created_s = begin_s - _DAY_S
        direct = Writer(
            "direct", Schedules(kafka=kafka.bootstrap, clock=CLOCK), options.schedules, options.rate, created_s,
            acknowledged, options.seed,
        )  # fmt: skip
        http = Writer(
            "http", Schedules(target.installation.url, CLOCK), _HTTP_IDS, options.rate / 10, created_s, acknowledged,
            options.seed + 1,
        )  # fmt: skip
        direct.write_all()
        http.write_all()
        target.run_clock()
        direct.start()
        http.start()
        wanted = [name for name, (_, weight) in KINDS.items() for _ in range(round(weight * options.faults / 100))]
        rng.shuffle(wanted)
        end_s = begin_s + options.minutes * 60
        while target.now_s < end_s:
            name = wanted.pop() if wanted else "kill-scheduler"
            KINDS[name][0](target, rng)
            faults[name] += 1
            left_s = (end_s - target.now_s) / target.speed
            target.pause(max(0.2, min(left_s, rng.uniform(0.0, 1.5) * left_s / max(1, len(wanted)))))
            _progress(
                f"{faults.total()} faults, last {name}; the clock is at minute {(target.now_s - begin_s) / 60:.0f}"
            )
        direct.stop()
        http.stop()
        target.stop_clock()
        _until_caught_up(target)
        return (
            judge(kafka.bootstrap, target.installation.tick_log, _PARTITIONS, acknowledged),
            faults,
            (acknowledged.outcomes),
            target.ended,
        )
    finally:
        target.close()


def report(evidence: Evidence, faults: Counter[str], outcomes: Counter[str], ended: list[tuple[str, int]]) -> list[str]:
    """What happened, and what was wrong."""
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(evidence.counts.items()))
    return [
        f"{evidence.ticks:,} ticks; {evidence.changes:,} records of schedules; {counts}",
        f"longest time from a tick to one of its due records: {evidence.longest_delay_ms / 1000:.1f} s",
        "faults: " + ", ".join(f"{count} {name}" for name, count in sorted(faults.items())),
        "changes: " + ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items())),
        f"processes that ended by themselves: {Counter(ended) or 'none'}",
        f"{len(evidence.violations)} violations",
        *(f"  {text}" for text in evidence.violations),
    ]


def _until_caught_up(target: Target) -> None:
    """Wait until each partition has the position of the clock's last tick, as the service shows it."""
    last = time.time()

    def caught_up() -> bool:
        state = target.installation.state(CLOCK)
        position = state["schedules"]["position"]
        return time.time() - last > 2 and position is not None and position >= state["time"]

    eventually(caught_up, within=_CAUGHT_UP_WITHIN_S, what="all partitions to reach the clock's last tick")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.system.scheduler_outages", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="of the clock's time")
    parser.add_argument("--speed", type=float, default=5.0, help="minutes of the clock's time in a minute")
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=1_000.0, help="changes a second, a tenth more by HTTP")
    parser.add_argument(
        "--faults", type=float, default=100.0, help="how many kills of schedulers, and the others with them"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs in any case")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    return parser.parse_args()


def _progress(text: str) -> None:
    if sys.stdout.isatty() or int(text.split()[0]) % 20 == 0:
        print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
