"""The consumers of many clocks, in one cheap process: each boundary is reported for all clocks at once.

Arguments: the URL of Redis, the prefix, the interval in s, the consumer group, a JSON file with a list of
[clock, topic, number of partitions], and the time of the first tick in ms; 0 for the present.

As a Reporter, it reports unknown partitions again after 1 s, and all others after 10 s. Prints `ticking` once each
clock has a tick. After a line on standard input, nothing new is reported: the process waits until all reported
boundaries are ticks, for at most a minute. Then it prints, as JSON, its calls, and when each boundary of each
clock was reported for the first time: `{calls: [[wall ms, number]], reported: [[clock, boundary ms, wall ms]]}`.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.interfaces.progress import Report
from clocksvc.redis.encoding import read_report_answer, report_arguments
from clocksvc.redis.scripts import REPORT, Scripts

CALLS_A_PIPELINE = 100
RETRY_S, REPEAT_S = 1.0, 10.0
LOOK_EVERY_S = 0.05
DRAINED_WITHIN_S = 60.0


@dataclass(slots=True)
class _Clock:
    """One clock: its partitions and keys, the last accepted boundary, its last tick, and when to report it again."""

    name: str
    partitions: Sequence[Partition]
    keys: Sequence[str]
    again_at: float
    accepted_ms: int = 0
    ticked_ms: int = 0


class FleetLoad:
    """All clocks, and what was reported."""

    def __init__(self, redis_url: str, interval_ms: int, group: str, clocks: Sequence[_Clock], first_ms: int) -> None:
        self._redis = redis.Redis.from_url(redis_url, decode_responses=True)
        self._redis.script_load(REPORT.text)
        self._interval_ms, self._group, self._clocks, self._first_ms = interval_ms, group, clocks, first_ms
        self.calls: list[tuple[int, int]] = []
        self.reported: list[tuple[str, int, int]] = []

    def all_tick(self) -> bool:
        """Whether each clock has a tick."""
        return all(clock.ticked_ms for clock in self._clocks)

    def report_due(self) -> None:
        """Report what is due, and sleep for a moment."""
        now = time.monotonic()
        boundary_ms = self._boundary_ms()
        if self._first_ms:
            self._report(
                [clock for clock in self._clocks if not clock.ticked_ms and now >= clock.again_at], self._first_ms
            )
        begun = [clock for clock in self._clocks if clock.ticked_ms or not self._first_ms]
        crossed = [clock for clock in begun if now >= clock.again_at or 0 < clock.accepted_ms < boundary_ms]
        self._report(crossed, boundary_ms)
        next_s = (self._boundary_ms() + self._interval_ms) / 1000 - time.time()
        time.sleep(max(0.0, min(LOOK_EVERY_S, next_s)))

    def drain(self) -> None:
        """Wait until all reported boundaries are ticks."""
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while time.monotonic() < deadline:
            behind = [clock for clock in self._clocks if clock.ticked_ms < clock.accepted_ms]
            if not behind:
                return
            for clock in behind:
                self._report([clock], clock.accepted_ms)
            time.sleep(0.2)

    def _boundary_ms(self) -> int:
        now_ms = time.time_ns() // 1_000_000
        return now_ms - now_ms % self._interval_ms

    def _report(self, clocks: Sequence[_Clock], boundary_ms: int) -> None:
        for start in range(0, len(clocks), CALLS_A_PIPELINE):
            self._send(clocks[start : start + CALLS_A_PIPELINE], boundary_ms)

    def _send(self, clocks: Sequence[_Clock], boundary_ms: int) -> None:
        reports = [
            Report(self._group, tuple(PartitionTimestamp(partition, boundary_ms) for partition in clock.partitions))
            for clock in clocks
        ]
        at_ms = time.time_ns() // 1_000_000
        with self._redis.pipeline(transaction=False) as pipeline:
            for clock, report in zip(clocks, reports, strict=True):
                pipeline.evalsha(REPORT.sha, len(clock.keys), *clock.keys, *report_arguments(report))
            answers = pipeline.execute()
        self.calls.append((at_ms, len(answers)))
        now = time.monotonic()
        for clock, report, answer in zip(clocks, reports, answers, strict=True):
            seen = read_report_answer(report, answer)
            clock.ticked_ms = max(clock.ticked_ms, seen.last_tick_ms or 0)
            if set(seen.outcomes) <= {Outcome.ACCEPTED, Outcome.UNCHANGED}:
                if boundary_ms > clock.accepted_ms:
                    self.reported.append((clock.name, boundary_ms, at_ms))
                    clock.accepted_ms = boundary_ms
                clock.again_at = now + (REPEAT_S if clock.ticked_ms else RETRY_S)
            else:
                clock.again_at = now + RETRY_S


def _clocks(prefix: str, file: Path) -> list[_Clock]:
    clocks = []
    for name, topic, partitions in json.loads(file.read_text()):
        scripts = Scripts(prefix, log_of(name), name)
        keys = [scripts.key(key) for key in REPORT.keys]
        clocks.append(_Clock(name, [Partition(topic, number) for number in range(partitions)], keys, 0.0))
    return clocks


def main(redis_url: str, prefix: str, interval_s: int, group: str, file: Path, first_ms: int) -> None:
    """Report until stopped, print."""
    load = FleetLoad(redis_url, interval_s * 1000, group, _clocks(prefix, file), first_ms)
    stop = threading.Event()

    def wait_for_line() -> None:
        sys.stdin.readline()
        stop.set()

    threading.Thread(target=wait_for_line, daemon=True).start()
    announced = False
    while not stop.is_set():
        load.report_due()
        if not announced and load.all_tick():
            announced = True
            print("ticking", flush=True)
    load.drain()
    print(json.dumps({"calls": load.calls, "reported": load.reported}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]), int(sys.argv[6]))
