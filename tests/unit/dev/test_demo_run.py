"""`clocksvc dev` as a process without a terminal: it runs its scenario and leaves nothing behind."""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clocksvc import Schedules
from clocksvc.dev.child_server import free_ports, listens
from tests.waiting import eventually

pytestmark = pytest.mark.path

INTERVAL_S = 5
DAY_S = 86_400


class Run:
    """One `clocksvc dev` with its own directory for temporary files, which identifies its processes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._output = folder / "output"
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clocksvc.cli.main", "dev", *arguments],
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        """Its output so far."""
        return self._output.read_text()

    def told(self, text: str) -> bool:
        """True if the output has this text; fails if the process has ended without it."""
        if text not in self.output():
            assert self.process.poll() is None, self.output()
            return False
        return True

    def ports(self) -> list[int]:
        """The ports of its child servers, from its output."""
        header = self.output().split("clocksvc dev · ")[1].splitlines()[0]
        return [int(port) for port in re.findall(r"(?: |http://127\.0\.0\.1):(\d+)", header)]

    def processes(self) -> list[str]:
        """The commands of its guards."""
        listed = subprocess.run(["ps", "-axww", "-o", "command"], capture_output=True, text=True, check=True)
        return [line for line in listed.stdout.splitlines() if str(self.temporary) in line]

    def check_nothing_is_left(self) -> None:
        """Fails if a process, a file or a listening port is left."""
        eventually(lambda: not self.processes(), what="every child process to end")
        eventually(lambda: not list(self.temporary.iterdir()), what="every temporary file to go")
        assert [port for port in self.ports() if listens(port)] == []


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Run]:
    """A run that is always killed at the end."""
    run = Run(folder, *arguments)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def seconds(time_of_day: str) -> int:
    """Seconds since midnight."""
    hours, minutes, rest = time_of_day.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(rest)


def ticks_told(output: str) -> list[int]:
    """All ticks in an output, in order, in seconds since midnight."""
    found = re.findall(r"^ \d\d:\d\d:\d\d  ticks? ((?:\d\d:\d\d:\d\d(?:, )?)+) ", output, re.MULTILINE)
    return [seconds(one) for line in found for one in line.split(", ")]


def test_forty_five_seconds(tmp_path: Path) -> None:
    """`--for 45s` ends by itself with 0: ticks in order, a hold with its partition and reason, the skipped ticks."""
    [port] = free_ports(1)
    with running(tmp_path, "--for", "45s", "--port", str(port)) as run:
        eventually(lambda: run.told("due: monitor-1"), within=120, what="the first due record")
        with Schedules(f"http://127.0.0.1:{port}", "demo") as schedules:
            schedules.put("acme:home", {"interval": "5s", "task": "uptime.check"})
        code = run.process.wait(180)
        output = run.output()

        assert code == 0, output
        run.check_nothing_is_left()
    ticks = ticks_told(output)
    assert len(ticks) >= 5
    assert {(after - before) % DAY_S for before, after in itertools.pairwise(ticks)} == {INTERVAL_S}
    stopped, _, rest = output.partition("story: heartbeats stopped")
    held, _, back = rest.partition("story: heartbeats back")
    hold = re.search(r"HOLDING since (\S+): \S+:3 has reported nothing past (\S+) \(partition_behind\)", held)
    assert hold is not None, output
    assert seconds(hold[2]) == ticks_told(stopped)[-1]
    assert re.search(r"ticks \S+, \S+ .* skipped, each once, in order", back), output
    waited = re.search(r'job "nightly" for (\S+) waits for its data', held + back)
    assert waited is not None, output
    came = re.search(rf'job "nightly" for {waited[1]} sent at (\S+): its data is complete', back)
    assert came is not None, output
    assert (seconds(came[1]) - seconds(waited[1])) % DAY_S >= INTERVAL_S
    assert re.search(rf"{len(ticks)} ticks from .*, each once, in order; 1 hold; [1-9] nightly jobs? and", output), (
        output
    )
    assert re.search(r" and [1-9]\d* tick tasks sent; \d{3} records written", output), output
    assert re.search(r"warehouse (\S+)   everything before \1 has passed both groups", output), output
    assert re.search(r"; \d{3} stored by the second group, with [1-9]\d* ticks? of its clock; ", output), output
    assert re.search(r"tick \S+ .*   due: .*monitor-1", output), output
    assert re.search(r"tick \S+ .*   due: .*acme:home", output), output
    assert re.search(r" its clock; [1-9]\d* due records of 3 schedules and [1-9]\d* of your own; stopping", output), (
        output
    )


def test_ctrl_c(tmp_path: Path) -> None:
    """SIGINT ends everything within 10 s, with a goodbye and exit code 0."""
    with running(tmp_path, "--rate", "100", "--port", str(free_ports(1)[0])) as run:
        eventually(lambda: run.told("is processed"), within=120, what="the first tick")
        began = time.monotonic()
        run.process.send_signal(signal.SIGINT)

        assert run.process.wait(30) == 0, run.output()
        assert time.monotonic() - began < 10
        assert "Goodbye" in run.output().splitlines()[-1]
        run.check_nothing_is_left()


def test_a_killed_demo_leaves_nothing(tmp_path: Path) -> None:
    """After SIGKILL no child process, file or listening port is left."""
    with running(tmp_path, "--port", str(free_ports(1)[0])) as run:
        eventually(lambda: run.told("Question:"), within=120, what="everything to run")
        assert len(run.processes()) >= 2
        run.process.kill()
        run.process.wait(10)

        run.check_nothing_is_left()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--for", "soon"), 2, "'soon' is not valid: wanted a duration"),
        (("--rate", "0"), 2, "'0' is not valid: wanted records a second"),
        (("--port", "http"), 2, "'http' is not valid: wanted 1 to 65535"),
        (("--redis", "redis://127.0.0.1:1/0", "--kafka", "127.0.0.1:1"), 1, "Use a database that only the demo uses"),
        (("--redis", "127.0.0.1:6379", "--kafka", "127.0.0.1:1"), 1, "redis.url"),
    ],
    ids=["time", "rate", "port", "no Redis there", "no URL"],
)
def test_what_can_not_be(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """A wrong argument gives one clear error and leaves nothing behind."""
    with running(tmp_path, *arguments) as run:
        assert run.process.wait(30) == code
        assert said in " ".join(run.output().split())
        assert list(run.temporary.iterdir()) == []


def test_a_taken_port_is_refused_when_asked_for(tmp_path: Path) -> None:
    """A `--port` in use is an error that names it, before anything starts."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with listener, running(tmp_path, "--port", str(port)) as run:
        assert run.process.wait(30) == 1
        assert f"--port: {port} is not valid: wanted a free port" in run.output()
