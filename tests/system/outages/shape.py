"""Two replicas whose configuration can be changed one after the other, and the judges of what their clocks did.

Shares no code with the product: raw JSON, the consumers' notes, and the rule of the next multiple, written anew.
"""

import itertools
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2
import yaml

from clocksvc.dev.ports import free_ports
from tests.system.path.installation import Installation
from tests.system.path.member import Member
from tests.system.path.notes import (
    Note,
    TickWithOffset,
)
from tests.system.path.scene import Scene
from tests.waiting import eventually


class Pair:
    """Replicas `a` and `b` of one installation. `clocks` is what the next one that starts is configured with."""

    def __init__(self, folder: Path, bootstrap: str, redis_url: str, run: str, clocks: dict[str, Any]) -> None:
        self.clocks = clocks
        self.installation = Installation(folder, bootstrap, redis_url, run, clocks)
        self.urls = {"a": self.installation.url, "b": f"http://127.0.0.1:{free_ports(1)[0]}"}

    def start(self, name: str) -> None:
        """Start a replica with the present configuration; it is ready when this returns."""
        settings = yaml.safe_load(self.installation.config.read_text())
        self.installation.config.write_text(yaml.safe_dump({**settings, "clocks": self.clocks}))
        url = self.urls[name]
        self.installation.start(name, "clocksvc.cli.main", "serve", "--port", url.rpartition(":")[2])
        eventually(
            lambda: httpx2.get(f"{url}/readyz", timeout=2).status_code == 200, within=30, what=f"{name} to be ready"
        )

    def end(self, name: str, *, kill: bool = False) -> None:
        """SIGTERM, or SIGKILL; gone when this returns."""
        if not kill:
            assert self.installation.end(name) == 0
            return
        process = self.installation.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def holder(self, name: str) -> str:
        """How a hold names a replica: its process, behind the name of the host."""
        return f":{self.installation.processes[name].pid}"

    def look_through(self, name: str) -> None:
        """From now on scenes show what this replica says."""
        self.installation.url = self.urls[name]

    def knows(self, name: str, clock: str) -> bool:
        """Whether a replica serves a clock."""
        return httpx2.get(f"{self.urls[name]}/v1/clocks/{clock}", timeout=10).status_code == 200


class ShapedScene(Scene):
    """A scene that remembers, for each replica, the global clocks that it was shown."""

    def __init__(self, run: str, clock: str, partitions: int) -> None:
        super().__init__(run, clock, partitions)
        self.shown: dict[str, list[int]] = {}

    def state(self) -> dict[str, Any]:
        """`GET /v1/clocks/{clock}`."""
        state = super().state()
        if state["timestamp_seconds"] is not None:
            self.shown.setdefault(self.installation.url, []).append(state["timestamp_seconds"])
        return state

    def backwards(self) -> list[str]:
        """The replicas that showed a clock below one that they had shown."""
        return [url for url, shown in self.shown.items() if shown != sorted(shown)]


def notes_of(members: Iterable[Member]) -> list[Note]:
    """What the consumers wrote down, in order of time."""
    return sorted((note for member in members for note in member.notes), key=lambda note: note.wall_ms)


def broken_chain(ticks: list[TickWithOffset]) -> list[str]:
    """What is wrong with a chain whose interval changes: each tick is the smallest multiple of its own interval after
    the one before it, and names that one."""
    wrong = []
    for before, tick in itertools.pairwise(ticks):
        interval_ms = tick.wire["interval_seconds"] * 1000
        due_ms = next(
            at_ms for at_ms in range(before.at_ms + 1000, tick.at_ms + 1000, 1000) if at_ms % interval_ms == 0
        )
        if tick.at_ms != due_ms:
            wrong.append(f"{tick.at_ms} stands after {before.at_ms} with an interval of {interval_ms} ms, not {due_ms}")
        if tick.previous_ms != before.at_ms:
            wrong.append(f"{tick.at_ms} names {tick.previous_ms}, {before.at_ms} stands before it")
    return wrong
