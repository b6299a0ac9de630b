"""What a Redis has done within a window, by its own counters. No other client may use it in that time."""

import threading
from dataclasses import astuple, dataclass
from typing import cast

import redis

WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a Redis did within a window.

    Attributes:
        scripts: EVALSHA of clients.
        reads: blocking reads (BLPOP, BRPOP, XREAD) of clients.
        commands: all commands, those inside of scripts too.
        in_bytes, out_bytes: over the network.
        cpu_s: of the server.
    """

    scripts: float
    reads: float
    commands: float
    in_bytes: float
    out_bytes: float
    cpu_s: float

    def each(self, count: float, what: str) -> str:
        """Everything divided by a count."""
        return (
            f"{self.scripts / count:.1f} scripts, {self.reads / count:.1f} blocking reads, {self.commands / count:.0f} "
            f"commands with those in scripts, {self.in_bytes / count / 1024:.1f} KiB in, "
            f"{self.out_bytes / count / 1024:.1f} KiB out, {1000 * self.cpu_s / count:.2f} ms CPU a {what}"
        )

    def __sub__(self, other: "Load") -> "Load":
        return Load(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


def watched(redis_url: str, window_s: float = WINDOW_S) -> Load:
    """The load of the next seconds. Blocks for this time."""
    with redis.Redis.from_url(redis_url) as client:
        client.set_response_callback("INFO", lambda answer: answer)
        before = _sight(client)
        threading.Event().wait(window_s)
        after = _sight(client)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    return Load(
        grown["evalsha"],
        grown["blpop"] + grown.get("xread", 0) + grown.get("brpop", 0),
        grown["all"],
        grown["in"],
        grown["out"] - before["told"],
        grown["cpu"],
    )


def _sight(client: "redis.Redis") -> dict[str, float]:
    """The counters of Redis; `told` is the size of this answer, which counts for the window that it opens."""
    text = cast(bytes, client.info("everything")).decode()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    calls = {
        name.removeprefix("cmdstat_"): float(value.removeprefix("calls=").split(",")[0])
        for name, value in lines.items()
        if name.startswith("cmdstat_")
    }
    return {
        **calls,
        "all": sum(calls.values()),
        "in": float(lines["total_net_input_bytes"]),
        "out": float(lines["total_net_output_bytes"]),
        "cpu": float(lines["used_cpu_user"]) + float(lines["used_cpu_sys"]),
        "told": float(len(text)),
    }
