"""What a clock costs Redis and Kafka: commands, bytes and memory, counted by the servers themselves.

docs/sizing.md has the formulas with these coefficients. The figures have no wanted values.
"""

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import redis

from clocksvc import Reporter
from clocksvc.clock.logs import log_of
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.redis.keys import clock_key, log_key
from tests.bench.bench_leader import Bench
from tests.bench.figures import Figure
from tests.bench.process_load import cpu_s, resident_mib
from tests.bench.redis_load import WINDOW_S, watched
from tests.system.installation import Installation, create_topic, wall_ms
from tests.waiting import eventually

PARTITIONS = 128
MANY = 10_000
CLOCK = "sized"


def run(folder: Path, kafka: KafkaServer, redis_url: str) -> list[Figure]:
    """Idle, then with consumers, then memory and disk."""
    with _placed(folder, kafka, redis_url, "rest", "60s") as placed:
        figures = list(_resting(placed))
    for consumers, spread in ((4, False), (4, True), (16, True)):
        with _placed(folder, kafka, redis_url, f"c{consumers}{'s' if spread else ''}", "1s") as placed:
            figures += _ticking(placed, consumers, spread, kafka)
    for clocks in (1, 20):
        figures.append(_service(folder, kafka, redis_url, clocks))
    return [*figures, *_room(redis_url), *_heartbeats(folder, kafka, redis_url)]


@contextmanager
def _placed(folder: Path, kafka: KafkaServer, redis_url: str, name: str, interval: str) -> Iterator[Installation]:
    run_name = f"size-{name}-{wall_ms() % 10**8}"
    create_topic(kafka.bootstrap, run_name, PARTITIONS, "LogAppendTime")
    (folder / run_name).mkdir()
    clock = {"topics": [run_name], "group": "g", "interval": interval}
    replicas = ("serve", "second")
    with Installation(
        folder / run_name, kafka.bootstrap, redis_url, run_name, {CLOCK: clock}, replicas=replicas
    ) as placed:
        placed.start_replica()
        eventually(lambda: placed.state(CLOCK)["leader"], within=20, what="a leader")
        yield placed


def _service(folder: Path, kafka: KafkaServer, redis_url: str, clocks: int) -> Figure:
    """What one replica needs that leads clocks of a second, each with 16 partitions."""
    name = f"size-lead{clocks}-{wall_ms() % 10**8}"
    create_topic(kafka.bootstrap, name, 16, "LogAppendTime")
    (folder / name).mkdir()
    named = [f"{CLOCK}-{number}" for number in range(clocks)]
    settings = {clock: {"topics": [name], "group": "g", "interval": "1s"} for clock in named}
    with ExitStack() as stack:
        placed = stack.enter_context(Installation(folder / name, kafka.bootstrap, redis_url, name, settings))
        placed.start_replica()
        stop = threading.Event()
        for clock in named:
            thread = threading.Thread(target=_consume, args=(placed, range(16), False, stop, clock))
            thread.start()
            stack.callback(thread.join, 10)
        stack.callback(stop.set)
        for clock in named:
            eventually(lambda clock=clock: placed.state(clock)["time"], within=60, what="a tick")  # type: ignore[misc]
        pid = placed.processes["serve"].pid
        began_s = cpu_s(pid)
        threading.Event().wait(WINDOW_S)
        used = (cpu_s(pid) - began_s) / WINDOW_S
        seen = f"{used:.1%} of one core, {resident_mib(pid):.0f} MiB"
    return Figure(f"a replica that leads {clocks} clock{'s' * (clocks > 1)} of 1 s, 16 partitions each", seen)


def _resting(placed: Installation) -> Iterator[Figure]:
    """A clock between two boundaries: reported, and idle."""
    with Reporter(placed.report_url, CLOCK, group="g", topic=placed.prefix) as reporter:
        for partition in range(PARTITIONS):
            reporter.observe(partition, wall_ms())
        eventually(lambda: placed.state(CLOCK)["status"] == "running", within=30, what="the clock to run")
    yield Figure(f"one replica, {PARTITIONS} partitions", watched(placed.redis_url).each(WINDOW_S, "second"))
    placed.start_replica("second", wait=False)
    eventually(lambda: _announced(placed) == 2, within=30, what="another replica")
    two = watched(placed.redis_url)
    yield Figure("two replicas", two.each(WINDOW_S, "second"))
    placed.start_celery()
    eventually(lambda: "clocksvc" in _queues(placed.redis_url), within=30, what="a worker that listens")
    three = watched(placed.redis_url)
    yield Figure("beside them a Celery worker and a beat, in addition", (three - two).each(WINDOW_S, "second"))


def _announced(placed: Installation) -> int:
    with redis.Redis.from_url(placed.redis_url) as client:
        return int(client.hlen(log_key(placed.prefix, log_of(CLOCK), "replicas")))


def _ticking(placed: Installation, consumers: int, spread: bool, kafka: KafkaServer) -> list[Figure]:
    how = "scattered over the interval" if spread else "all at once"
    what = f"{consumers} consumers, {PARTITIONS} partitions that cross {how}"
    with ExitStack() as stack:
        stop = threading.Event()
        stack.callback(stop.set)
        for index in range(consumers):
            own = range(index, PARTITIONS, consumers)
            thread = threading.Thread(target=_consume, args=(placed, own, spread, stop))
            thread.start()
            stack.callback(thread.join, 10)
        stack.callback(stop.set)
        eventually(lambda: placed.state(CLOCK)["status"] == "running", within=30, what="the clock to run")
        before, log_bytes = placed.state(CLOCK)["timestamp_seconds"], _log_bytes(kafka, f"{placed.prefix}-ticks")
        stream = stack.enter_context(_Stream(f"{placed.url}/v1/clocks/{CLOCK}/ticks/stream"))
        load = watched(placed.redis_url)
        ticks = placed.state(CLOCK)["timestamp_seconds"] - before
        written = _log_bytes(kafka, f"{placed.prefix}-ticks") - log_bytes
        streamed = stream.bytes
    return [
        Figure(f"{what}, {ticks} ticks", load.each(ticks, "tick")),
        Figure(f"{what}: tick log", f"{written / ticks:.0f} bytes a tick"),
        Figure(f"{what}: a subscriber", f"{streamed / ticks:.0f} bytes a tick"),
    ]


def _consume(placed: Installation, own: range, spread: bool, stop: threading.Event, clock: str = CLOCK) -> None:
    with Reporter(placed.report_url, clock, group="g", topic=placed.prefix) as reporter:
        for turn in itertools.count():
            if stop.wait(0.05 if not spread else 1 / len(own)):
                return
            if spread:
                # each partition has a record a second, at different moments
                reporter.observe(own[turn % len(own)], wall_ms())
            else:
                for partition in own:
                    reporter.observe(partition, wall_ms() // 1000 * 1000)


class _Stream:
    """A subscriber that counts bytes."""

    def __init__(self, url: str) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(url,), daemon=True)

    def __enter__(self) -> "_Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _read(self, url: str) -> None:
        with httpx2.stream("GET", url, timeout=30) as answer:
            for chunk in answer.iter_raw():
                self.bytes += len(chunk)
                if self._stop.is_set():
                    return


def _log_bytes(kafka: KafkaServer, topic: str) -> int:
    return sum(file.stat().st_size for file in (kafka.directory / "data").glob(f"{topic}-[0-9]*/*.log"))


def _room(redis_url: str) -> Iterator[Figure]:
    bench = Bench(redis_url, MANY)
    first_ms = wall_ms() // 1000 * 1000 - (MANY + 60) * 1000
    try:
        bench.lead()
        for ticks in (1, MANY + 1):
            bench.report_all(first_ms + (ticks - 1) * 1000)
            eventually(
                lambda ticks=ticks: bench.leader.step() > 0 and bench.ticks[bench.spec.name] >= ticks,  # type: ignore[misc]
                within=60,
                what="ticks",
            )
        with redis.Redis.from_url(redis_url) as client:
            sizes = {
                key.decode().rpartition(":")[2]: client.memory_usage(key, samples=0) or 0
                for key in client.scan_iter(clock_key("*", bench.spec.name, "*"), count=1000)
            }
    finally:
        bench.leader.leave()
        bench.store.close()
    yield Figure("memory of a partition", f"{(sizes['roster'] + sizes['reported']) / MANY:.0f} bytes")
    yield Figure("memory of a recent tick", f"{sizes['ticks'] / MANY:.0f} bytes")
    rest = sum(size for name, size in sizes.items() if name not in ("roster", "reported", "ticks"))
    yield Figure("memory of a clock's other keys", f"{rest / 1024:.1f} KiB")


def _heartbeats(folder: Path, kafka: KafkaServer, redis_url: str) -> Iterator[Figure]:
    """One round into every partition, on the broker's disk."""
    with _placed(folder, kafka, redis_url, "beats", "60s") as placed:
        before = _log_bytes(kafka, placed.prefix)
        placed.start("heartbeat", "clocksvc.cli.main", "heartbeat")
        assert placed.processes.pop("heartbeat").wait(60) == 0, placed.output("heartbeat")
        written = _log_bytes(kafka, placed.prefix) - before
    yield Figure("a heartbeat in Kafka", f"{written / PARTITIONS:.0f} bytes a partition")


def _queues(redis_url: str) -> set[str]:
    with redis.Redis.from_url(redis_url) as client:
        return {key.decode().removeprefix("_kombu.binding.") for key in client.scan_iter("_kombu.binding.*")}
