"""The life cycle of a server as a child process: directory, ports, start, readiness, stop, kill, restart.

A module for each server contains its configuration. The servers listen on free ports of the loopback interface. The
ports are not reserved, so another process may use them first.
"""

import random
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Self

from clocksvc.dev.child_process import ChildEnded, ChildProcess, DevServerError

_ATTEMPTS = 3


class ChildServer(ABC):
    """A server as a child process, on loopback ports.

    `start()` returns when the process runs, and `wait_ready()` when it answers. So several servers can start in
    parallel. `stop()` and `kill()` keep data and ports for the next `start()`. `close()`, or the end of the context
    manager, stops the server and removes the data, unless `data_dir` was given.

    If no ports are given, free ports are used. They may change until `wait_ready()` has returned for the first time,
    because another process may use a port first.
    """

    name: ClassVar[str]
    ready_line: ClassVar[str]
    """The text that the server logs when it has started."""

    def __init__(self, *, data_dir: Path | None, ports: Sequence[int | None]) -> None:
        self._given_dir = data_dir
        self._directory: Path | None = None
        self._wanted = list(ports)
        self._ports = self._choose_ports()
        self._process: ChildProcess | None = None

    @property
    def port(self) -> int:
        """The port that clients use."""
        return self._ports[0]

    @property
    def pid(self) -> int | None:
        """The process id of the server; None if the server is not running."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def directory(self) -> Path:
        """The directory of data, configuration and log. Raises DevServerError before the first start."""
        if self._directory is None:
            raise DevServerError(f"{self.name} has no directory, because it was not started or is closed")
        return self._directory

    @property
    def log_file(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> None:
        """Write the configuration and start the server. Raises DevServerError if it runs already or can't be run."""
        if self.running:
            raise DevServerError(f"{self.name} runs already, as process {self.pid}")
        self.stop()
        if self._directory is None:
            self._directory = self._make_directory()
        self._prepare()
        leftovers = None if self._given_dir else self._directory
        self._process = ChildProcess(self.name, self._command(), log_file=self.log_file, leftovers=leftovers)
        self._process.start()

    def wait_ready(self, *, deadline_seconds: float = 60.0) -> None:
        """Wait until the server answers. Raises DevServerError if the server ends, or does not answer in time."""
        for attempt in range(1, _ATTEMPTS + 1):
            if self._process is None:
                raise DevServerError(f"{self.name} is not running: call start() first")
            try:
                self._process.wait_until(self._answers, deadline_seconds=deadline_seconds)
            except ChildEnded:
                if attempt == _ATTEMPTS or "Address already in use" not in self._process.log_since_start():
                    raise
                self._ports = self._choose_ports()
                self.start()
            else:
                self._wanted = list(self._ports)
                return

    def stop(self) -> None:
        """Stop the server (SIGTERM, then SIGKILL after a time-out). Keeps data and ports. May be called repeatedly."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Kill the server (SIGKILL), to simulate an outage. Keeps data and ports. May be called repeatedly."""
        if self._process is not None:
            self._process.kill()

    def restart(self, *, deadline_seconds: float = 60.0) -> None:
        """Stop the server, start it again with the same data and port, and wait until it answers."""
        self.stop()
        self.start()
        self.wait_ready(deadline_seconds=deadline_seconds)

    def close(self) -> None:
        """Stop the server, and remove its directory unless `data_dir` was given. May be called repeatedly."""
        if self._given_dir is None:
            self.kill()  # the data will be removed, so the server need not save it
        self.stop()
        self._process = None
        directory, self._directory = self._directory, None
        if directory is not None and self._given_dir is None:
            shutil.rmtree(directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start the server and wait until it answers."""
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _prepare(self) -> None:
        """Write the server's configuration to `directory`. Called before each start. May block for seconds."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the server's command. The program is an absolute path. The command is run in `directory`."""

    def _answers(self) -> bool:
        # The log line is required, too, because another process could listen on the port instead of this server.
        return self._process is not None and self.ready_line in self._process.log_since_start() and listens(self.port)

    def _choose_ports(self) -> list[int]:
        return [wanted or free for wanted, free in zip(self._wanted, free_ports(len(self._wanted)), strict=True)]

    def _make_directory(self) -> Path:
        if self._given_dir is None:
            return Path(tempfile.mkdtemp(prefix=f"clocksvc-{self.name.lower()}-"))
        self._given_dir.mkdir(parents=True, exist_ok=True)
        return self._given_dir.resolve()


LOOPBACK = "127.0.0.1"

# Below the range of ephemeral ports of Linux and macOS. An ephemeral port would be a problem while a server is stopped:
# a client that tries to connect to it could get the same port as its own, connect to itself, and block the port.
_LOWEST, _HIGHEST = 20_000, 32_767
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Return `count` different ports on which no process listens now. Another process may use them at any time."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = _random.randint(_LOWEST, _HIGHEST)
            if port in ports:  # two sockets can be bound to one port while none listens
                continue
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            ports.append(port)
        return ports


def listens(port: int) -> bool:
    """True if a process listens on this loopback port now."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False
