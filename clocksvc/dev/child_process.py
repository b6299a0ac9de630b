"""A child process that ends with its parent, logs to a file and does not receive the terminal's Ctrl-C.

The module `child_server` adds ports, configuration and readiness of servers.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime
from clocksvc.runtime.fork import after_fork

_GUARD = Path(__file__).with_name("guard.py")
_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 20


class DevServerError(ClocksvcError):
    """A child server could not be downloaded, started or reached. The message contains the last lines of its log."""


class ChildEnded(DevServerError):
    """The child process ended by itself."""


class ChildProcess:
    """Runs a command in a new session, as the child of a guard (`guard.py`). The command can be run repeatedly.

    The command's output is appended to `log_file`. `leftovers` is a directory that the guard removes if this process
    dies before its child. `environ` is the command's environment. The default is the environment of this process.
    Several threads may use the object, but not at the same time.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        leftovers: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self.pid: int | None = None
        self._command = list(command)
        self._leftovers = leftovers
        self._environ = environ
        self._log_start = 0
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def start(self) -> None:
        """Start the command in the log file's directory. Raises DevServerError if the command can't be run."""
        self.log_file.touch()
        self._log_start = self.log_file.stat().st_size
        with self.log_file.open("ab") as log:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(self._leftovers or ""), *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.log_file.parent,
                env=self._environ,
                start_new_session=True,
            )
        after_fork(guard, _close_pipe)
        self._guard = guard
        with _pipe(guard.stdout) as answers:
            word, _, rest = answers.readline().decode(errors="replace").strip().partition(" ")
        if word != "pid":
            self._reap()
            raise DevServerError(f"{self.name} could not be started: {rest or self.log_tail()}")
        self.pid = int(rest)

    def wait_until(self, ready: Callable[[], bool], *, deadline_seconds: float) -> None:
        """Wait until `ready()` is true.

        Raises:
            ChildEnded: the process ended before it was ready.
            DevServerError: the process was not ready before the deadline.
        """
        guard, monotonic = self._started(), SystemTime().monotonic
        deadline = monotonic() + deadline_seconds
        while guard.poll() is None:
            if ready():
                return
            if monotonic() >= deadline:
                raise DevServerError(f"{self.name} was not ready within {deadline_seconds:g} s. {self.log_tail()}")
            try:
                guard.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        raise ChildEnded(f"{self.name} ended by itself with exit code {guard.returncode}. {self.log_tail()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process of the command. Does nothing if this process has ended."""
        if self.running and self.pid is not None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def stop(self, *, timeout_seconds: float = 20.0) -> None:
        """Send SIGTERM, and SIGKILL after the time-out. Wait until the process has ended. May be called repeatedly."""
        if self._guard is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._guard.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        self._reap()

    def kill(self) -> None:
        """Send SIGKILL, to simulate an outage. Wait until the process has ended. May be called repeatedly."""
        self.signal(signal.SIGKILL)
        self._reap()

    def log_since_start(self) -> str:
        """Return the command's output since `start`."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def log_tail(self) -> str:
        """Return the last lines of output since `start`, with the path of the log file."""
        lines = self.log_since_start().splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join([f"Its log, {self.log_file}, {'ends with:' if lines else 'is empty.'}", *lines])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._guard is None:
            raise DevServerError(f"{self.name} is not running: call start() first")
        return self._guard

    def _reap(self) -> None:
        guard, self._guard, self.pid = self._guard, None, None
        if guard is None:
            return
        guard.wait()
        _pipe(guard.stdin).close()


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise AssertionError("a guard is started with pipes")
    return end


def _close_pipe(guard: subprocess.Popen[bytes]) -> None:
    """Close the guard's pipe in a forked child of this process.

    With an open pipe in the child, the server would not end with this process.
    """
    if guard.stdin is not None:
        guard.stdin.close()
