"""The leader's own costs: a step with many partitions, a report of many, a backlog beside other clocks, and many clocks
that reach a boundary together."""

import itertools
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.spec import DAY_MS, ClockSpec
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import SystemTime
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.tick_log import KafkaTickLog
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader, Phase
from clocksvc.leader.runner import LeaderThread
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from clocksvc.service.bootstrap import set_switch_interval
from tests.bench.figures import Figure, Spread, interleaved, percentile, ratios
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.faulty.topics import FaultyTopics
from tests.system.installation import wall_ms
from tests.waiting import eventually

TOPIC = "bench"
BACKLOG = 40_000


class Bench:
    """Clocks of one log with a real store, and a leader that is stepped by the benchmark, or by a thread.

    Attributes:
        specs, stores: the clocks. spec, store: the first one.
        ticks: how many ticks were emitted, by clock.
        latencies: of the ticks, in ms, by clock.
    """

    def __init__(
        self,
        redis_url: str,
        partitions: int,
        bootstrap: str | None = None,
        *,
        clocks: int = 1,
        log: int | None = None,
        run: str | None = None,
    ) -> None:
        run = uuid.uuid4().hex[:8] if run is None else run
        names = (f"bench-{run}-{number}" for number in itertools.count())
        self.log = log_of(next(names)) if log is None else log
        self.specs = [
            ClockSpec(name=name, topics=(TOPIC,), group="g", interval_ms=1_000, max_out_of_orderness_ms=0)
            for name in itertools.islice((name for name in names if log_of(name) == self.log), clocks)
        ]
        self.partitions = partitions
        self.topics = FaultyTopics("bench")
        self.topics.create(TOPIC, partitions, TimestampType.LOG_APPEND_TIME)
        self.store_server = RedisStoreServer(RedisConnection(parse_redis_url(redis_url)), run)
        self.stores: list[Store] = [self.store_server.store(spec.name) for spec in self.specs]
        self.spec, self.store = self.specs[0], self.stores[0]
        self.leases = self.store_server.leases(self.log)
        self.ticks: Counter[str] = Counter()
        self.latencies: dict[str, list[float]] = {spec.name: [] for spec in self.specs}
        parts = LeaderDependencies(
            log=self.log,
            installation=Installation(run, "bench"),
            specs={spec.name: spec for spec in self.specs},
            leases=self.leases,
            stores={spec.name: store for spec, store in zip(self.specs, self.stores, strict=True)},
            ticklog=self._ticklog(bootstrap, run),
            topics=self.topics,
            time=SystemTime(),
            kafka_ready=lambda: True,
            new_id=lambda: uuid.uuid4().hex,
        )
        self.leader = Leader(parts, "bench", self)

    def _ticklog(self, bootstrap: str | None, run: str) -> TickLog:
        if bootstrap is None:
            return FaultyTickLog(FaultyLog())
        kafka = {"bootstrap.servers": bootstrap}
        return KafkaTickLog(f"{run}-ticks", self.log, kafka, SystemTime(), keep_ms=DAY_MS)

    def thread(self) -> LeaderThread:
        """The thread that steps the leader."""
        return LeaderThread(self.log, self.leader, self.leases)

    def leading(self, log: int, yes: bool) -> None:
        """Ignored."""

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Counts ticks."""
        self.ticks[clock] += count
        if latency_s is not None:
            self.latencies[clock].append(latency_s * 1000)

    def report(self, numbers: range, timestamp_ms: int, clock: int = 0) -> float:
        """One call for one of the clocks; seconds."""
        readings = tuple(PartitionTimestamp(Partition(TOPIC, number), timestamp_ms) for number in numbers)
        began = time.perf_counter()
        self.stores[clock].report(Report("g", readings))
        return time.perf_counter() - began

    def report_all(self, timestamp_ms: int) -> None:
        """Report every partition of the first clock, 1,000 in a call."""
        for start in range(0, self.partitions, 1_000):
            self.report(range(start, min(start + 1_000, self.partitions)), timestamp_ms)

    def first_ticks(self, at_ms: int) -> None:
        """Wait until the thread leads, and give each clock its first tick."""
        eventually(lambda: self.leader.phase is Phase.LEADING, within=60, what="a leader")
        for clock, spec in enumerate(self.specs):
            eventually(lambda clock=clock: self._accepted(clock, at_ms), within=60, what="a roster")  # type: ignore[misc]
            eventually(lambda name=spec.name: self.ticks[name] == 1, within=60, what="the first tick")  # type: ignore[misc]

    def _accepted(self, clock: int, at_ms: int) -> bool:
        answer = self.stores[clock].report(Report("g", (PartitionTimestamp(Partition(TOPIC, 0), at_ms),)))
        return answer.outcomes[0] in (Outcome.ACCEPTED, Outcome.UNCHANGED)

    def lead(self) -> None:
        """Step until the leader leads and has nothing to do."""
        while (wait_s := self.leader.step()) == 0 or self.leader.phase is not Phase.LEADING:
            time.sleep(min(wait_s, 0.1))

    def idle_step(self) -> float:
        """One step of the leader with nothing due; seconds."""
        began = time.perf_counter()
        self.leader.step()
        return time.perf_counter() - began


@contextmanager
def running(*benches: Bench) -> Iterator[None]:
    """Run the leaders of some logs in threads. They end at the end of the block."""
    logging.getLogger("clocksvc").setLevel(logging.ERROR)  # holds before the first ticks
    threads = [bench.thread() for bench in benches]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.stop()
    for thread, bench in zip(threads, benches, strict=True):
        thread.join(10)
        for store in bench.stores:
            store.close()


def bench_step(redis_url: str) -> list[Figure]:
    """One step with 100 and with 100,000 partitions on the roster."""
    small, large = Bench(redis_url, 100), Bench(redis_url, 100_000)
    now_ms = wall_ms() // 1000 * 1000 - 100_000
    for bench in (small, large):
        bench.lead()
        bench.report_all(now_ms)
        bench.lead()

    def many_steps(bench: Bench) -> Callable[[], float]:
        return lambda: sum(bench.idle_step() for _ in range(50)) / 50 * 1e6

    few, many = interleaved(20, many_steps(small), many_steps(large))
    ratio = ratios(many, few)
    thousand = [1000 * large.report(range(1_000), now_ms + turn) for turn in range(200)]
    for bench in (small, large):
        bench.leader.leave()
        bench.store.close()
    return [
        Figure("a step with 100 partitions", Spread.of(few).show("us", 0)),
        Figure("a step with 100,000 partitions", Spread.of(many).show("us", 0)),
        Figure("ratio, 20 pairs of 50 steps", ratio.show(), "less than 4 times", ratio.median < 4),
        Figure(
            "a report of 1,000 partitions in one call (100,000 on the roster), 200 calls",
            f"p50 {percentile(thousand, 50):.1f} ms, p99 {percentile(thousand, 99):.1f} ms",
        ),
    ]


def bench_backlog(bootstrap: str, redis_url: str) -> list[Figure]:
    """A backlog of 40,000 ticks into log and stream, while a clock of another log and one of the same log tick."""
    set_switch_interval()
    base_ms = wall_ms() // 1000 * 1000 - (2 * BACKLOG + 10) * 1000
    busy = Bench(redis_url, 1, bootstrap, clocks=2, log=0)
    other = Bench(redis_url, 1, bootstrap, log=1)
    with running(busy, other):
        busy.first_ticks(base_ms)
        other.first_ticks(base_ms)
        alone, beside, rates = _beside_backlog(busy, base_ms, other, 0, base_ms)
        alone_same, beside_same, _ = _beside_backlog(busy, base_ms + BACKLOG * 1000, busy, 1, base_ms)
    return [
        Figure(
            "catch-up into log and stream", Spread.of(rates).show("ticks/s", 0), "25,000 ticks/s", min(rates) >= 25_000
        ),
        _beside("another clock's p99 latency", alone, beside, "at most doubled", 2 * percentile(alone, 99)),
        _beside(
            "p99 latency of a clock of the same log",
            *(alone_same, beside_same),
            "at most 25 ms more",
            25 + percentile(alone_same, 99),
        ),
    ]


def _beside(what: str, alone: list[float], beside: list[float], wanted: str, limit: float) -> Figure:
    before, during = percentile(alone, 99), percentile(beside, 99)
    figures = f"alone {before:.1f} ms ({len(alone)} ticks), beside the backlog {during:.1f} ms ({len(beside)} ticks)"
    return Figure(what, figures, wanted, during <= limit)


def _beside_backlog(
    busy: Bench, from_ms: int, other: Bench, clock: int, base_ms: int
) -> tuple[list[float], list[float], list[float]]:
    """Let the first clock of `busy` catch up BACKLOG ticks after `from_ms`, beside a clock of `other` that ticks each
    10 ms, after `base_ms`.

    Returns:
        The latencies of that clock alone and beside the backlog, in ms, and the ticks a second of two parts.
    """
    latencies, name = other.latencies[other.specs[clock].name], busy.specs[0].name
    latencies.clear()
    stop = threading.Event()
    ticker = threading.Thread(target=_tick_on, args=(other, clock, base_ms, stop))
    ticker.start()
    eventually(lambda: len(latencies) >= 350, within=60, what="350 ticks of the other clock alone")
    alone = latencies[50:]
    latencies.clear()
    rates = []
    for part in range(2):
        done = busy.ticks[name]
        began = time.perf_counter()
        busy.report(range(1), from_ms + (part + 1) * BACKLOG // 2 * 1000)
        eventually(lambda done=done: busy.ticks[name] >= done + BACKLOG // 2, within=60, what="the backlog")  # type: ignore[misc]
        rates.append(BACKLOG / 2 / (time.perf_counter() - began))
    beside = list(latencies)
    stop.set()
    ticker.join()
    return alone, beside, rates


def _tick_on(bench: Bench, clock: int, base_ms: int, stop: threading.Event) -> None:
    turn = 0
    while not stop.wait(0.01):
        turn += 1
        bench.report(range(1), base_ms + turn * 1000, clock)


def bench_shared_minute(bootstrap: str, redis_url: str) -> list[Figure]:
    """200 clocks of 16 logs reach the same boundary, one after the other. Twenty times, once a second."""
    set_switch_interval()
    run = uuid.uuid4().hex[:8]
    sizes = [200 * (log + 1) // 16 - 200 * log // 16 for log in range(16)]
    benches = [Bench(redis_url, 1, bootstrap, clocks=size, log=log, run=run) for log, size in enumerate(sizes)]
    clocks = [(bench, clock) for clock in range(max(sizes)) for bench in benches if clock < len(bench.specs)]
    base_ms = wall_ms() // 1000 * 1000 - 1_000_000
    with running(*benches):
        for bench in benches:
            bench.first_ticks(base_ms)
        for turn in range(1, 21):
            began = time.monotonic()
            for bench, clock in clocks:
                bench.report(range(1), base_ms + turn * 1000, clock)
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))
        eventually(lambda: sum(sum(bench.ticks.values()) for bench in benches) == 200 * 21, within=30, what="all ticks")
    latencies = [one for bench in benches for found in bench.latencies.values() for one in found[1:]]
    p99 = percentile(latencies, 99)
    return [
        Figure(
            "latency of 200 clocks that share a boundary",
            f"p50 {percentile(latencies, 50):.0f} ms, p99 {p99:.0f} ms ({len(latencies)} ticks)",
            "p99 200 ms",
            p99 <= 200,
        )
    ]
