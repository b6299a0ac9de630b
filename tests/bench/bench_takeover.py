"""Two replicas: how long a log has no leader after SIGKILL and after SIGTERM of its leader, and all 16 logs together.

The environment variables `KILLS` and `TERMS` set how often. A replica is restarted before the next turn.
"""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import redis

from tests.bench.figures import Figure, percentile
from tests.system.clock_fixture import ClockFixture, running
from tests.system.evidence import LOGS, TickWithOffset, broken_links, parse_ms
from tests.system.installation import Installation, wall_ms
from tests.system.outages.rounds.observed_clock import Plan
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
    """One log with a clock that ticks each second, then all logs. First the SIGKILLs, then the SIGTERMs."""
    return [*_one_log(folder, bootstrap, redis_url), *_all_logs(folder, bootstrap, redis_url)]


def _one_log(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
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
        for sent in ("GET /v1/clocks/lasting/ticks/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /v1/clocks HT"):
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
        _figure("SIGKILL to leading", [_led_ms(one) for one in done], p50_ms=3_300),
        _figure("SIGKILL to the next committed tick", gaps, bound_ms=5_000),
    ]


def _asked_figures(done: list[Takeover], ticks: list[TickWithOffset]) -> list[Figure]:
    if not done:
        return []
    codes = {one.code for one in done}
    return [
        _figure("SIGTERM to the lease", [one.taken_ms - one.signalled_ms for one in done]),
        _figure("SIGTERM to leading", [_led_ms(one) for one in done], bound_ms=1_000, p50_ms=500),
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


def _figure(name: str, took_ms: list[int], bound_ms: int | None = None, p50_ms: int | None = None) -> Figure:
    p50, longest = percentile(took_ms, 50), max(took_ms)
    wanted = [f"p50 at most {p50_ms / 1000:g} s"] if p50_ms else []
    wanted += [f"under {bound_ms / 1000:g} s"] if bound_ms else []
    met = p50 <= (p50_ms or p50) and (bound_ms is None or longest < bound_ms)
    return Figure(f"{name}, {len(took_ms)} times", f"p50 {p50:.0f} ms, longest {longest} ms", ", ".join(wanted), met)


def _all_logs(folder: Path, bootstrap: str, redis_url: str) -> list[Figure]:
    """A replica that leads all logs ends while the other one is a standby, before logs are handed over to it."""
    run = f"takeovers{wall_ms() % 10**8}"
    clocks = [ClockFixture(run, name, 1) for name in Plan("all", 1, 1, clocks=LOGS).names()]
    (own := folder / "all").mkdir()
    took: dict[signal.Signals, list[list[int]]] = {signal.SIGKILL: [], signal.SIGTERM: []}
    with (
        running(own, bootstrap, redis_url, run, *clocks, replicas=REPLICAS) as installation,
        redis.Redis.from_url(redis_url, decode_responses=True) as client,
    ):
        leader, standby = REPLICAS
        assert installation.end(standby) == 0
        for by, count in ((signal.SIGKILL, KILLS), (signal.SIGTERM, TERMS)):
            for _ in range(count):
                _until_leads_all(installation, leader)
                installation.start_replica(standby)
                _until_announced(client, run)
                took[by].append(_end_of_all(installation, leader, standby, by))
                leader, standby = standby, leader
    killed, asked = took[signal.SIGKILL], took[signal.SIGTERM]
    return [
        *([_figure("SIGKILL to leading a log, of 16 together", list(chain.from_iterable(killed)))] if killed else []),
        *([_figure("SIGKILL to leading all 16 logs", [max(one) for one in killed], 8_000, 5_000)] if killed else []),
        *([_figure("SIGTERM to leading a log, of 16 together", list(chain.from_iterable(asked)))] if asked else []),
        *([_figure("SIGTERM to leading all 16 logs", [max(one) for one in asked], p50_ms=1_500)] if asked else []),
    ]


def _until_leads_all(installation: Installation, replica: str) -> None:
    def leads_all() -> bool:
        return sum(installation.samples("clocksvc_leader", replica).values()) == LOGS

    eventually(leads_all, within=60, what=f"replica {replica} to lead all logs")


def _until_announced(client: "redis.Redis", prefix: str) -> None:
    """Wait until both replicas are announced as ready for each log."""

    def announced() -> bool:
        found = [client.hvals(f"{prefix}:{{{log}}}:replicas") for log in range(LOGS)]
        return all(len(one) == len(REPLICAS) and all(_is_ready(line) for line in one) for one in found)

    eventually(announced, within=60, what="both replicas to be announced")


def _is_ready(announcement: Any) -> bool:
    return json.loads(announcement.partition(" ")[2])["ready_ms"] is not None


def _end_of_all(installation: Installation, leader: str, standby: str, by: signal.Signals) -> list[int]:
    """End the leader; the milliseconds until the standby leads each log."""
    process = installation.processes.pop(leader)
    signalled_ms = wall_ms()
    process.end(by=by, within=30)

    def led() -> dict[int, int]:
        lines = [(parse_ms(line["time"]), line) for line in _lines(installation.folder / f"{standby}.log")]
        return {
            line["log"]: at_ms
            for at_ms, line in reversed(lines)
            if line["message"] == "leading" and at_ms >= signalled_ms
        }

    eventually(lambda: len(led()) == LOGS, within=60, what="all logs to be led")
    took = sorted(at_ms - signalled_ms for at_ms in led().values())
    print(f"    {by.name} of the leader of all logs: led after {took[0]} to {took[-1]} ms", flush=True)
    return took


def _chain(ticks: list[TickWithOffset]) -> Figure:
    wrong = broken_links(ticks, 1_000)
    return Figure(f"the chain of {len(ticks)} ticks", "; ".join(wrong[:3]) or "complete", "complete", not wrong)
