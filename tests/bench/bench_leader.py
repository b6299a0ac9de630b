"""The leader's own costs: a step with many partitions, a report of many, a backlog beside another clock."""

import threading
import time
import uuid
from collections.abc import Callable

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition, PartitionTimestamp
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
    """One clock with a real store, and a leader that is stepped by the benchmark."""

    def __init__(self, redis_url: str, partitions: int, bootstrap: str | None = None) -> None:
        run = uuid.uuid4().hex[:8]
        self.spec = ClockSpec(
            name=f"bench-{run}", topics=(TOPIC,), group="g", interval_ms=1_000, max_out_of_orderness_ms=0
        )
        self.partitions = partitions
        self.topics = FaultyTopics("bench")
        self.topics.create(TOPIC, partitions, TimestampType.LOG_APPEND_TIME)
        self.store_server = RedisStoreServer(RedisConnection(parse_redis_url(redis_url)), run)
        self.log = log_of(self.spec.name)
        self.store: Store = self.store_server.store(self.spec.name)
        self.leases = self.store_server.leases(self.log)
        self.latencies: list[float] = []
        parts = LeaderDependencies(
            log=self.log,
            installation=Installation(run, "bench"),
            specs={self.spec.name: self.spec},
            leases=self.leases,
            stores={self.spec.name: self.store},
            ticklog=self._ticklog(bootstrap, run),
            topics=self.topics,
            time=SystemTime(),
            kafka_ready=lambda: True,
            new_id=lambda: uuid.uuid4().hex,
        )
        self.leader = Leader(parts, "bench", self)
        self.ticks = 0

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
        self.ticks += count
        if latency_s is not None:
            self.latencies.append(latency_s * 1000)

    def report(self, numbers: range, timestamp_ms: int) -> float:
        """One call; seconds."""
        readings = tuple(PartitionTimestamp(Partition(TOPIC, number), timestamp_ms) for number in numbers)
        began = time.perf_counter()
        self.store.report(Report("g", readings))
        return time.perf_counter() - began

    def report_all(self, timestamp_ms: int) -> None:
        """Report every partition, 1,000 in a call."""
        for start in range(0, self.partitions, 1_000):
            self.report(range(start, min(start + 1_000, self.partitions)), timestamp_ms)

    def lead(self) -> None:
        """Step until the leader leads and has nothing to do."""
        while (wait_s := self.leader.step()) == 0 or self.leader.phase is not Phase.LEADING:
            time.sleep(min(wait_s, 0.1))

    def idle_step(self) -> float:
        """One step of the leader with nothing due; seconds."""
        began = time.perf_counter()
        self.leader.step()
        return time.perf_counter() - began


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
    """A backlog of 40,000 ticks into log and stream, while another clock ticks."""
    set_switch_interval()
    busy, other = Bench(redis_url, 1, bootstrap), Bench(redis_url, 1, bootstrap)
    threads = [bench.thread() for bench in (busy, other)]
    for thread in threads:
        thread.start()
    base_ms = wall_ms() // 1000 * 1000 - (BACKLOG + 10) * 1000
    _first_tick(busy, base_ms)
    _first_tick(other, base_ms)
    stop = threading.Event()
    ticker = threading.Thread(target=_tick_on, args=(other, base_ms, stop))
    ticker.start()
    eventually(lambda: len(other.latencies) >= 300, within=60, what="300 ticks of the other clock alone")
    alone = other.latencies[50:]
    other.latencies = []
    rates = []
    for part in range(2):
        done = busy.ticks
        began = time.perf_counter()
        busy.report(range(1), base_ms + (part + 1) * BACKLOG // 2 * 1000)
        eventually(lambda done=done: busy.ticks >= done + BACKLOG // 2, within=60, what="the backlog")  # type: ignore[misc]
        rates.append(BACKLOG / 2 / (time.perf_counter() - began))
    beside = other.latencies
    stop.set()
    ticker.join()
    for thread in threads:
        thread.stop()
    for thread, bench in zip(threads, (busy, other), strict=True):
        thread.join(10)
        bench.store.close()
    before, during = percentile(alone, 99), percentile(beside, 99)
    return [
        Figure(
            "catch-up into log and stream", Spread.of(rates).show("ticks/s", 0), "20,000 ticks/s", min(rates) >= 20_000
        ),
        Figure(
            "another clock's p99 latency",
            f"alone {before:.1f} ms ({len(alone)} ticks), beside the backlog {during:.1f} ms ({len(beside)} ticks)",
            "at most doubled",
            during <= 2 * before,
        ),
    ]


def _first_tick(bench: Bench, at_ms: int) -> None:
    eventually(lambda: bench.leader.phase is Phase.LEADING, within=20, what="a leader")
    bench.report(range(1), at_ms)
    eventually(lambda: bench.ticks == 1, within=20, what="the first tick")


def _tick_on(bench: Bench, base_ms: int, stop: threading.Event) -> None:
    turn = 0
    while not stop.wait(0.01):
        turn += 1
        bench.report(range(1), base_ms + turn * 1000)
