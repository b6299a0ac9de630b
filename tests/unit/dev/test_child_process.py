"""Child processes start, stop, and never outlive their parent."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clocksvc.dev.child_process import ChildProcess, DevServerError
from tests.waiting import eventually

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


def gone(pid: int) -> bool:
    """True if no process has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def known_pid(process: ChildProcess) -> int:
    """The process's id; fails if it is None."""
    assert process.pid is not None
    return process.pid


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ChildProcess]:
    """A child that sleeps for an hour."""
    process = ChildProcess("sleeper", ["/bin/sleep", "3600"], log_file=tmp_path / "log")
    process.start()
    yield process
    process.kill()


def test_stop_ends_the_process_and_its_whole_group(sleeper: ChildProcess) -> None:
    """After stop neither the command's process nor its guard is left."""
    pid = known_pid(sleeper)
    group = os.getpgid(pid)
    sleeper.stop()
    assert gone(pid)
    assert not sleeper.running
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def test_stop_and_kill_may_be_called_again(sleeper: ChildProcess) -> None:
    """Stopping a process that has ended is no error."""
    sleeper.stop()
    sleeper.stop()
    sleeper.kill()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """stop waits for the time-out, then kills the process."""
    process = ChildProcess("deaf", [sys.executable, "-c", STUBBORN], log_file=tmp_path / "log")
    process.start()
    process.wait_until(lambda: "deaf" in process.log_since_start(), deadline_seconds=10)
    pid = known_pid(process)
    process.stop(timeout_seconds=0.1)
    assert gone(pid)


def test_a_kill_from_outside_is_noticed(sleeper: ChildProcess) -> None:
    """`pid` is the command's own process id: killing it kills the server."""
    os.kill(known_pid(sleeper), signal.SIGKILL)
    eventually(lambda: not sleeper.running, what="the death to be noticed")


def test_the_terminals_interrupt_does_not_reach_it(sleeper: ChildProcess) -> None:
    """The child has its own session, so Ctrl-C does not reach it and the parent stops it in order."""
    assert os.getsid(known_pid(sleeper)) != os.getsid(0)


def test_waiting_for_an_ended_process_raises_with_its_log(tmp_path: Path) -> None:
    """Waiting for a dead child fails at once, with its exit code and the end of its log."""
    process = ChildProcess("brief", ["/bin/sh", "-c", "echo last words; exit 3"], log_file=tmp_path / "log")
    process.start()
    with pytest.raises(DevServerError, match=r"(?s)brief ended by itself with exit code 3.*last words"):
        process.wait_until(lambda: False, deadline_seconds=30)
    process.stop()


def test_a_process_that_is_never_ready_meets_its_deadline(sleeper: ChildProcess) -> None:
    """Waiting fails at the deadline and names it."""
    with pytest.raises(DevServerError, match=r"sleeper was not ready within 0\.05 s"):
        sleeper.wait_until(lambda: False, deadline_seconds=0.05)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A command that can't be run fails in start, by name."""
    process = ChildProcess("nothing", ["/no/such/program"], log_file=tmp_path / "log")
    with pytest.raises(DevServerError, match=r"nothing could not be started: .*No such file.*"):
        process.start()
    assert not process.running


def test_the_log_is_kept_over_restarts(tmp_path: Path) -> None:
    """The log file is appended to; `log_since_start` begins at this start."""
    process = ChildProcess("echo", ["/bin/sh", "-c", "echo again; exec sleep 3600"], log_file=tmp_path / "log")
    for _ in range(2):
        process.start()
        process.wait_until(lambda: "again" in process.log_since_start(), deadline_seconds=10)
        assert process.log_since_start() == "again\n"
        process.kill()
    assert (tmp_path / "log").read_text() == "again\nagain\n"
