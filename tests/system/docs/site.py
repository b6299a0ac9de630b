"""An installation as the quick start makes it, with real servers, in which the commands of the other pages are run.

What a document calls by a general name is put in here, visibly: addresses, a topic, a time. The clock ticks each second
instead of each minute; nothing else is made easier.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2

from clocksvc.dev.ports import free_ports
from tests.repository import ROOT
from tests.system.docs.blocks import (
    blocks,
    commands_in,
)
from tests.system.docs.tools import (
    PROGRAMS,
    REDIS_URL,
)
from tests.system.docs.ways import Site as SitesOwn
from tests.system.docs.ways import way
from tests.waiting import eventually

PAST = "2026-01-02T03:00:00Z"
PLACEHOLDERS = {
    "TOPIC:PARTITION": "ingest-checkins:3",
    "CLOCK": "checkins",
    "HOST:PORT": "localhost:8080",
    "--last-tick T": f"--last-tick {PAST}",
}
"""What is to be filled in, in running text."""
TIMES = re.compile(r"2026-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RUNS_ON = re.compile(r"clocksvc serve|python consumer\.py|celery .*")
TIMEOUT_S = 60


def filled_in(typed: str) -> str:
    """A command without placeholders, in the documents' own names."""
    for placeholder, name in PLACEHOLDERS.items():
        typed = re.sub(rf"(?<![\w-]){re.escape(placeholder)}\b(?!_)", name, typed)
    return typed


class DocumentedSite:
    """A folder, its processes, and what the documents' names stand for in it."""

    def __init__(self, folder: Path, bootstrap: str, redis_url: str, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.port = free_ports(1)[0]
        self.url = f"http://localhost:{self.port}"
        self.names = {
            "localhost:9092": bootstrap,
            "localhost:6379": redis_url.removeprefix("redis://").removesuffix("/0"),
            "localhost:8080": f"localhost:{self.port}",
            "127.0.0.1:8080": f"127.0.0.1:{self.port}",
            "ingest-checkins": f"{prefix}-ingest-checkins",
            "/path/to/this/clone": str(ROOT),
        }
        self._bin = folder / "bin"
        self._make_tools()
        self.environ = os.environ | {
            "PATH": os.pathsep.join([str(self._bin), str(Path(sys.executable).parent), os.environ["PATH"]]),
            REDIS_URL: redis_url,
            "PYTHONUNBUFFERED": "1",
            "CLOCKSVC_URL": self.url,
            "CLOCKSVC_API__PORT": str(self.port),
            "CLOCKSVC_CLOCKS__CHECKINS__INTERVAL": "1s",
            "CLOCKSVC_CLOCKS__CHECKINS__TICK_LOG": f"{prefix}-ticks",
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def named(self, text: str) -> str:
        """A document's text with this site's names."""
        text = filled_in(text)
        for name, own in self.names.items():
            text = text.replace(name, own)
        return TIMES.sub(PAST, text)

    def write(self, name: str, text: str) -> None:
        """A file of a document."""
        (self.folder / name).write_text(self.named(text))

    def play(self, document: str) -> None:
        """Do what a document says, from its top to its end: its files, and those of its commands that make the site."""
        for block in blocks(document):
            if block.file:
                self.write(block.file, block.text)
            for command in commands_in(block):
                if isinstance(way(command), SitesOwn):
                    self._make(command.text)

    def _make(self, typed: str) -> None:
        if exported := re.fullmatch(r"export (\w+)=(\S+)", typed):
            self.environ[exported[1]] = exported[2]
        elif RUNS_ON.fullmatch(typed):
            self.start(typed)
            if typed == "clocksvc serve":
                eventually(self._ready, within=TIMEOUT_S, what=f"the service to be ready: {self.output(typed)}")
        else:
            done = self.run(typed)
            assert done.returncode == 0, f"{typed}\n{done.stdout}{done.stderr}"

    def run(self, typed: str, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, in a shell, as it is typed."""
        return subprocess.run(
            ["bash", "-c", self.named(typed)],
            cwd=self.folder,
            env=self.environ | (environ or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def start(self, typed: str, environ: dict[str, str] | None = None) -> None:
        """Start a command that keeps its terminal."""
        with open(self._log(typed), "wb") as log:
            self._running[typed] = subprocess.Popen(
                ["bash", "-c", f"exec {self.named(typed)}"],
                cwd=self.folder,
                env=self.environ | (environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def output(self, typed: str) -> str:
        """What a command has written that keeps its terminal."""
        return self._log(typed).read_text(errors="replace")

    def said(self, typed: str, text: str) -> bool:
        """Whether it has written this; an error once it has ended without."""
        output = self.output(typed)
        assert text in output or self._running[typed].poll() is None, f"{typed} ended:\n{output}"
        return text in output

    def end(self, typed: str, how: signal.Signals = signal.SIGTERM) -> int:
        """End it as Ctrl-C or a supervisor does; its exit code."""
        process = self._running.pop(typed)
        process.send_signal(how)
        try:
            return process.wait(TIMEOUT_S)
        finally:
            process.kill()

    def close(self) -> None:
        """End everything."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait(10)

    def time_s(self) -> int:
        """The clock's time in epoch seconds; 0 before its first tick."""
        state = httpx2.get(f"{self.url}/v1/clocks/checkins", timeout=10).json()
        return int(state["timestamp_seconds"] or 0)

    def moves(self) -> None:
        """Wait for two ticks more than there are."""
        began = self.time_s()
        eventually(lambda: self.time_s() >= began + 2, within=TIMEOUT_S, what="the clock to move")

    def _ready(self) -> bool:
        return httpx2.get(f"{self.url}/readyz", timeout=2).status_code == 200

    def _log(self, typed: str) -> Path:
        return self.folder / (re.sub(r"\W+", "-", typed)[:80] + ".log")

    def _make_tools(self) -> None:
        """What a machine with Kafka and Redis has on its path, and somebody's job."""
        self._bin.mkdir()
        for name in PROGRAMS:
            self._script(
                self._bin / name,
                f"PYTHONPATH='{ROOT}' exec '{sys.executable}' -m tests.system.docs.tools {name} \"$@\"",
            )
        self._script(self.folder / "nightly-job", "echo the job runs")

    @staticmethod
    def _script(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
