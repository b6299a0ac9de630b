"""A scrape of `/metrics` with 10,000 partitions over HTTP, and how it delays the ticks of the same process."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

import httpx2

from clocksvc.api.app import create_app
from clocksvc.api.server import server
from clocksvc.dev.demo.demo_service import listen
from clocksvc.interfaces.time import SystemTime
from clocksvc.leader.leader import Phase
from clocksvc.metrics.exposition import Metrics
from clocksvc.service.bootstrap import set_switch_interval
from clocksvc.service.clock_view import ClockView
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.notice_follower import NoticeFollower
from clocksvc.service.tick_feed import TickFeed
from tests.bench.bench_leader import Bench
from tests.bench.bench_loop import Prober
from tests.bench.figures import Figure, Spread, percentile
from tests.system.installation import wall_ms
from tests.waiting import eventually

PARTITIONS = 10_000
ROUNDS, TICKS = 5, 100
SPAN_MS = 100_000_000
SERIES = b"clocksvc_partition_clock_timestamp_seconds{"


def run(bootstrap: str, redis_url: str) -> list[Figure]:
    """Rounds of ticks alone and beside scrapes, alternating; the scrapes come without a pause."""
    bench = Bench(redis_url, PARTITIONS, bootstrap)
    alone: list[float] = []
    beside: list[float] = []
    livez: list[float] = []
    scrapes: list[float] = []
    with _service(bench) as url, _ticking(bench):
        for _ in range(ROUNDS):
            alone += _ticks(bench)
            prober = Prober(url)
            with _scraping(url, scrapes):
                beside += _ticks(bench)
            livez += prober.stop()
    spread = Spread.of(scrapes)
    return [
        Figure(
            f"a scrape of {PARTITIONS:,} partitions, {len(scrapes)} scrapes while ticks come",
            spread.show("ms", 0),
            "median below 200 ms",
            spread.median < 200,
        ),
        Figure(
            f"tick latency alone and beside such scrapes, {len(alone)} and {len(beside)} ticks",
            f"p50 {percentile(alone, 50):.1f} and {percentile(beside, 50):.1f} ms, "
            f"p99 {percentile(alone, 99):.1f} and {percentile(beside, 99):.1f} ms",
            "a p50 less than 20 ms later",
            percentile(beside, 50) - percentile(alone, 50) < 20,
        ),
        Figure(f"/livez beside them, {len(livez)} answers", f"p99 {percentile(livez, 99):.1f} ms"),
    ]


def _ticks(bench: Bench) -> list[float]:
    latencies = bench.latencies[bench.spec.name]
    latencies.clear()
    eventually(lambda: len(latencies) >= TICKS, within=120, what=f"{TICKS} ticks")
    return latencies[:TICKS]


@contextmanager
def _service(bench: Bench) -> Iterator[str]:
    """The bench's leader, a feed and the API in this process, as `clocksvc serve` has them; its address."""
    set_switch_interval()
    feed, name = TickFeed(bench.spec.name, bench.store, SystemTime()), bench.spec.name
    metrics = Metrics([name])
    views = ClockViews({name: ClockView(bench.spec, bench.store, feed, SystemTime())}, bench.store_server.clock_reads())
    metrics.watch(views)
    metrics.leading(bench.log, True)
    http = server(create_app(views, metrics=metrics.render, version=version("clocksvc")), "127.0.0.1", 0)
    leader = bench.thread()
    follower = NoticeFollower(
        [feed], bench.store_server.notices([name]), bench.store_server.clock_reads(), SystemTime()
    )
    with ExitStack() as ending:
        listener = ending.enter_context(listen(0))
        serving = threading.Thread(target=http.run, args=([listener],), daemon=True)
        follower.start()
        serving.start()
        leader.start()
        eventually(lambda: bench.leader.phase is Phase.LEADING, within=30, what="a leader")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            http.should_exit = True
            follower.stop()
            leader.stop()
            leader.join(10)
            follower.join(10)
            serving.join(10)
            bench.store.close()


@contextmanager
def _ticking(bench: Bench) -> Iterator[None]:
    """All partitions far ahead of partition 0, which makes a tick of a second every 20 ms."""
    base_ms, stop = wall_ms() // 1000 * 1000 - SPAN_MS, threading.Event()
    bench.report_all(base_ms)
    for first in range(1, PARTITIONS, 1_000):
        bench.report(range(first, min(first + 1_000, PARTITIONS)), base_ms + SPAN_MS - 60_000)

    def tick() -> None:
        turn = 0
        while not stop.wait(0.02):
            turn += 1
            bench.report(range(1), base_ms + turn * 1000)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        stop.set()
        ticker.join(10)


@contextmanager
def _scraping(url: str, took: list[float]) -> Iterator[None]:
    """One scrape after the other, in ms each."""
    stop = threading.Event()

    def scrape() -> None:
        with httpx2.Client(timeout=30) as client:
            while not stop.is_set():
                began = time.perf_counter()
                page = client.get(f"{url}/metrics").content
                took.append(1000 * (time.perf_counter() - began))
                assert page.count(SERIES) == PARTITIONS

    scraper = threading.Thread(target=scrape, daemon=True)
    scraper.start()
    try:
        yield
    finally:
        stop.set()
        scraper.join(30)
