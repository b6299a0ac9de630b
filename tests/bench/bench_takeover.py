"""Two replicas, ticks each second: how long no tick comes when the leader is killed, and when it is asked to end.

`KILLS` and `TERMS` in the environment say how often. Whoever was ended is started again before the next turn.
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

import httpx2

from clocksvc.dev.ports import free_ports
from tests.bench.figures import Figure, percentile
from tests.system.path.installation import (
    Installation,
    create_topic,
    wall_ms,
)
from tests.system.path.notes import (
    TickWithOffset,
    broken_links,
    parse_ms,
)
from tests.system.path.scene import Scene
from tests.waiting import eventually

KILLS = int(os.environ.get("KILLS", "50"))
TERMS = int(os.environ.get("TERMS", "20"))
PARTITIONS = 8
REPLICAS = ("a", "b")


@dataclass(frozen=True)
class Takeover:
    """One end of a leader: when it was told to end, and when another one had the lease, led, and how it ended."""

    told_ms: int
    taken_ms: int
    leading_ms: int
    gone_ms: int
    code: int


class Replicas:
    """The replicas of one installation, each with its own port and log file."""

    def __init__(self, installation: Installation, clock: str) -> None:
        self._installation = installation
        self._clock = clock
        self.ports = dict(zip(REPLICAS, free_ports(len(REPLICAS)), strict=True))
        for name in REPLICAS:
            self.start(name)

    def start(self, name: str) -> None:
        """Start one; it is ready when this returns."""
        url = f"http://127.0.0.1:{self.ports[name]}"
        self._installation.start(name, "clocksvc.cli.main", "serve", "--port", str(self.ports[name]))
        eventually(lambda: httpx2.get(f"{url}/readyz", timeout=2).status_code == 200, within=60, what=f"{name} ready")

    def settled(self) -> str:
        """The leader's name, once the clock runs and everybody who should be there is."""

        def leader() -> str | None:
            port = next(iter(self.ports.values()))
            state = httpx2.get(f"http://127.0.0.1:{port}/v1/clocks/{self._clock}", timeout=10).json()
            if state["status"] != "running" or state["behind_seconds"] > 2 or not state["leader"]:
                return None
            pid = int(state["leader"].rpartition(":")[2])
            return next((name for name, its in self._installation.processes.items() if its.pid == pid), None)

        return eventually(leader, within=60, what="a leader of a running clock") or ""

    def end(self, name: str, by: signal.Signals) -> Takeover:
        """Tell one to end, and wait until it has and another one leads."""
        process = self._installation.processes.pop(name)
        told_ms = wall_ms()
        process.send_signal(by)
        code = process.wait(30)
        gone_ms = wall_ms()
        others = [other for other in REPLICAS if other != name]
        leading_ms = eventually(lambda: self._said(others, "leading", told_ms), within=60, what="another leader")
        taken_ms = self._said(others, "lease taken", told_ms)
        assert leading_ms is not None
        assert taken_ms is not None
        return Takeover(told_ms, taken_ms, leading_ms, gone_ms, code)

    def _said(self, names: list[str], message: str, since_ms: int) -> int | None:
        """When one of these logged this for the first time since."""
        said = [
            at_ms
            for name in names
            for line in _lines(self._installation.folder / f"{name}.log")
            if line["message"] == message and (at_ms := parse_ms(line["time"])) >= since_ms
        ]
        return min(said, default=None)


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text().splitlines():
        if line.startswith("{") and line.endswith("}"):
            yield json.loads(line)


def run(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """First the kills, then the orders to end, in one life of a clock."""
    name = f"takeover{wall_ms() % 10**8}"
    scene = Scene(name, "lasting", PARTITIONS)
    create_topic(bootstrap, scene.topic, PARTITIONS, scene.timestamp_type)
    installation = Installation(folder, bootstrap, redis_url, name, {scene.clock: scene.settings()})
    try:
        with scene.of(installation):
            replicas = Replicas(installation, scene.clock)
            scene.writer(*range(PARTITIONS))
            scene.member()
            killed = [_take_over(replicas, signal.SIGKILL) for _ in range(KILLS)]
            asked = [_take_over(replicas, signal.SIGTERM) for _ in range(TERMS)]
            replicas.settled()
            ticks = scene.log()
    finally:
        installation.close()
    return [*_killed_figures(killed, ticks), *_asked_figures(asked, ticks), _chain(ticks)]


def _take_over(replicas: Replicas, by: signal.Signals) -> Takeover:
    name = replicas.settled()
    with _deaf_client(replicas.ports[name]):
        done = replicas.end(name, by)
    print(f"    {by.name}: lease after {done.taken_ms - done.told_ms} ms, leading after {_led_ms(done)} ms", flush=True)
    replicas.start(name)
    return done


@contextmanager
def _deaf_client(port: int) -> Iterator[None]:
    """A client of the stream that reads nothing, and one that has sent half a request: neither may delay anything."""
    with ExitStack() as stack:
        for sent in ("GET /v1/clocks/lasting/ticks/stream HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/clocks HT"):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            connection.sendall(sent.encode())
        yield


def _led_ms(done: Takeover) -> int:
    return done.leading_ms - done.told_ms


def _next_tick_ms(done: Takeover, ticks: list[TickWithOffset]) -> int:
    """From the order to the first tick that the new leader committed."""
    return min(tick.appended_ms for tick in ticks if tick.appended_ms >= done.taken_ms) - done.told_ms


def _killed_figures(done: list[Takeover], ticks: list[TickWithOffset]) -> list[Figure]:
    if not done:
        return []
    gaps = [_next_tick_ms(one, ticks) for one in done]
    return [
        _figure("SIGKILL to the lease", [one.taken_ms - one.told_ms for one in done]),
        _figure("SIGKILL to leading", [_led_ms(one) for one in done]),
        _figure("SIGKILL to the next committed tick", gaps, bound_ms=5_000),
    ]


def _asked_figures(done: list[Takeover], ticks: list[TickWithOffset]) -> list[Figure]:
    if not done:
        return []
    codes = {one.code for one in done}
    return [
        _figure("SIGTERM to the lease", [one.taken_ms - one.told_ms for one in done]),
        _figure("SIGTERM to leading", [_led_ms(one) for one in done], bound_ms=1_000),
        _figure(
            "SIGTERM to the next committed tick, which may be due a second later",
            [_next_tick_ms(one, ticks) for one in done],
        ),
        _figure(
            "SIGTERM to the process's end, beside clients that owe something",
            [one.gone_ms - one.told_ms for one in done],
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
    return Figure(f"the chain of {len(ticks)} ticks", "; ".join(wrong[:3]) or "whole", "whole", not wrong)
