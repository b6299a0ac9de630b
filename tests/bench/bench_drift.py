"""A backlog of hours on 32 partitions of different speed, with and without `max_drift`, side by side; and how long
partitions stay paused when the store or the service is away."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from clocksvc import Reporter
from clocksvc.consumer import BufferedConsumer
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from tests.bench.figures import Figure, Spread, interleaved, ratios
from tests.system.installation import Installation, create_topic, wall_ms
from tests.waiting import eventually

PARTITIONS, MEMBERS = 32, 2
HOURS = 6
MAX_DRIFT_MIN = 10
BOUND_MIN = 20
"""`max_drift`, and 1,000 records of a partition with 100 records a minute."""
PAIRS = 2
AWAY_WITHIN_S = 11.0


class Backlog:
    """A topic whose first half of partitions has few records a minute, and the other half has many."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap, self.topic = bootstrap, topic
        self.end_ms = wall_ms() - 60_000
        self.begin_ms = self.end_ms - HOURS * 3_600_000
        create_topic(bootstrap, topic, PARTITIONS, "CreateTime")
        # Small batches, as those of producers in real time: a fetch returns whole batches.
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "batch.num.messages": 100})
        rng = random.Random(1)
        self.records = 0
        for partition in range(PARTITIONS):
            few = partition < PARTITIONS // MEMBERS
            count = 60 * HOURS * (rng.randint(100, 150) if few else rng.randint(300, 500))
            for number in range(count):
                at_ms = self.begin_ms + number * (self.end_ms - self.begin_ms) // count
                producer.produce(topic, b"x" * 100, partition=partition, timestamp=at_ms)
                if number % 50_000 == 0:
                    producer.flush()
            self.records += count
        producer.flush()


class Members:
    """The consumers of one group, each with half of the partitions, and how far the partitions were apart."""

    def __init__(self, backlog: Backlog, installation: Installation, clock: str, flush_s: float) -> None:
        self.began = self.took = 0.0
        self.spread_min: list[float] = []
        self.paused: list[int] = []
        self._backlog, self._flush_s, self._flushed = backlog, flush_s, 0
        self._lock = threading.Lock()
        connection = RedisConnection(parse_redis_url(installation.redis_url))
        self._store = RedisStoreServer(connection, installation.prefix).store(clock)
        self.reporters = [
            Reporter(installation.report_url, clock, group=clock, topic=backlog.topic) for _ in range(MEMBERS)
        ]
        self._consumers = [
            BufferedConsumer(
                backlog.topic,
                group=clock,
                process=lambda message: message.partition(),
                flush=self._flush,
                bootstrap_servers=backlog.bootstrap,
                reporter=reporter,
                batch_records=500,
                buffer_records=10_000,
                settings={"queued.min.messages": 1_000, "max.partition.fetch.bytes": 65_536},
            )
            for reporter in self.reporters
        ]
        self._threads = [threading.Thread(target=consumer.run, daemon=True) for consumer in self._consumers]

    @property
    def flushed(self) -> int:
        """The number of flushed records."""
        return self._flushed

    @property
    def ahead(self) -> int:
        """The number of partitions that are paused because they are ahead."""
        return sum(consumer.stats.paused_partitions.get("ahead", 0) for consumer in self._consumers)

    @property
    def pauses(self) -> int:
        """How often a partition was paused because it was ahead."""
        return sum(consumer.stats.pauses_total.get("ahead", 0) for consumer in self._consumers)

    def start(self) -> None:
        """Begin to consume."""
        for thread in self._threads:
            thread.start()

    def sample(self) -> None:
        """Note how far the partitions are apart while the clock is in the second half of the backlog.

        Before the first ticks no partition is paused. Towards the end, partitions have no more records.
        """
        last = self._store.bounds().last
        if last is None:
            return
        backlog = self._backlog
        if (backlog.begin_ms + backlog.end_ms) // 2 < last.at_ms < backlog.end_ms - 2 * MAX_DRIFT_MIN * 60_000:
            raw_ms = [found.raw_ms for found in self._store.partitions(None, PARTITIONS) if found.raw_ms is not None]
            self.spread_min.append((max(raw_ms) - min(raw_ms)) / 60_000)

    def stop(self) -> None:
        """End the consumers."""
        for consumer in self._consumers:
            consumer.stop()
        for thread in self._threads:
            thread.join(30)
        for reporter in self.reporters:
            reporter.close(0.5)
        self._store.close()

    def _flush(self, batch: list[Any]) -> None:
        with self._lock:
            self.began = self.began or time.perf_counter()
        time.sleep(self._flush_s)
        with self._lock:
            self._flushed += len(batch)
            self.took = time.perf_counter() - self.began


@contextmanager
def consuming(backlog: Backlog, installation: Installation, clock: str, flush_s: float) -> Iterator[Members]:
    """Members that consume until the end of the block."""
    members = Members(backlog, installation, clock, flush_s)
    members.start()
    try:
        yield members
    finally:
        members.stop()


def run(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """Pairs of catch-ups, with and without `max_drift`."""
    name = f"drift{wall_ms() % 10**8}"
    backlog = Backlog(bootstrap, name)
    bounded, unbounded = ([f"{kind}-{turn}" for turn in range(PAIRS)] for kind in ("bounded", "unbounded"))
    clocks = {
        clock: {"topics": [name], "group": clock, "max_drift": f"{MAX_DRIFT_MIN}m" if clock in bounded else None}
        for clock in (*bounded, *unbounded)
    }
    spreads: dict[str, list[float]] = {"b": [], "u": []}
    pauses: list[float] = []

    def catch_up(clock: str) -> float:
        with consuming(backlog, installation, clock, 0.1) as members:
            while members.flushed < backlog.records:
                members.sample()
                time.sleep(0.05)
            spreads[clock[0]].append(max(members.spread_min, default=0.0))
            pauses.append(members.pauses)
        return backlog.records / members.took

    with Installation(folder, bootstrap, redis_url, name, clocks) as installation:
        installation.start_replica()
        turns = {"b": iter(bounded), "u": iter(unbounded)}
        rates = interleaved(PAIRS, lambda: catch_up(next(turns["b"])), lambda: catch_up(next(turns["u"])))
    ratio = ratios(*rates)
    what = f"backlog of {HOURS} h, {backlog.records:,} records in {PARTITIONS} partitions, {MEMBERS} consumers"
    distance = "largest distance of two partition clocks in the second half"
    return [
        Figure(f"{what}, records a second without max_drift", Spread.of(rates[1]).show(digits=0)),
        Figure(f"with max_drift {MAX_DRIFT_MIN} min", Spread.of(rates[0]).show(digits=0)),
        Figure("ratio of each pair", ratio.show(), "at least 0.90", ratio.median >= 0.9),
        Figure(f"{distance}, without max_drift", Spread.of(spreads["u"]).show("min", 0)),
        Figure(
            f"with max_drift ({max(pauses):,.0f} pauses at most)",
            Spread.of(spreads["b"]).show("min", 0),
            f"at most {MAX_DRIFT_MIN} min and the records of one call: {BOUND_MIN} min",
            max(spreads["b"]) <= BOUND_MIN,
        ),
    ]


def run_outages(folder: Path, bootstrap: str) -> list[Figure]:
    """The store and the service are killed while partitions are paused."""
    backlog = Backlog(bootstrap, f"drift-outages{wall_ms() % 10**8}")
    return [_kill(what, folder, backlog) for what in ("store", "service")]


def _kill(what: str, folder: Path, backlog: Backlog) -> Figure:
    inside, clock = folder / what, f"{what}-killed"
    inside.mkdir()
    clocks = {clock: {"topics": [backlog.topic], "group": clock, "max_drift": f"{MAX_DRIFT_MIN}m"}}
    with ValkeyServer() as valkey, Installation(inside, backlog.bootstrap, valkey.url, clock, clocks) as installation:
        installation.start_replica()
        kill: Callable[[], None] = valkey.kill if what == "store" else lambda: installation.kill("serve")
        with consuming(backlog, installation, clock, 0.2) as members:
            eventually(lambda: members.ahead >= 4, within=60, what="paused partitions")
            kill()
            began, last_paused = time.perf_counter(), 0.0
            while time.perf_counter() - began < 2 * AWAY_WITHIN_S:
                if sum(len(reporter.ahead()) for reporter in members.reporters):
                    last_paused = time.perf_counter() - began
                time.sleep(0.05)
            assert members.flushed < backlog.records, "the backlog has ended too early"
    return Figure(
        f"{what} killed while partitions are paused",
        f"nothing is paused after {last_paused:.1f} s",
        f"{AWAY_WITHIN_S:.0f} s",
        last_paused <= AWAY_WITHIN_S,
    )
