"""`clocksvc tail --exec`: a command for each tick, in order and at least once, with a service of clocks in memory."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clocksvc.cli.main import main
from tests.unit.api.clock_fixture import ClockFixture, after, ticks
from tests.unit.api.running_service import RunningService, serving
from tests.unit.cli.conftest import Workspace
from tests.waiting import eventually

BEFORE_ALL = "2026-11-22T10:59:00Z"


class Job:
    """A shell script that notes its arguments. A test can add lines before and after this."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self._folder = workspace, workspace.folder
        self.position = self._folder / "position.json"
        self._script, self._done = self._folder / "job", self._folder / "done"
        self.write()

    def write(self, before: str = "", then: str = "") -> None:
        """Write the script."""
        self._script.write_text(f'#!/bin/sh\n{before}\necho "$*" >> {self._done}\n{then}\n')
        self._script.chmod(0o755)

    def start(self, *arguments: str, template: str = "{time}") -> "subprocess.Popen[bytes]":
        """Start the command."""
        command = ["--exec", f"{self._script} {template}", "--position", str(self.position), *arguments]
        return self.workspace.start("tail", "checkins", *command)

    def done(self) -> list[str]:
        """The arguments of all runs so far."""
        return self._done.read_text().splitlines() if self._done.exists() else []

    def minutes(self) -> list[str]:
        """The minutes of the ticks of all runs so far."""
        return [line[11:16] for line in self.done()]

    def stored(self) -> str:
        """The minute of the stored position."""
        return str(json.loads(self.position.read_text())["time"][11:16])


@pytest.fixture
def job(tmp_path: Path, served: RunningService) -> Iterator[Job]:
    """A job and the service of the clock `checkins`, whose ticks are 11:00, 11:01 and 11:02."""
    workspace = Workspace(tmp_path, "", "", "unused")
    yield Job(workspace)
    workspace.close()


def test_it_resumes_after_the_last_tick_that_succeeded(job: Job, clock_fixture: ClockFixture) -> None:
    """The tick for which the command failed is the first one of the next start. No tick is skipped."""
    job.write(before='case "$1" in *11:01*) exit 3;; esac')
    failed = job.start("--after", BEFORE_ALL, "--attempts", "1")
    assert failed.wait(20) == 1
    assert (job.minutes(), job.stored()) == (["11:00"], "11:00")
    assert "tick 2026-11-22T11:01:00Z: " in job.workspace.output()
    assert "ended with exit code 3, attempt 1 of 1. The next start begins with this tick" in job.workspace.output()

    job.write()
    running = job.start()
    eventually(lambda: job.minutes() == ["11:00", "11:01", "11:02"], within=20, what="the stored ticks")
    clock_fixture.publish(*after(ticks(3)[-1]))
    eventually(lambda: job.position.exists() and job.stored() == "11:03", within=20, what="the new tick")
    running.terminate()

    assert running.wait(20) == 0
    assert job.minutes() == ["11:00", "11:01", "11:02", "11:03"]


def test_the_first_tick_is_not_skipped_after_its_failure(job: Job, clock_fixture: ClockFixture) -> None:
    """Without `--after` and without a position, the first tick is the next one; if it fails, it comes again."""
    job.write(before="exit 1")
    failed = job.start("--attempts", "1")
    number = len(ticks(3))

    def publish() -> bool:
        nonlocal number
        clock_fixture.publish(*after(ticks(number)[-1]))
        number += 1
        return failed.poll() is not None

    eventually(publish, within=20, what="the first tick to fail")
    first = job.workspace.output().partition("tick 2026-11-22T")[2][:5]
    assert job.stored() < first

    job.write()
    job.start()
    eventually(lambda: job.minutes(), within=20, what="the tick again")
    assert job.minutes()[0] == first


def test_a_failure_is_retried(job: Job) -> None:
    """After a delay, for the same tick; the next tick waits for it."""
    mark = job.workspace.folder / "failed"
    job.write(before=f"test -e {mark} || {{ touch {mark}; kill -9 $$; }}")
    job.start("--after", BEFORE_ALL)

    eventually(lambda: len(job.minutes()) == 3, within=20, what="all ticks")
    assert job.minutes() == ["11:00", "11:01", "11:02"]
    assert "ended with signal 9, attempt 1 of 5; again in " in job.workspace.output()


def test_sigterm_is_forwarded(job: Job) -> None:
    """The running command gets it, and its end is awaited. A tick whose command did not succeed is not stored."""
    job.write(
        then='test "${1#*11:00}" != "$1" || { trap "kill $!; echo ended >> $0.log; exit 1" TERM; sleep 60 & wait; }'
    )
    running = job.start("--after", BEFORE_ALL)
    eventually(lambda: len(job.minutes()) == 2, within=20, what="the second tick")
    running.send_signal(signal.SIGTERM)

    assert running.wait(20) == 0
    assert (job.workspace.folder / "job.log").read_text() == "ended\n"
    assert (job.minutes(), job.stored()) == (["11:00", "11:01"], "11:00")


def test_fields_are_replaced_in_single_arguments(job: Job) -> None:
    """No shell runs: neither the template nor a value can start another command."""
    job.start("--after", BEFORE_ALL, template="'{clock} {timestamp_seconds}' {previous} ; $(touch x) `id`")

    eventually(lambda: len(job.done()) == 3, within=20, what="all ticks")
    assert job.done()[:2] == [
        "checkins 1795345200  ; $(touch x) `id`",
        "checkins 1795345260 2026-11-22T11:00:00Z ; $(touch x) `id`",
    ]


def test_a_position_that_is_too_old(clock_fixture: ClockFixture, tmp_path: Path) -> None:
    """The error names the file and how to continue; it is unchanged, and no command runs."""
    job = Job(Workspace(tmp_path, "", "", "unused"))
    job.position.write_text('{"clock": "checkins", "time": "2026-11-22T10:00:00Z"}')
    clock_fixture.have(after(ticks(3)[-1], 2))

    with serving(clock_fixture) as served:
        assert job.start("--url", served.url).wait(20) == 1

    wanted = f"To begin with this tick, remove {job.position} and use --after 2026-11-22T11:02:00Z"
    assert wanted in job.workspace.output()
    assert (job.done(), job.stored()) == ([], "10:00")


def test_a_command_that_is_missing(job: Job) -> None:
    """It is an error at once, without attempts."""
    code = job.workspace.start("tail", "checkins", "--after", BEFORE_ALL, "--exec", "/no/such/job {time}").wait(20)

    assert code == 1
    assert job.workspace.output() == "clocksvc tail: /no/such/job can't be started: No such file or directory.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--exec", "./job {tick}"], "wanted only the fields {clock}, {time}, {timestamp_seconds}, {previous}, "),
        (["--exec", "./job 'a"], '--exec: "./job \'a" is not valid: wanted a command with complete quotation marks'),
        (["--exec", " "], "--exec: ' ' is not valid: wanted a command"),
        (["--exec", "./job", "--attempts", "0"], "--attempts: '0' is not valid: wanted a whole number, 1 or more"),
        (["--position", "there"], "wanted with --exec, whose progress it stores"),
        (["--exec", "./job", "--position", "{folder}"], "the file can't be read: Is a directory"),
        (["--exec", "./job", "--position", "{folder}/other"], "this one is a position of 'orders'"),
        (["--exec", "./job", "--position", "{folder}/text"], "wanted a file that this command has written, or no file"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused before a request, with exit code 1."""
    (tmp_path / "other").write_text('{"clock": "orders", "time": "2026-11-22T11:00:00Z"}')
    (tmp_path / "text").write_text("2026-11-22T11:00:00Z")
    given = [argument.replace("{folder}", str(tmp_path)) for argument in arguments]

    assert main(["tail", "checkins", *given]) == 1
    assert words in capsys.readouterr().err
