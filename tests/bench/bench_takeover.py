"""Two replicas, ticks each second: how long no tick comes after SIGKILL and after SIGTERM of the leader.

The environment variables `KILLS` and `TERMS` set how often. A replica is restarted before the next turn.
"""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, percentile
from tests.system.clock_fixture import ClockFixture, running
from tests.system.evidence import TickWithOffset, broken_links, parse_ms
from tests.system.installation import Installation, wall_ms
from tests.waiting import eventually

KILLS = int(os.environ.get("KILLS", "50"))
TERMS = int(os.environ.get("TERMS", "20"))
PARTITIONS = 8
REPLICAS = ("a", "b")


@dataclass(frozen=True)
class Takeover:
    """One end of a leader: the times of the signal, of the next lease, of leading, and of its exit; the exit code."""

    signalled_ms: int
    taken_ms: int
    leading_ms: int
    gone_ms: int
    code: int


def _until_led(clock: ClockFixture) -> str:
    """The replica that leads, once the clock runs."""

    def leader() -> str | None:
        state = clock.state()
        running = state["status"] == "running" and state["behind_seconds"] <= 2
        return clock.installation.leader(state) if running else None

    return eventually(leader, within=60, what="a leader of a running clock") or ""


def _end(installation: Installation, name: str, by: signal.Signals) -> Takeover:
    """End a replica, and wait until another one leads."""
    process = installation.processes.pop(name)
    signalled_ms = wall_ms()
    code = process.end(by=by, within=30)
    gone_ms = wall_ms()
    logs = [installation.folder / f"{other}.log" for other in REPLICAS if other != name]
    leading_ms = eventually(lambda: _logged(logs, "leading", signalled_ms), within=60, what="another leader")
    taken_ms = _logged(logs, "lease acquired", signalled_ms)
    assert leading_ms is not None
    assert taken_ms is not None
    return Takeover(signalled_ms, taken_ms, leading_ms, gone_ms, code)


def _logged(logs: list[Path], message: str, since_ms: int) -> int | None:
    """The time of the first such message since a time."""
    found = [
        at_ms
        for log in logs
        for line in _lines(log)
        if line["message"] == message and (at_ms := parse_ms(line["time"])) >= since_ms
    ]
    return min(found, default=None)


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text().splitlines():
        if line.startswith("{") and line.endswith("}"):
            yield json.loads(line)


def run(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """First the SIGKILLs, then the SIGTERMs, with one clock."""
    name = f"takeover{wall_ms() % 10**8}"
    clock = ClockFixture(name, "lasting", PARTITIONS)
    with running(folder, bootstrap, redis_url, name, clock, replicas=REPLICAS), clock:
        clock.producer(*range(PARTITIONS))
        clock.consumer()
        killed = [_take_over(clock, signal.SIGKILL) for _ in range(KILLS)]
        asked = [_take_over(clock, signal.SIGTERM) for _ in range(TERMS)]
        _until_led(clock)
        ticks = clock.log()
    return [*_killed_figures(killed, ticks), *_asked_figures(asked, ticks), _chain(ticks)]


def _take_over(clock: ClockFixture, by: signal.Signals) -> Takeover:
    name, installation = _until_led(clock), clock.installation
    with _stuck_clients(installation.ports[name]):
        done = _end(installation, name, by)
    lease_ms = done.taken_ms - done.signalled_ms
    print(f"    {by.name}: lease after {lease_ms} ms, leading after {_led_ms(done)} ms", flush=True)
    installation.start_replica(name)
    return done


@contextmanager
def _stuck_clients(port: int) -> Iterator[None]:
    """A client of the stream that reads nothing, and one that has sent half a request: neither may delay the end."""
    with ExitStack() as stack:
        for sent in ("GET /v1/clocks/lasting/ticks/stream HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/clocks HT"):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            connection.sendall(sent.encode())
        yield


def _led_ms(done: Takeover) -> int:
    return done.leading_ms - done.signalled_ms


def _next_tick_ms(done: Takeover, ticks: list[TickWithOffset]) -> int:
    """From the signal to the first tick that the new leader committed."""
    return min(tick.appended_ms for tick in ticks if tick.appended_ms >= done.taken_ms) - done.signalled_ms


def _killed_figures(done: list[Takeover], ticks: list[TickWithOffset]) -> list[Figure]:
    if not done:
        return []
    gaps = [_next_tick_ms(one, ticks) for one in done]
    return [
        _figure("SIGKILL to the lease", [one.taken_ms - one.signalled_ms for one in done]),
        _figure("SIGKILL to leading", [_led_ms(one) for one in done]),
        _figure("SIGKILL to the next committed tick", gaps, bound_ms=5_000),
    ]


def _asked_figures(done: list[Takeover], ticks: list[TickWithOffset]) -> list[Figure]:
    if not done:
        return []
    codes = {one.code for one in done}
    return [
        _figure("SIGTERM to the lease", [one.taken_ms - one.signalled_ms for one in done]),
        _figure("SIGTERM to leading", [_led_ms(one) for one in done], bound_ms=1_000),
        _figure(
            "SIGTERM to the next committed tick, which may be due a second later",
            [_next_tick_ms(one, ticks) for one in done],
        ),
        _figure(
            "SIGTERM to the process's end, with stuck clients",
            [one.gone_ms - one.signalled_ms for one in done],
            bound_ms=2_000,
        ),
        Figure("exit codes after SIGTERM", f"{sorted(codes)}", "[0]", codes == {0}),
    ]


def _figure(name: str, took_ms: list[int], bound_ms: int | None = None) -> Figure:
    seen = f"p50 {percentile(took_ms, 50):.0f} ms, longest {max(took_ms)} ms"
    wanted = "" if bound_ms is None else f"under {bound_ms / 1000:g} s"
    return Figure(f"{name}, {len(took_ms)} times", seen, wanted, bound_ms is None or max(took_ms) < bound_ms)


def _chain(ticks: list[TickWithOffset]) -> Figure:
    wrong = broken_links(ticks, 1_000)
    return Figure(f"the chain of {len(ticks)} ticks", "; ".join(wrong[:3]) or "complete", "complete", not wrong)
