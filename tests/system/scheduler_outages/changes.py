"""Changes of schedules while the clock runs, by two clients, and when each was acknowledged."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from clocksvc.client.schedule_values import ScheduleResult
from clocksvc.client.schedules import Schedules
from clocksvc.errors import ClocksvcError

INTERVALS = {"60s": 5, "5m": 25, "10m": 20, "30m": 25, "1h": 20}
"""Each with its weight. The rest are crontabs."""
CRONS = ("*/7 * * * *", "3,33 * * * *", "*/20 * * * *", "11 * * * *", "* * * * *")
CRON_WEIGHT = 5
_ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")
_PAUSE_S = 0.2


def schedule(rng: random.Random, created_s: int, version: int) -> dict[str, Any]:
    """A schedule that a client could write. Its payload names its version."""
    kinds = [*INTERVALS, "cron"]
    kind = rng.choices(kinds, [*INTERVALS.values(), CRON_WEIGHT])[0]
    when = {"cron": rng.choice(CRONS), "timezone": rng.choice(_ZONES)} if kind == "cron" else {"interval": kind}
    created_at = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**when, "task": "outages.check", "payload": {"version": version}, "created_at": created_at}


class Writes(Protocol):
    """A client: `Schedules` of one kind or the other."""

    def put_many(self, items: Any, on_result: Any) -> int: ...


@dataclass
class Acknowledged:
    """Which records clients know to be written, and since when. Used by several threads.

    Attributes:
        at_ms: by partition and offset.
        outcomes: how many writes succeeded and failed, by client.
    """

    at_ms: dict[tuple[int, int], int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def note(self, client: str, result: ScheduleResult) -> None:
        """Note the outcome of one write."""
        if result.written is not None:
            self.at_ms[result.written.partition, result.written.offset] = time.time_ns() // 1_000_000
        kind = "failed" if result.error is not None else "absent" if result.written is None else "acknowledged"
        self.outcomes[f"{client} {kind}"] += 1


class Writer:
    """One client that puts and deletes schedules at a rate, in a thread. Ids of two writers differ by their prefix.

    Args:
        rate: changes a second.
        created_s: the creation of each schedule, in epoch seconds.
    """

    def __init__(
        self, name: str, client: Schedules, ids: int, rate: float, created_s: int, acknowledged: Acknowledged, seed: int
    ) -> None:
        self.name, self._client, self._ids, self._rate, self._created_s = name, client, ids, rate, created_s
        self._acknowledged, self._rng = acknowledged, random.Random(seed)
        self._version = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"writer-{name}")

    def write_all(self) -> None:
        """Write each id once."""
        self._send((f"{self.name}-{number}", self._schedule()) for number in range(self._ids))

    def start(self) -> None:
        """Begin to change them."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present batch."""
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - began) * self._rate)
            if due > sent:
                count = min(due - sent, max(1, int(self._rate)))
                self._send(self._changes(count))
                sent += count
            self._stop.wait(_PAUSE_S)

    def _changes(self, count: int) -> Iterator[tuple[str, dict[str, Any] | None]]:
        for _ in range(count):
            number = self._rng.randrange(self._ids)
            yield f"{self.name}-{number}", None if self._rng.random() < 0.2 else self._schedule()

    def _schedule(self) -> dict[str, Any]:
        self._version += 1
        return schedule(self._rng, self._created_s, self._version)

    def _send(self, items: Iterator[tuple[str, dict[str, Any] | None]]) -> None:
        try:
            self._client.put_many(items, lambda result: self._acknowledged.note(self.name, result))
        except ClocksvcError as error:
            self._acknowledged.outcomes[f"{self.name} {type(error).__name__}"] += 1
