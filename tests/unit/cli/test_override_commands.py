"""`clocksvc exclude`, `include`, `pause`, `resume`, and `status` after them: output and exit codes."""

import json

import pytest

from clocksvc.api.tokens import Scope, Token
from clocksvc.cli.main import main
from clocksvc.clock.holds import Hold, Reason
from clocksvc.dev.child_server import free_ports
from tests.http_stub import HttpStub, Reply, problem
from tests.unit.api.clock_fixture import NOON, TOKEN, TOPIC, ClockFixture, ticks
from tests.unit.api.running_service import serving
from tests.waiting import eventually

SECRET = "a-token-of-sixteen-characters"
WHY = ["--reason", "disk of broker 3 died"]
DEAD = f"{TOPIC}:1"
BY_AND_WHY = "by anonymous at 2026-11-22T12:00:00Z: disk of broker 3 died"
COMMANDS = [["exclude", "checkins", DEAD], ["include", "checkins", DEAD], ["pause", "checkins"], ["resume", "checkins"]]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def clock_fixture() -> ClockFixture:
    """A clock with a leader that answers requests."""
    return ClockFixture()


@pytest.mark.usefixtures("served")
def test_exclude_and_include(clock_fixture: ClockFixture, capsys: Captured) -> None:
    """It prints the outcome and each exclusion with name, time and reason; `status` prints the exclusions too."""
    assert main(["exclude", "checkins", DEAD, *WHY]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"checkins: ticks no longer wait for {DEAD}",
        f"checkins: {DEAD} excluded {BY_AND_WHY}",
    ]
    clock_fixture.time.advance(1)
    for command in (["status"], ["status", "checkins"]):
        assert main(command) == 0
        shown = capsys.readouterr().out
        assert f"checkins: {DEAD} excluded {BY_AND_WHY}" in shown
        assert "(1 excluded)" in shown

    clock_fixture.report(NOON, NOON - 60)
    assert main(["status", "checkins"]) == 0
    rows = capsys.readouterr().out.partition("\nEXCLUDED ")[2].splitlines()
    assert [row.split()[:4] for row in rows[1:2]] == [[DEAD, "2026-11-22T11:58:58Z", "63", "s"]]

    assert main(["include", "checkins", DEAD, *WHY]) == 0
    assert capsys.readouterr().out == f"checkins: ticks wait for {DEAD}\n"
    clock_fixture.time.advance(1)
    assert main(["status"]) == 0
    assert "excluded" not in capsys.readouterr().out


@pytest.mark.usefixtures("served")
def test_pause_and_resume(clock_fixture: ClockFixture, capsys: Captured) -> None:
    """The same for a pause."""
    assert main(["pause", "checkins", *WHY]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "checkins: no tick comes until it is resumed",
        f"checkins: paused {BY_AND_WHY}",
    ]
    clock_fixture.time.advance(1)
    clock_fixture.publish_hold(Hold(Reason.PAUSED, detail="paused by anonymous: disk of broker 3 died"))
    clock_fixture.time.advance(1)
    assert main(["status"]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("checkins: ")]
    assert shown == [f"checkins: paused {BY_AND_WHY}"]
    clock_fixture.publish(*ticks(1))

    def shown_with_the_tick() -> bool:
        clock_fixture.time.advance(1)
        assert main(["status"]) == 0
        return f"checkins: paused {BY_AND_WHY} (last tick 2026-11-22T11:00:00Z)\n" in capsys.readouterr().out

    eventually(shown_with_the_tick, what="the status with the last tick")
    assert main(["wait", "checkins", "--until", "2026-11-22T11:05:00Z", "--timeout", "0"]) == 3
    assert capsys.readouterr().err.endswith(f"has not reached 2026-11-22T11:05:00Z: paused {BY_AND_WHY}\n")

    assert main(["resume", "checkins", *WHY]) == 0
    assert capsys.readouterr().out == "checkins: not paused\n"


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("command", COMMANDS)
def test_as_json(command: list[str], capsys: Captured) -> None:
    """The complete answer of the service, on one line."""
    assert main([*command, *WHY, "--json"]) == 0

    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"clock", "exclusions", "pause"}


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["exclude", "checkins", f"{TOPIC}:7", *WHY], "partition: '7' is not valid: wanted 0 to 1"),
        (["exclude", "checkins", "elsewhere:0", *WHY], "topic: 'elsewhere' is not valid: wanted a topic of this clock"),
        (["exclude", "checkins", TOPIC, *WHY], "wanted topic:partition"),
        (["exclude", "../x", DEAD, *WHY], "CLOCK: '../x' is not valid"),
        (["pause", "checkins", "--reason", "two\nlines"], "wanted one line"),
        (["pause", "checkins", "--reason", " "], "reason"),
        (["pause", "chekins", *WHY], "no clock 'chekins'"),
    ],
)
def test_rejected_requests(clock_fixture: ClockFixture, command: list[str], says: str, capsys: Captured) -> None:
    """One line on stderr with what would be right, exit code 1, and no change."""
    assert main(command) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"clocksvc {command[0]}: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert (clock_fixture.store.snapshot().exclusions, clock_fixture.store.snapshot().pause) == ((), None)


@pytest.mark.parametrize("command", [*COMMANDS, ["exclude", "checkins", *WHY], ["pause", *WHY], ["exclude"]])
def test_wrong_usage(command: list[str], capsys: Captured) -> None:
    """Without a reason, a partition or a clock: exit code 2."""
    assert main(command) == 2

    assert "required" in capsys.readouterr().err


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_leader(clock_fixture: ClockFixture, command: list[str], capsys: Captured) -> None:
    """Exit code 1; the error says that nothing has changed."""
    clock_fixture.leases.release(TOKEN)

    assert main([*command, *WHY]) == 1

    assert "nothing has changed" in capsys.readouterr().err


def test_no_service_answers(capsys: Captured) -> None:
    """Nothing can have changed: the error names only the address."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"

    assert main(["pause", "checkins", *WHY, "--url", url]) == 1

    shown = capsys.readouterr().err
    assert f"no clocksvc answers at {url}" in shown
    assert "not known" not in shown


def test_a_connection_that_ends_without_an_answer(capsys: Captured) -> None:
    """The connection ends without an answer: the error says that the outcome is unknown and how to look."""
    with HttpStub(lambda _: Reply(parts=[b"{"], cut=True)) as stub:
        assert main(["pause", "checkins", *WHY, "--url", stub.url]) == 1

    assert "the outcome is unknown. Check it with `clocksvc status`" in capsys.readouterr().err


def test_an_unknown_outcome(capsys: Captured) -> None:
    """The service's own text is printed."""
    with HttpStub(lambda _: problem(504, "outcome-unknown", "it may have happened")) as stub:
        assert main(["pause", "checkins", *WHY, "--url", stub.url]) == 1

    assert "it may have happened (status 504)" in capsys.readouterr().err


def test_another_server(capsys: Captured) -> None:
    """A 200 of another server is not a success."""
    with HttpStub(lambda _: Reply(body={"ok": True})) as stub:
        assert main(["pause", "checkins", *WHY, "--url", stub.url]) == 1

    assert "not clocksvc" in capsys.readouterr().err


def test_the_token_gives_the_name(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """It comes from the environment; a token with the scope read alone is rejected."""
    tokens = [Token("ops", SECRET, frozenset({Scope.ADMIN})), Token("eye", SECRET[::-1], frozenset({Scope.READ}))]
    with serving(clock_fixture, tokens=tokens) as served:
        monkeypatch.setenv("CLOCKSVC_URL", served.url)
        monkeypatch.setenv("CLOCKSVC_TOKEN", SECRET[::-1])
        assert main(["pause", "checkins", *WHY]) == 1
        assert "lacks the scope 'admin'" in capsys.readouterr().err
        monkeypatch.setenv("CLOCKSVC_TOKEN", SECRET)
        assert main(["pause", "checkins", *WHY]) == 0

    assert "paused by ops at" in capsys.readouterr().out
