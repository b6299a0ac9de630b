"""A child process of a test, with its output in a file."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_KILLED_WITHIN_S = 10.0


def module(*arguments: str) -> list[str]:
    """The command that runs a Python module with arguments, as `python -m`."""
    return [sys.executable, "-m", *arguments]


class Process:
    """A running command. Standard output and standard error are appended to `log`.

    Args:
        environ: added to the environment of this process, or the whole environment without `inherit`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        inherit: bool = True,
        cwd: str | Path | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                cwd=cwd,
                env={**(os.environ if inherit else {}), **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative after a signal."""
        return self._child.poll()

    def output(self) -> str:
        """All output so far, of earlier processes with the same log too."""
        return self.log.read_text(errors="replace")

    def wrote(self, text: str) -> bool:
        """Whether the output contains a text. AssertionError if the process ended without writing it."""
        output = self.output()
        if text not in output:
            self.check_alive()
        return text in output

    def check_alive(self) -> None:
        """AssertionError with the last output if the process has ended."""
        assert self.exit_code is None, f"{self.log.stem} ended with {self.exit_code}:\n{self.output()[-3_000:]}"

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        self._child.send_signal(number)

    def ends_within(self, seconds: float) -> bool:
        """Wait for the end of the process; False if it still runs after this time."""
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait(self, within: float) -> int:
        """The exit code. AssertionError if the process does not end in time; it is killed then."""
        if not self.ends_within(within):
            self.kill()
            raise AssertionError(f"{self.log.stem} did not end in {within:g} s:\n{self.output()[-3_000:]}")
        return self._child.returncode

    def end(self, *, by: signal.Signals = signal.SIGTERM, within: float = 20.0) -> int:
        """Send a signal and wait; the exit code. AssertionError if the process does not end in time."""
        self.send_signal(by)
        return self.wait(within)

    def kill(self) -> None:
        """SIGKILL; the process is gone when this returns. May be called twice."""
        self._child.kill()
        self._child.wait(_KILLED_WITHIN_S)


@contextmanager
def stopped(pid: int | None) -> Iterator[None]:
    """SIGSTOP a process for the duration of the block, then SIGCONT."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """The child processes of a running process."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process runs. One that has ended and that its parent has not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill_all(processes: Mapping[str, Process]) -> None:
    """SIGKILL all processes, then wait for each."""
    for process in processes.values():
        process.send_signal(signal.SIGKILL)
    for process in processes.values():
        process.kill()
