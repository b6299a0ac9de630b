"""Thousands of clients of one replica: whether each gets each tick, how soon after its commit, and what a client costs.

`SUBSCRIBERS` and `TICKS` in the environment make it smaller: the first replaces both 2,000 and 5,000.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clocksvc import Reporter
from tests.bench.benchmark_service import served
from tests.bench.figures import Figure, percentile
from tests.system.evidence import read_tick_log
from tests.system.installation import Installation, wall_ms
from tests.waiting import eventually

TICKS = int(os.environ.get("TICKS", "60"))
ONLY = int(os.environ.get("SUBSCRIBERS", "0"))
CROWDS = ((2_000, 1), (5_000, 5))
SOON_MS = 1_000
REPORT_EVERY_S = 0.05
CLOCK = "crowded"


def run(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """2,000 clients with a tick each second, then 5,000 with one each five."""
    figures = []
    for clients, interval_s in CROWDS:
        name = f"crowd{interval_s}{wall_ms() % 10**8}"
        (folder / name).mkdir()
        with served(folder / name, bootstrap, redis_url, name, CLOCK, interval=f"{interval_s}s") as installation:
            figures += _measure(installation, name, ONLY or clients, interval_s)
    return figures


def _measure(installation: Installation, name: str, clients: int, interval_s: int) -> list[Figure]:
    pid = installation.processes["serve"].pid
    with _reporting(installation, name):
        eventually(lambda: installation.state(CLOCK)["status"] == "running", within=60, what="the clock to run")
        before_kib = _resident_kib(pid)
        with _crowd(installation.ports["serve"], clients, interval_s) as crowd:
            begin_s = installation.state(CLOCK)["timestamp_seconds"]
            cpu_s = _cpu_s(pid)
            last_s = begin_s + TICKS * interval_s
            eventually(
                lambda: installation.state(CLOCK)["timestamp_seconds"] >= last_s,
                within=TICKS * interval_s + 60,
                what="the ticks to be made",
            )
            used_s = _cpu_s(pid) - cpu_s
            cost_kib = (_resident_kib(pid) - before_kib) / clients
            seen = _stop(crowd)
    log = read_tick_log(installation.bootstrap, installation.tick_log, CLOCK)
    committed = {tick.at_ms // 1000: tick.appended_ms for tick in log}
    wanted = {at_s: at_ms for at_s, at_ms in committed.items() if begin_s < at_s < last_s}
    what = f"{clients:,} clients, a tick each {interval_s} s"
    return [
        *_arrived(what, clients, seen, wanted),
        Figure(f"{what}: memory", f"{cost_kib:.0f} KiB a client"),
        Figure(f"{what}: CPU of the service", f"{1000 * used_s / TICKS:.0f} ms a tick"),
    ]


def _arrived(what: str, clients: int, seen: dict[str, Any], wanted: dict[int, int]) -> list[Figure]:
    arrivals = {at_s: seen["arrivals"].get(str(at_s), []) for at_s in wanted}
    took_ms = [came_ms - wanted[at_s] for at_s, came in arrivals.items() for came_ms in came]
    missing = sum(clients - len(came) for came in arrivals.values())
    soon = sum(took <= SOON_MS for took in took_ms) / max(1, len(took_ms))
    wrong = [*seen["wrong"], *([f"{missing} missing"] if missing else [])]
    return [
        Figure(f"{what}: {len(wanted)} ticks", "; ".join(wrong[:3]) or "each to each, in order", "each", not wrong),
        Figure(
            f"{what}: commit to arrival, {len(took_ms):,} arrivals",
            f"{soon:.2%} within 1 s; p50 {percentile(took_ms, 50):.0f} ms, p99 {percentile(took_ms, 99):.0f} ms, "
            f"longest {max(took_ms):.0f} ms",
            "99% within 1 s",
            soon >= 0.99,
        ),
    ]


@contextmanager
def _reporting(installation: Installation, name: str) -> Iterator[None]:
    """A consumer that is always at the end of its partition."""
    stop = threading.Event()

    def report() -> None:
        with Reporter(f"{installation.redis_url}?prefix={name}", CLOCK, group="g", topic=name) as reporter:
            while not stop.wait(REPORT_EVERY_S):
                reporter.observe(0, wall_ms())

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(30)


@contextmanager
def _crowd(port: int, clients: int, interval_s: int) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [str(port), CLOCK, str(clients), str(interval_s)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.subscribers", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == b"ready\n", "the clients could not begin"
            yield process
        finally:
            process.kill()


def _stop(crowd: subprocess.Popen[bytes]) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(crowd.communicate(b"\n", 60)[0])
    return seen


def _resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _cpu_s(pid: int) -> float:
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
