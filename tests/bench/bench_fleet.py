"""The resources of one replica with up to 2,000 clocks of two partitions, and the delay of its ticks.

All clocks are reported at each boundary, at once. `FLEETS` in the environment names the sizes, clocks x interval in s,
as `FLEETS="50x60 200x1"`. `WINDOW` is how many seconds of each are measured: a multiple of the interval, two or more.
A tick can be emitted once its clock was reported; its time is the broker's, when it appends the tick to the tick log.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.bench.figures import Figure, percentile
from tests.bench.fleet import Fleet, Reported, fleet
from tests.bench.process_load import connections, cpu_s, resident_mib, threads
from tests.bench.redis_load import Load, watched
from tests.system.evidence import TickWithOffset, broken_links, read_all_ticks
from tests.system.installation import wall_ms

FLEETS = os.environ.get("FLEETS", "1x60 50x60 200x60 1000x60 2000x60 200x1")
WINDOW_S = float(os.environ.get("WINDOW", "120"))
BEHIND_S = {(2_000, 60): 2.0, (200, 1): 1.5}
CORES = {(2_000, 60): 0.5, (200, 1): 0.8}
MIB, THREADS, CONNECTIONS, PAGE_S = 1024, 200, 100, 2.0
APART = 5
"""The pool of connections to Redis is as large as the number of leaders that have called it at the same moment."""


@dataclass(frozen=True)
class _Taken:
    """The numbers of the replica's threads, and of its connections to Kafka and to Redis."""

    threads: int
    kafka: int
    redis: int

    def show(self) -> str:
        """Text."""
        return f"{self.threads} threads, {self.kafka} connections to Kafka, {self.redis} to Redis"


@dataclass(frozen=True)
class _Window:
    """A measured time: the cores that service, Kafka and Redis used, the load of Redis, and the replica at the end."""

    began_ms: int
    ended_ms: int
    cores: tuple[float, ...]
    redis: Load
    taken: _Taken
    mib: float


def run(folder: Path, kafka: KafkaServer, valkey: ValkeyServer) -> Iterator[Figure]:
    """All sizes, one after the other."""
    taken: dict[int, _Taken] = {}
    for size in FLEETS.split():
        clocks, interval_s = (int(number) for number in size.split("x"))
        with fleet(folder, kafka.bootstrap, valkey.url, clocks, interval_s) as running:
            yield from _measured(running, kafka, valkey, taken)
    many = {clocks: seen for clocks, seen in taken.items() if clocks >= 50}
    if len(many) > 1:
        seen = "; ".join(f"{clocks:,} clocks: {one.show()}" for clocks, one in sorted(many.items()))
        totals = [one.threads + one.kafka + one.redis for one in many.values()]
        apart = max(totals) - min(totals)
        yield Figure("threads and connections", seen, f"at most {APART} apart", apart <= APART)


def _measured(running: Fleet, kafka: KafkaServer, valkey: ValkeyServer, taken: dict[int, _Taken]) -> Iterator[Figure]:
    count, interval_s = len(running.clocks), running.interval_s
    what = f"{count:,} clocks of {interval_s} s"
    running.until_ticking()
    window = _watch(running, kafka, valkey)
    taken[count] = window.taken
    answers = [
        _answer(what, "/metrics", running, PAGE_S),
        _answer(what, "/v1/clocks", running),
        Figure(f"{what}: after these answers", _taken(running.pid, kafka, valkey).show()),
    ]
    reported = running.stop_reports()
    ticks = read_all_ticks(kafka.bootstrap, running.installation.tick_log)
    started_s = (max(chain[0].appended_ms for chain in ticks.values()) - running.started_ms) / 1000
    yield Figure(f"{what}: from the start of the process until all tick", f"{started_s:.1f} s")
    yield from _cost(what, window, CORES.get((count, interval_s)))
    yield _redis(what, window, reported)
    yield from answers
    yield _behind(what, window, reported, ticks, BEHIND_S.get((count, interval_s)))
    yield _chains(what, running.clocks, interval_s, reported, ticks)


def _watch(running: Fleet, kafka: KafkaServer, valkey: ValkeyServer) -> _Window:
    """Measure the fleet for WINDOW_S."""
    pids = (running.pid, kafka.pid or 0, valkey.pid or 0)
    began_ms, began, before = wall_ms(), time.monotonic(), [cpu_s(pid) for pid in pids]
    redis = watched(valkey.url, WINDOW_S)
    took_s = time.monotonic() - began
    cores = tuple((cpu_s(pid) - used_s) / took_s for pid, used_s in zip(pids, before, strict=True))
    return _Window(began_ms, wall_ms(), cores, redis, _taken(running.pid, kafka, valkey), resident_mib(running.pid))


def _taken(pid: int, kafka: KafkaServer, valkey: ValkeyServer) -> _Taken:
    return _Taken(threads(pid), connections(pid, kafka.port), connections(pid, valkey.port))


def _answer(what: str, path: str, running: Fleet, within_s: float | None = None) -> Figure:
    """The duration and size of the second of two equal requests."""
    for _ in range(2):
        began = time.monotonic()
        answer = http_client.get(f"{running.installation.url}{path}", timeout=60)
        took_s = time.monotonic() - began
    assert answer.status_code == 200, answer.text
    seen = f"{took_s:.2f} s, {len(answer.content) / 1e6:.2f} MB"
    if within_s is None:
        return Figure(f"{what}: {path}", seen)
    return Figure(f"{what}: {path}", seen, f"at most {within_s:g} s", took_s <= within_s)


def _cost(what: str, window: _Window, cores: float | None) -> Iterator[Figure]:
    service, kafka, redis = window.cores
    seen = f"service {service:.3f}, Kafka {kafka:.3f}, Redis {redis:.3f} cores"
    if cores is None:
        yield Figure(f"{what}: CPU", seen)
    else:
        yield Figure(f"{what}: CPU", seen, f"service at most {cores:g}", service <= cores)
    yield Figure(f"{what}: memory", f"{window.mib:.0f} MiB", f"at most {MIB} MiB", window.mib <= MIB)
    taken = window.taken
    yield Figure(
        f"{what}: open",
        taken.show(),
        f"at most {THREADS} threads, {CONNECTIONS} connections",
        taken.threads <= THREADS and taken.kafka + taken.redis <= CONNECTIONS,
    )


def _redis(what: str, window: _Window, reported: Reported) -> Figure:
    seconds = (window.ended_ms - window.began_ms) / 1000
    reports = sum(calls for at_ms, calls in reported.calls if window.began_ms <= at_ms < window.ended_ms)
    return Figure(
        f"{what}: Redis",
        f"{(window.redis.scripts - reports) / seconds:.0f} scripts/s, {window.redis.reads / seconds:.1f} blocking "
        f"reads/s, and {reports / seconds:.0f} reports/s; {window.redis.commands / seconds:.0f} commands/s with those "
        f"in scripts; {window.redis.out_bytes / seconds / 1000:.0f} kB/s out",
    )


def _behind(
    what: str,
    window: _Window,
    reported: Reported,
    ticks: dict[str, list[TickWithOffset]],
    within_s: float | None,
) -> Figure:
    """How long after its report each tick was appended, of the boundaries reported within the window."""
    appended_ms = {(clock, tick.at_ms): tick.appended_ms for clock, chain in ticks.items() for tick in chain}
    seen = [at_ms for at_ms in reported.at_ms.items() if window.began_ms <= at_ms[1] < window.ended_ms]
    behind_s = [(appended_ms[tick] - at_ms) / 1000 for tick, at_ms in seen if tick in appended_ms]
    p50, p99, longest = percentile(behind_s, 50), percentile(behind_s, 99), max(behind_s)
    text = f"p50 {p50:.3f} s, p99 {p99:.3f} s, longest {longest:.3f} s"
    name = f"{what}: behind what could be, {len(behind_s):,} ticks"
    return Figure(name, text) if within_s is None else Figure(name, text, f"p99 {within_s:g} s", p99 <= within_s)


def _chains(
    what: str, clocks: list[str], interval_s: int, reported: Reported, ticks: dict[str, list[TickWithOffset]]
) -> Figure:
    """Whether each boundary since a clock's first tick is a tick, once, in order, and not before its report."""
    wrong = [f"{clock}: {link}" for clock in clocks for link in broken_links(ticks[clock], interval_s * 1000)]
    found = {(clock, tick.at_ms): tick.appended_ms for clock in clocks for tick in ticks[clock]}
    first_ms = {clock: chain[0].at_ms for clock, chain in ticks.items()}
    due = [(clock, at_ms) for clock, at_ms in reported.at_ms if at_ms >= first_ms.get(clock, 0)]
    wrong += [f"{clock} has no tick {at_ms}" for clock, at_ms in due if (clock, at_ms) not in found]
    for tick, appended_ms in found.items():
        if appended_ms < reported.at_ms.get(tick, appended_ms + 1):
            wrong.append(f"{tick} was not reported before")
    count = f"{what}: {len(found):,} ticks"
    return Figure(count, "; ".join(wrong[:3]) or "none lost, twice or early", "none", not wrong)
