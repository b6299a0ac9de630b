"""From the return of the `observe` that completes a boundary to the parsed event, beside a bare transaction."""

import json
import queue
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx2
from confluent_kafka import Producer

from clocksvc import Reporter
from tests.bench.benchmark_service import served
from tests.bench.figures import Figure, percentile
from tests.system.installation import Installation, create_topic, wall_ms
from tests.waiting import eventually

PAIRS = 300
WARM_UP = 20


class Stream:
    """A client of server-sent events that notes when it had parsed each tick."""

    def __init__(self, url: str) -> None:
        self.arrivals: queue.Queue[tuple[int, float]] = queue.Queue()
        threading.Thread(target=self._read, args=(url,), daemon=True).start()

    def _read(self, url: str) -> None:
        # the service ends before its clients: expected
        with suppress(httpx2.HTTPError), httpx2.Client(timeout=60) as client, client.stream("GET", url) as response:
            event = ""
            for line in response.iter_lines():
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:") and event == "tick":
                    tick = json.loads(line[5:])
                    self.arrivals.put((tick["timestamp_seconds"], time.perf_counter()))


def run(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """300 interleaved pairs."""
    name = f"latency{wall_ms() % 10**8}"
    create_topic(bootstrap, f"{name}-bare", 1, "CreateTime")
    with served(folder, bootstrap, redis_url, name, "bench") as installation:
        return _measure(installation, name)


def _measure(installation: Installation, name: str) -> list[Figure]:
    bare = Producer(
        {
            "bootstrap.servers": installation.bootstrap,
            "transactional.id": f"{name}-bare",
            "acks": "all",
            "linger.ms": 0,
        }
    )
    bare.init_transactions(30)
    stream = Stream(f"{installation.url}/v1/clocks/bench/ticks/stream")
    first_ms = (wall_ms() // 1000 - PAIRS - WARM_UP - 60) * 1000
    ours: list[float] = []
    theirs: list[float] = []
    with Reporter(f"{installation.redis_url}?prefix={name}", "bench", group="g", topic=name) as reporter:
        reporter.observe(0, first_ms)
        eventually(lambda: installation.state("bench")["time"] is not None, within=20, what="the first tick")
        for turn in range(1, PAIRS + WARM_UP):
            at_ms = first_ms + turn * 1000
            theirs.append(_bare_transaction(bare, f"{name}-bare"))
            reporter.observe(0, at_ms)
            began = time.perf_counter()
            ours.append(_arrival(stream, at_ms // 1000) - began)
    return _figures([1000 * s for s in ours[WARM_UP:]], [1000 * s for s in theirs[WARM_UP:]])


def _arrival(stream: Stream, seconds: int) -> float:
    while True:
        at, arrived = stream.arrivals.get(timeout=20)
        if at == seconds:
            return arrived


def _bare_transaction(producer: Producer, topic: str) -> float:
    payload = b"x" * 600
    began = time.perf_counter()
    producer.begin_transaction()
    producer.produce(topic, payload, key=b"bench")
    producer.commit_transaction(30)
    return time.perf_counter() - began


def _figures(ours: list[float], theirs: list[float]) -> list[Figure]:
    figures = []
    for percent, factor, plus in ((50, 1.5, 3.0), (99, 2.0, 10.0)):
        seen, bare = percentile(ours, percent), percentile(theirs, percent)
        bound = factor * bare + plus
        figures.append(
            Figure(
                f"tick latency p{percent}, {len(ours)} pairs",
                f"{seen:.1f} ms, bare transaction {bare:.1f} ms",
                f"at most {factor} x bare + {plus:g} ms = {bound:.1f} ms",
                seen <= bound,
            )
        )
    return figures
