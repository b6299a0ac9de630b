"""Kills two beats repeatedly while their clock moves through past hours: `python -m tests.system.beat.run`.

Prints the counts and all tasks that were lost, added, early or out of order. Exits with 1 if there was any.
"""

import argparse
import random
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.beat.beat_installation import BEATS, MINUTE_MS, WITHIN_S, BeatInstallation, ReceivedTask
from tests.system.beat.task_errors import duplicates, find_errors
from tests.waiting import eventually

BEGIN = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
"""The night in which daylight saving time ends in Europe."""


@dataclass(frozen=True)
class Outcome:
    """The counts and errors of one run."""

    ticks: int
    kills: int
    tasks: int
    duplicates: int
    errors: list[str]


def run_with_kills(beats: BeatInstallation, ticks: int, kills: int, seed: int) -> Outcome:
    """Advance the clock, kill one of the beats at random moments, and check all tasks at the end."""
    rng = random.Random(seed)
    beats.start_worker()
    for name in BEATS:
        beats.start_beat(name)
    since_ms = _wait_until_caught_up(beats)
    end_ms = beats.at_ms + ticks * MINUTE_MS
    kill_at = sorted(rng.sample(range(ticks), min(kills, ticks)))
    done = 0
    while beats.at_ms < end_ms:
        step = min(rng.choice([1, 1, 1, 2, 5]), (end_ms - beats.at_ms) // MINUTE_MS)
        beats.advance(step)
        done += step
        beats.wait_for_ticks()
        while kill_at and kill_at[0] < done:
            kill_at.pop(0)
            name = rng.choice(BEATS)
            beats.kill(name)
            beats.start_beat(name)
            beats.wait_for_task("each tick", beats.at_ms)
    errors = final_errors(beats, since_ms, end_ms)
    received = received_since(beats, since_ms)
    tick_count = sum(tick.at_ms > since_ms for tick in beats.ticks())
    return Outcome(tick_count, beats.kills, len(received), duplicates(received), errors)


def received_since(beats: BeatInstallation, since_ms: int) -> list[ReceivedTask]:
    """The tasks due after a time that the worker has received."""
    return [one for one in beats.received() if one.due_ms > since_ms]


def final_errors(beats: BeatInstallation, since_ms: int, end_ms: int) -> list[str]:
    """The errors of the tasks due after a time, once the last tick's task has come and the worker, which reads several
    queues, has had time to empty them."""

    def errors() -> list[str]:
        return find_errors(received_since(beats, since_ms), beats.ticks(), since_ms, end_ms)

    beats.wait_for_task("each tick", end_ms)
    with suppress(AssertionError):
        eventually(lambda: not errors(), within=WITHIN_S)
    return errors()


def _wait_until_caught_up(beats: BeatInstallation) -> int:
    """Advance the clock until a beat sends, and let it catch up. A schedule is not due before a beat registers it."""
    while not beats.received():
        beats.advance(1)
        beats.wait_for_ticks()
    beats.wait_for_task("each tick", beats.at_ms)
    return beats.at_ms


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--ticks", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="clocksvc-beat-"))
    with KafkaServer() as kafka, ValkeyServer() as valkey:
        start_ms = int(BEGIN.timestamp() * 1000)
        with BeatInstallation(folder, kafka.bootstrap, valkey.url, start_ms) as beats:
            outcome = run_with_kills(beats, args.ticks, args.kills, args.seed)
    print(f"{outcome.ticks} ticks, {outcome.kills} kills, {outcome.tasks} tasks, {outcome.duplicates} duplicates")
    print(f"errors: {len(outcome.errors)}", *outcome.errors, sep="\n  ")
    if outcome.errors:
        print(f"logs: {folder}")
    return int(bool(outcome.errors))


if __name__ == "__main__":
    raise SystemExit(main())
