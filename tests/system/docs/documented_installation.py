"""An installation made by the commands of the quick start, in which the commands of the other pages are run.

The documents' placeholders are replaced here: addresses, a topic, a time. The clock ticks each second instead of each
minute.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from clocksvc.dev.child_server import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.process import Process, kill_all
from tests.repository import ROOT
from tests.system.docs.blocks import blocks, commands_in
from tests.system.docs.handling import Setup, handling
from tests.system.docs.tools import PROGRAMS, REDIS_URL
from tests.waiting import eventually

PAST = "2026-01-02T03:00:00Z"
PLACEHOLDERS = {
    "TOPIC:PARTITION": "ingest-checkins:3",
    "CLOCK": "checkins",
    "demo": "checkins",
    "HOST:PORT": "localhost:8080",
    "--last-tick T": f"--last-tick {PAST}",
}
"""Placeholders in running text, and the clock of `make run`."""
TIMES = re.compile(r"2026-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RUNS_ON = re.compile(r"clocksvc (serve|scheduler)|python consumer\.py|celery .*")
TIMEOUT_S = 60


def filled_in(typed: str) -> str:
    """A command with the documents' example names instead of placeholders."""
    for placeholder, name in PLACEHOLDERS.items():
        typed = re.sub(rf"(?<![\w-]){re.escape(placeholder)}\b(?!_)", name, typed)
    return typed


class DocumentedInstallation:
    """A folder and its processes. `names` replaces the documents' names and addresses.

    Args:
        clocks: the names of the clocks in the documents' configurations.
        topics: topics of the documents, which get names of this installation.
        environ: added to the environment of all commands.
    """

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        redis_url: str,
        prefix: str,
        environ: Mapping[str, str] = MappingProxyType({}),
        clocks: Sequence[str] = ("checkins",),
        topics: Sequence[str] = ("ingest-checkins",),
    ) -> None:
        self.folder, self.prefix = folder, prefix
        self.port = free_ports(1)[0]
        self.url = f"http://localhost:{self.port}"
        self.names = {
            "localhost:9092": bootstrap,
            "localhost:6379": redis_url.removeprefix("redis://").removesuffix("/0"),
            "localhost:8080": f"localhost:{self.port}",
            "127.0.0.1:8080": f"127.0.0.1:{self.port}",
            "/path/to/this/clone": str(ROOT),
            **{topic: f"{prefix}-{topic}" for topic in topics},
        }
        self._bin = folder / "bin"
        self._make_tools()
        self.environ = os.environ | {
            "PATH": os.pathsep.join([str(self._bin), str(Path(sys.executable).parent), os.environ["PATH"]]),
            REDIS_URL: redis_url,
            "PYTHONUNBUFFERED": "1",
            "CLOCKSVC_URL": self.url,
            "CLOCKSVC_API__PORT": str(self.port),
            **{f"CLOCKSVC_CLOCKS__{clock.upper()}__INTERVAL": "1s" for clock in clocks},
            # the documents' dates are in the past
            **{f"CLOCKSVC_CLOCKS__{clock.upper()}__MAX_PAST": "3650d" for clock in clocks},
            "CLOCKSVC_TICK_LOG__TOPIC": f"{prefix}-ticks",
            **environ,
        }
        self._running: dict[str, Process] = {}

    def named(self, text: str) -> str:
        """A document's text with the names of this installation."""
        text = filled_in(text)
        for name, own in self.names.items():
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", own, text)
        return TIMES.sub(PAST, text)

    def write(self, name: str, text: str) -> None:
        """Write a file of a document."""
        (self.folder / name).write_text(self.named(text))

    def set_up(self, document: str) -> None:
        """Write the files of a document, and run those of its commands that set up the installation, in order."""
        for block in blocks(document):
            if block.file:
                self.write(block.file, block.text)
            for command in commands_in(block):
                if isinstance(handling(command), Setup):
                    self._make(command.text)

    def _make(self, typed: str) -> None:
        if exported := re.fullmatch(r"export (\w+)=(\S+)", typed):
            self.environ[exported[1]] = exported[2]
        elif RUNS_ON.fullmatch(typed):
            self.start(typed)
            if typed == "clocksvc serve":
                self.until_ready()
        else:
            done = self.run(typed)
            assert done.returncode == 0, f"{typed}\n{done.stdout}{done.stderr}"

    def run(self, typed: str, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, in a shell."""
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
        """Start a command that runs until it is ended."""
        log = self._log(typed)
        log.unlink(missing_ok=True)
        command = ["bash", "-c", f"exec {self.named(typed)}"]
        self._running[typed] = Process(command, log, environ=self.environ | (environ or {}), cwd=self.folder)

    def output(self, typed: str) -> str:
        """The output of a command that runs or ran until it was ended."""
        return self._log(typed).read_text(errors="replace")

    def wrote(self, typed: str, text: str) -> bool:
        """Whether a running command has written a text."""
        return self._running[typed].wrote(text)

    def end(self, typed: str, by: signal.Signals = signal.SIGTERM) -> int:
        """End a command as a supervisor does, or Ctrl-C; its exit code."""
        return self._running.pop(typed).end(by=by, within=TIMEOUT_S)

    def runs(self, typed: str) -> bool:
        """Whether a command was started and not ended."""
        return typed in self._running

    def close(self) -> None:
        """Kill all processes."""
        kill_all(self._running)

    def time_s(self, clock: str = "checkins") -> int:
        """A clock's time in epoch seconds; 0 before its first tick."""
        state = http_client.get(f"{self.url}/v1/clocks/{clock}", timeout=10).json()
        return int(state["timestamp_seconds"] or 0)

    def until_ticking(self, clock: str = "checkins") -> None:
        """Wait for two more ticks."""
        began = self.time_s(clock)
        eventually(lambda: self.time_s(clock) >= began + 2, within=TIMEOUT_S, what=f"{clock} to move")

    def until_ready(self) -> None:
        """Wait until `clocksvc serve`, which was started, is ready."""
        eventually(self._ready, within=TIMEOUT_S, what="the service to be ready")

    def _ready(self) -> bool:
        return http_client.get(f"{self.url}/readyz", timeout=2).status_code == 200

    def _log(self, typed: str) -> Path:
        return self.folder / (re.sub(r"\W+", "-", typed)[:80] + ".log")

    def _make_tools(self) -> None:
        """Programs of Kafka and Redis, and the nightly job of the documents."""
        self._bin.mkdir()
        for name in PROGRAMS:
            self.write_program(
                name, f"PYTHONPATH='{ROOT}' exec '{sys.executable}' -m tests.system.docs.tools {name} \"$@\""
            )
        self._script(self.folder / "nightly-job", "echo the job runs")

    def write_program(self, name: str, line: str) -> None:
        """Write a program that the commands find on PATH. It replaces an earlier one."""
        self._script(self._bin / name, line)

    @staticmethod
    def _script(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)


@contextmanager
def quick_start(
    folder: Path, bootstrap: str, environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[DocumentedInstallation]:
    """docs/quick-start.md from the top to the first tick, with a Valkey of its own."""
    with ValkeyServer() as valkey:
        made = DocumentedInstallation(folder, bootstrap, valkey.url, f"docs-{folder.stat().st_ino}", environ)
        try:
            made.set_up("docs/quick-start.md")
            yield made
        finally:
            made.close()
