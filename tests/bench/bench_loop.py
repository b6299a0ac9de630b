"""Whether the service's event loop is ever blocked: `/livez`, which only runs on the loop, is requested all the time
while a backlog of 10,000 ticks is streamed to subscribers."""

import sys
import threading
import time
from pathlib import Path

import httpx2

from clocksvc import Reporter
from tests.bench.bench_latency import Stream
from tests.bench.benchmark_service import served
from tests.bench.figures import Figure, percentile
from tests.system.installation import Installation, wall_ms
from tests.waiting import eventually

BACKLOG = 10_000
SUBSCRIBERS = 3


class Prober:
    """Requests `/livez` over one connection, again and again, and keeps how long each answer took, in ms."""

    def __init__(self, url: str) -> None:
        self.took: list[float] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def stop(self) -> list[float]:
        """The measured times."""
        self._stop.set()
        self._thread.join(10)
        return self.took

    def _ask(self) -> None:
        with httpx2.Client(timeout=30) as client:
            while not self._stop.wait(0.002):
                began = time.perf_counter()
                client.get(f"{self._url}/livez")
                self.took.append(1000 * (time.perf_counter() - began))


def run(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """Idle, then beside a backlog."""
    name = f"loop{wall_ms() % 10**8}"
    with served(folder, bootstrap, redis_url, name, "loop") as installation:
        return _measure(installation, name)


def _measure(installation: Installation, name: str) -> list[Figure]:
    # the subscribers' parsing must not delay the prober in this process more than the service does in its own
    sys.setswitchinterval(0.0001)
    first_ms = (wall_ms() // 1000 - BACKLOG - 60) * 1000
    url = f"{installation.url}/v1/clocks/loop/ticks/stream"
    with Reporter(f"{installation.redis_url}?prefix={name}", "loop", group="g", topic=name) as reporter:
        reporter.observe(0, first_ms)
        eventually(lambda: installation.state("loop")["time"] is not None, within=20, what="the first tick")
        idle = Prober(installation.url)
        eventually(lambda: len(idle.took) >= 500, within=30, what="500 answers")
        alone = idle.stop()
        streams = [Stream(url) for _ in range(SUBSCRIBERS)]
        busy = Prober(installation.url)
        eventually(lambda: len(busy.took) >= 100, within=30, what="100 answers")
        reporter.observe(0, first_ms + BACKLOG * 1000)
        eventually(
            lambda: all(stream.arrivals.qsize() >= BACKLOG for stream in streams),
            within=60,
            what="all ticks everywhere",
        )
        beside = busy.stop()
    return [
        Figure(
            f"/livez, idle, {len(alone)} answers", f"p99 {percentile(alone, 99):.1f} ms, longest {max(alone):.1f} ms"
        ),
        Figure(
            f"/livez beside {BACKLOG:,} ticks to {SUBSCRIBERS} subscribers, {len(beside)} answers",
            f"p99 {percentile(beside, 99):.1f} ms, longest {max(beside):.1f} ms",
            "at most 50 ms",
            max(beside) <= 50,
        ),
    ]
