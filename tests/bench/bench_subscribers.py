"""Thousands of clients of one replica: whether each gets each tick, how soon after its commit, and what a client costs.

`CROWDS` in the environment names the sizes, clients x clocks x interval in s, as `CROWDS="2000x1x1"`. `TICKS` is how
many ticks of each clock are measured.
"""

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.figures import Figure, percentile
from tests.bench.fleet import Fleet, fleet
from tests.bench.process_load import cpu_s, resident_mib
from tests.process import module
from tests.system.evidence import read_all_ticks
from tests.waiting import eventually

TICKS = int(os.environ.get("TICKS", "60"))
CROWDS = os.environ.get("CROWDS", "2000x1x1 5000x1x5 20000x200x5")
SOON_MS = 1_000
CLIENTS_A_PROCESS = 10_000
OTHER_FILES = 500
"""Open files of a replica that are not connections of clients."""


class Seen(NamedTuple):
    """When each tick arrived at each client, in ms, by clock and time in s; and the errors."""

    arrivals: dict[tuple[str, int], list[int]]
    wrong: list[str]


def run(folder: Path, bootstrap: str, redis_url: str) -> Iterator[Figure]:
    """All sizes, one after the other."""
    for size in CROWDS.split():
        wanted, clocks, interval_s = (int(number) for number in size.split("x"))
        clients = min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - OTHER_FILES)
        sections = {"api": {"streams_per_token": clients}}
        with fleet(folder, bootstrap, redis_url, clocks, interval_s, sections=sections) as running:
            what = f"{clients:,} clients of {clocks:,} clocks, a tick each {interval_s} s"
            if clients < wanted:
                yield Figure(what, f"not {wanted:,}: a process may open {clients + OTHER_FILES:,} files here")
            yield from _measured(running, what, clients)


def _measured(running: Fleet, what: str, clients: int) -> Iterator[Figure]:
    installation, interval_s = running.installation, running.interval_s
    running.until_ticking()
    before_mib = resident_mib(running.pid)
    with _crowd(installation.ports["serve"], clients, running) as crowd:
        begin_s = installation.state(running.clocks[-1])["timestamp_seconds"] + interval_s
        used_s = cpu_s(running.pid)
        last_s = begin_s + TICKS * interval_s
        eventually(
            lambda: installation.state(running.clocks[-1])["timestamp_seconds"] >= last_s,
            within=TICKS * interval_s + 60,
            what="the ticks to be made",
        )
        used_s = cpu_s(running.pid) - used_s
        cost_kib = (resident_mib(running.pid) - before_mib) * 1024 / clients
        seen = _stop(crowd)
    log = read_all_ticks(installation.bootstrap, installation.tick_log)
    committed = {
        (clock, tick.at_ms // 1000): tick.appended_ms
        for clock, ticks in log.items()
        for tick in ticks
        if begin_s < tick.at_ms // 1000 < last_s
    }
    yield from _arrived(what, clients // len(running.clocks), seen, committed)
    yield Figure(f"{what}: memory", f"{cost_kib:.0f} KiB a client")
    yield Figure(f"{what}: CPU of the service", f"{1000 * used_s / TICKS:.0f} ms for the ticks of a boundary")


def _arrived(what: str, clients: int, seen: Seen, wanted: dict[tuple[str, int], int]) -> Iterator[Figure]:
    arrivals = {tick: seen.arrivals.get(tick, []) for tick in wanted}
    took_ms = sorted(came_ms - wanted[tick] for tick, came in arrivals.items() for came_ms in came)
    missing = sum(max(0, clients - len(came)) for came in arrivals.values())
    soon = sum(took <= SOON_MS for took in took_ms) / max(1, len(took_ms))
    wrong = [*seen.wrong, *([f"{missing} missing"] if missing else [])]
    yield Figure(f"{what}: {len(wanted):,} ticks", "; ".join(wrong[:3]) or "each to each, in order", "each", not wrong)
    yield Figure(
        f"{what}: commit to arrival, {len(took_ms):,} arrivals",
        f"{soon:.2%} within 1 s; p50 {percentile(took_ms, 50):.0f} ms, p99 {percentile(took_ms, 99):.0f} ms, "
        f"longest {max(took_ms):.0f} ms",
        "99% within 1 s",
        soon >= 0.99,
    )


@contextmanager
def _crowd(port: int, clients: int, running: Fleet) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start the clients, in as many processes as their files need. Each clock has the same number of clients."""
    with ExitStack() as stack:
        crowd = []
        for begin in range(0, clients, CLIENTS_A_PROCESS):
            count = min(CLIENTS_A_PROCESS, clients - begin)
            arguments = (str(port), str(count), str(running.interval_s), *running.clocks)
            process = subprocess.Popen(
                module("tests.bench.subscribers", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            crowd.append(process)
        for process in crowd:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", "the clients could not begin"
        yield crowd


def _stop(crowd: list["subprocess.Popen[bytes]"]) -> Seen:
    arrivals: dict[tuple[str, int], list[int]] = {}
    wrong: list[str] = []
    for process in crowd:
        seen = json.loads(process.communicate(b"\n", 120)[0])
        wrong += seen["wrong"]
        for clock, ticks in seen["arrivals"].items():
            for at_s, came_ms in ticks.items():
                arrivals.setdefault((clock, int(at_s)), []).extend(came_ms)
    return Seen(arrivals, wrong)
