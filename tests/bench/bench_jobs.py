"""From the committed tick to the task in an idle worker's hands, beside a plain `apply_async` on the same broker; and
whether a blocked pool makes another one slower.

`PAIRS` and `ROUNDS` in the environment say how much of each. Times are the wall clock's, in whole ms: broker, worker
and bench run on one machine.
"""

import json
import os
import threading
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from clocksvc.clock.logs import log_of
from tests.bench.figures import Figure, Spread, percentile, ratios
from tests.system.beat.beat_installation import CLOCK, WITHIN_S, BeatInstallation, ReceivedTask
from tests.system.beat.routed_app import app
from tests.system.installation import wall_ms
from tests.waiting import eventually

PAIRS = int(os.environ.get("PAIRS", "200"))
ROUNDS = int(os.environ.get("ROUNDS", "12"))
TICKS_A_ROUND = 10
WARM_UP = 10
BEGIN_MS = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
APP = "tests.system.beat.routed_app"
PROMPT, SLOW, THIRD = "shop.checkins", "shop.errors", "shop.billing"
TASKS = [
    {"task": PROMPT, "name": "checkins.close"},
    {"task": SLOW, "name": "errors.close"},
    {"task": THIRD, "name": "billing.close"},
]
NAMESPACES = {"checkins": {"queue": "prompt"}, "errors": {"queue": "slow"}, "billing": {"queue": "prompt"}}


class Watcher:
    """A plain reader of the tick log: when the broker had appended each tick, and when its commit could be seen."""

    def __init__(self, bootstrap: str, tick_log: str) -> None:
        self.appended_ms: dict[int, int] = {}
        self.seen_ms: dict[int, int] = {}
        self._stop = threading.Event()
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench", "isolation.level": "read_committed"}
        )
        self._consumer.assign([TopicPartition(tick_log, log_of(CLOCK), 0)])
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(10)
        self._consumer.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            record = self._consumer.poll(0.5)
            if record is not None and ("clocksvc-type", b"tick") in (record.headers() or []):
                at_ms = json.loads(record.value() or b"")["timestamp_seconds"] * 1000
                self.appended_ms[at_ms], self.seen_ms[at_ms] = record.timestamp()[1], wall_ms()


def run(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """First one task a tick and one idle worker, then three namespaces on two pools."""
    return [*_latency(folder / "alone", bootstrap, redis_url), *_isolation(folder / "pools", bootstrap, redis_url)]


def _beats(folder: Path, bootstrap: str, redis_url: str, tasks: Sequence[dict[str, str]]) -> BeatInstallation:
    folder.mkdir()
    return BeatInstallation(folder, bootstrap, redis_url, BEGIN_MS, APP, tasks, {"namespaces": NAMESPACES})


def _begin(beats: BeatInstallation) -> None:
    """Wait until the dispatchers work and everything is warm."""
    beats.start_tick_tasks()
    while not beats.received():
        beats.advance(1)
        beats.wait_for_ticks()
    for _ in range(WARM_UP):
        _tick(beats)


def _tick(beats: BeatInstallation, *tasks: str) -> None:
    """One tick, and its tasks done."""
    beats.advance(1)
    for task in tasks or (PROMPT,):
        _done(beats, task)


def _done(beats: BeatInstallation, task: str) -> None:
    beats.wait_for_task(task, beats.at_ms)


# -- latency ----------------------------------------------------------------------------------------------------------


def _latency(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    app.conf.broker_url = redis_url
    with _beats(folder, bootstrap, redis_url, TASKS[:1]) as beats:
        beats.start_worker("worker", "prompt")
        watcher = Watcher(bootstrap, beats.tick_log)
        _begin(beats)
        for _ in range(WARM_UP):
            _apply(beats)
        since_ms, plain = beats.at_ms, []
        for turn in range(PAIRS):
            if turn % 2:
                _tick(beats)
            plain.append(_apply(beats))
            if not turn % 2:
                _tick(beats)
        watcher.stop()
        ours = _by_tick(beats.received(), PROMPT, since_ms)
    assert len(ours) == len(plain) == PAIRS
    visible = [watcher.seen_ms[at_ms] - watcher.appended_ms[at_ms] for at_ms in ours]
    whole = [received_ms - watcher.appended_ms[at_ms] for at_ms, received_ms in ours.items()]
    return [
        Figure(f"tick appended to task received, {PAIRS} pairs", _shown(whole)),
        Figure("of it, until the commit is seen by a plain consumer", _shown(visible)),
        Figure("a plain apply_async to task received, beside it", _shown(plain)),
        Figure(
            "how much longer, pair by pair", Spread.of([a - b for a, b in zip(whole, plain, strict=True)]).show("ms", 0)
        ),
    ]


def _apply(beats: BeatInstallation) -> float:
    """Ms from a plain `apply_async` to its task in the worker."""
    task_id, began_ms = str(uuid.uuid4()), wall_ms()
    app.tasks[THIRD].apply_async(({"time": "2026-03-01T00:00:00Z"},), task_id=task_id, queue="prompt")
    sent = eventually(
        lambda: next((one for one in beats.received() if one.id == task_id), None), within=WITHIN_S, what="a plain task"
    )
    assert sent is not None
    return sent.wall_ms - began_ms


def _by_tick(sent: Sequence[ReceivedTask], task: str, since_ms: int) -> dict[int, int]:
    """When a task of each tick was received."""
    return {one.due_ms: one.wall_ms for one in sent if one.entry == task and one.due_ms > since_ms}


def _shown(took_ms: Sequence[float]) -> str:
    return f"p50 {percentile(took_ms, 50):.0f} ms, p99 {percentile(took_ms, 99):.0f} ms"


# -- isolation --------------------------------------------------------------------------------------------------------


def _isolation(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    with _beats(folder, bootstrap, redis_url, TASKS) as beats:
        beats.start_worker("prompt-worker", "prompt")
        beats.start_worker("slow-worker", "slow")
        watcher = Watcher(bootstrap, beats.tick_log)
        _begin(beats)
        _done(beats, SLOW)
        free: list[list[int]] = []
        blocked: list[list[int]] = []
        for turn in range(ROUNDS):
            for now_blocked in (turn % 2 == 0, turn % 2 == 1):
                (blocked if now_blocked else free).append(_round(beats, watcher, now_blocked))
        watcher.stop()
    medians = ratios([percentile(one, 50) for one in blocked], [percentile(one, 50) for one in free])
    count = ROUNDS * TICKS_A_ROUND
    return [
        Figure(f"tick appended to task, another pool at work, {count} ticks", _shown(_all(free))),
        Figure(f"the same, the other pool blocked, {count} ticks", _shown(_all(blocked))),
        _unchanged(medians),
    ]


def _round(beats: BeatInstallation, watcher: Watcher, blocked: bool) -> list[int]:
    """Some ticks; how long each took to the prompt pool. The slow pool has no tasks left at the end."""
    since_ms = beats.at_ms
    if blocked:
        beats.block.touch()
    for _ in range(TICKS_A_ROUND):
        _tick(beats, PROMPT, THIRD)
    if blocked:
        assert not _by_tick(beats.received(), SLOW, since_ms)
        beats.block.unlink()
    _done(beats, SLOW)
    received = _by_tick(beats.received(), PROMPT, since_ms)
    assert len(received) == len(_by_tick(beats.received(), SLOW, since_ms)) == TICKS_A_ROUND
    return [at_ms - watcher.appended_ms[tick] for tick, at_ms in received.items()]


def _all(rounds: list[list[int]]) -> list[int]:
    return [one for a_round in rounds for one in a_round]


def _unchanged(medians: Spread) -> Figure:
    return Figure(
        f"blocked against free, {ROUNDS} pairs of medians",
        medians.show("times"),
        "at most 1.25 times",
        medians.median <= 1.25,
    )
