"""Two beats are killed repeatedly while their clock moves through past hours: `python -m tests.system.beat.run`.

Prints what happened, and what was lost, twice, early or out of order; 1 when anything was.
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
from tests.system.beat.judge import (
    doubles,
    wrong_with,
)
from tests.system.beat.scene import (
    BEATS,
    MINUTE_MS,
    WITHIN_S,
    Scene,
    Sent,
)
from tests.waiting import eventually

BEGIN = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
"""The night in which Europe's clocks are set back."""


@dataclass(frozen=True)
class Outcome:
    """What a round saw."""

    ticks: int
    kills: int
    tasks: int
    doubles: int
    wrong: list[str]


def play(scene: Scene, ticks: int, kills: int, seed: int) -> Outcome:
    """Drive the clock, and kill one beat or the other every now and then; at the end all must have been sent."""
    rng = random.Random(seed)
    scene.start_worker()
    for name in BEATS:
        scene.start_beat(name)
    since_ms = _begun(scene)
    end_ms = scene.at_ms + ticks * MINUTE_MS
    when = sorted(rng.sample(range(ticks), min(kills, ticks)))
    done = 0
    while scene.at_ms < end_ms:
        step = min(rng.choice([1, 1, 1, 2, 5]), (end_ms - scene.at_ms) // MINUTE_MS)
        scene.drive(step)
        done += step
        scene.until_ticked()
        while when and when[0] < done:
            when.pop(0)
            name = rng.choice(BEATS)
            scene.kill(name)
            scene.start_beat(name)
            scene.until_sent("each tick", scene.at_ms)
    wrong = wrong_at_last(scene, since_ms, end_ms)
    sent = sent_since(scene, since_ms)
    driven = sum(tick.at_ms > since_ms for tick in scene.log())
    return Outcome(driven, scene.kills, len(sent), doubles(sent), wrong)


def sent_since(scene: Scene, since_ms: int) -> list[Sent]:
    """The tasks due after a time that the worker has taken."""
    return [one for one in scene.sent() if one.due_ms > since_ms]


def wrong_at_last(scene: Scene, since_ms: int, end_ms: int) -> list[str]:
    """What is wrong with the tasks due after a time, once all of its ticks have been sent, and the worker, which has
    several queues, has had its time for what lies there."""

    def wrong() -> list[str]:
        return wrong_with(sent_since(scene, since_ms), scene.log(), since_ms, end_ms)

    scene.until_sent("each tick", end_ms)
    with suppress(AssertionError):
        eventually(lambda: not wrong(), within=WITHIN_S)
    return wrong()


def _begun(scene: Scene) -> int:
    """Drive on until a beat has begun, and let it catch up: what is new is not due for time before it existed."""
    while not scene.sent():
        scene.drive(1)
        scene.until_ticked()
    scene.until_sent("each tick", scene.at_ms)
    return scene.at_ms


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
        with Scene(folder, kafka.bootstrap, valkey.url, start_ms) as scene:
            outcome = play(scene, args.ticks, args.kills, args.seed)
    print(f"{outcome.ticks} ticks, {outcome.kills} kills, {outcome.tasks} tasks, {outcome.doubles} doubles by id")
    print(f"wrong: {len(outcome.wrong)}", *outcome.wrong, sep="\n  ")
    if outcome.wrong:
        print(f"logs: {folder}")
    return int(bool(outcome.wrong))


if __name__ == "__main__":
    raise SystemExit(main())
