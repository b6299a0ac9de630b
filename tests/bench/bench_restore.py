"""200 clocks with 7 days of minutes lose their store: the time until they tick, the memory, and the restored ticks.

The ticks are made by the service itself: its clocks catch up from 7 days ago. It is restarted before Redis is flushed,
1.5 s before a boundary. `CLOCKS` and `DAYS` in the environment make it smaller.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from clocksvc.interfaces.store import Store
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.keys import clock_key
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from tests import http_client
from tests.bench.figures import Figure
from tests.bench.fleet import Fleet, fleet
from tests.bench.process_load import cpu_s, resident_mib
from tests.system.evidence import parse_ms, read_all_ticks
from tests.system.installation import wall_ms
from tests.waiting import eventually

CLOCKS = int(os.environ.get("CLOCKS", "200"))
DAYS = float(os.environ.get("DAYS", "6.9"))
INTERVAL_S, DAY_S = 60, 86_400
CAUGHT_UP_WITHIN_S, RESTORED_WITHIN_S = 1_200, 900
LEAD_S = 1.5
AGAIN_S, MIB = 10.0, 64.0
COMPARED = 10


def run(folder: Path, bootstrap: str, redis_url: str) -> Iterator[Figure]:
    """Catch up, restart, flush, wait."""
    first_ms = (wall_ms() // 60_000 - int(DAYS * 1_440)) * 60_000
    with fleet(folder, bootstrap, redis_url, CLOCKS, INTERVAL_S, first_ms=first_ms) as running:
        began = time.monotonic()
        running.until_ticking()
        _until_present(running)
        ticks = CLOCKS * (wall_ms() - first_ms) // 60_000
        took_s = time.monotonic() - began
        yield Figure(f"{ticks:,} ticks of {CLOCKS} clocks, catch-up", f"{took_s:.0f} s, {ticks / took_s:,.0f} ticks/s")
        assert running.installation.end("serve") == 0
        running.installation.start_replica(wait=False)
        _until_present(running)
        yield from _flushed(running, first_ms)


def _until_present(running: Fleet) -> None:
    def present() -> bool:
        states = running.installation.states()
        return all(one["status"] == "running" and one["behind_seconds"] < 2 * INTERVAL_S for one in states)

    eventually(present, within=CAUGHT_UP_WITHIN_S, what="all clocks to be at the present")


def _flushed(running: Fleet, first_ms: int) -> Iterator[Figure]:
    installation = running.installation
    connection = RedisConnection(parse_redis_url(installation.redis_url))
    server = RedisStoreServer(connection, installation.prefix)
    stores: list[Store] = [server.store(clock) for clock in running.clocks]
    boundary_s = (time.time() + LEAD_S + 5) // INTERVAL_S * INTERVAL_S + INTERVAL_S
    threading.Event().wait(boundary_s - LEAD_S - time.time())
    used_s = cpu_s(running.pid)
    with _watched_memory(running.pid) as seen_mib, redis.Redis.from_url(installation.redis_url) as client:
        flushed_ms = wall_ms()
        client.flushall()
        restored_s = _until_restored(stores, flushed_ms)
        used_s = cpu_s(running.pid) - used_s
    running.stop_reports()
    yield _again(running, flushed_ms)
    grown = max(seen_mib) - seen_mib[0]
    yield Figure("memory", f"{seen_mib[0]:.0f} MiB before, {grown:+.0f} MiB", f"at most +{MIB:g} MiB", grown <= MIB)
    yield Figure("until the history is complete", f"{restored_s:.0f} s, {used_s:.0f} s of CPU")
    wrong = _wrong_histories(running, stores, first_ms)
    connection.close()
    yield Figure("histories", "; ".join(wrong[:3]) or "complete", "complete", not wrong)


def _again(running: Fleet, flushed_ms: int) -> Figure:
    chains = read_all_ticks(running.installation.bootstrap, running.installation.tick_log, flushed_ms)
    first = [chains[clock][0].appended_ms for clock in running.clocks if chains[clock]]
    again_s = (max(first) - flushed_ms) / 1000
    return Figure(
        f"FLUSHALL {LEAD_S:g} s before a boundary, until all of {len(first)} clocks tick",
        f"{again_s:.1f} s",
        f"{CLOCKS} clocks, at most {AGAIN_S:g} s",
        len(first) == CLOCKS and again_s <= AGAIN_S,
    )


@contextmanager
def _watched_memory(pid: int) -> Iterator[list[float]]:
    """The process's memory, ten times a second until the end of the block."""
    seen, stop = [resident_mib(pid)], threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            seen.append(resident_mib(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(10)


def _until_restored(stores: list[Store], flushed_ms: int) -> float:
    """Block until no stream lacks older ticks; the seconds since the flush."""
    missing = list(stores)

    def restored() -> bool:
        missing[:] = [store for store in missing if (bounds := store.bounds()).restoring or not bounds.written]
        return not missing

    eventually(restored, within=RESTORED_WITHIN_S, what="all histories to be restored")
    return (wall_ms() - flushed_ms) / 1000


def _wrong_histories(running: Fleet, stores: list[Store], first_ms: int) -> list[str]:
    """Compare both ends and the number of ticks of each clock, and each tick of some clocks over HTTP."""
    wrong, step_ms = [], INTERVAL_S * 1000
    with redis.Redis.from_url(running.installation.redis_url) as client:
        for clock, store in zip(running.clocks, stores, strict=True):
            bounds, count = store.bounds(), client.xlen(clock_key(running.installation.prefix, clock, "ticks"))
            if bounds.first is None or bounds.last is None:
                wrong.append(f"{clock} has no ticks")
            elif bounds.first.at_ms != first_ms or count != (bounds.last.at_ms - first_ms) // step_ms + 1:
                wrong.append(f"{clock} has {count} ticks from {bounds.first.at_ms} to {bounds.last.at_ms}")
    for clock in running.clocks[:: max(1, CLOCKS // COMPARED)]:
        seen = list(_pages(running, clock, first_ms - step_ms))
        if seen != list(range(first_ms, seen[-1] + 1, step_ms)):
            wrong.append(f"{clock}: the API has not each tick once and in order")
    return wrong


def _pages(running: Fleet, clock: str, after_ms: int) -> Iterator[int]:
    """The times of a clock's ticks, in ms."""
    url, after = f"{running.installation.url}/v1/clocks/{clock}/ticks", str(after_ms // 1000)
    while True:
        answer = http_client.get(url, params={"after": after, "limit": "1000"}, timeout=30)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        if not page["ticks"]:
            return
        yield from (parse_ms(tick["time"]) for tick in page["ticks"])
        after = page["next"]
