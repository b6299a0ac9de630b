"""`clocksvc status`, `tail` and `wait`: output and exit codes, with a service of clocks in memory."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clocksvc.api.tokens import Scope, Token
from clocksvc.cli.console import show_table
from clocksvc.cli.main import main
from clocksvc.cli.wait import _WaitNotes
from clocksvc.cli.words import OUTCOMES, REASONS, WAITS_FOR
from clocksvc.client.exchange import ServiceResponse
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import REJECTIONS, Partition
from clocksvc.clock.spec import HeartbeatSpec
from clocksvc.committed.rules import WaitsFor
from clocksvc.interfaces.schedulers import SchedulerAnnouncement
from tests.http_stub import HttpStub, Reply
from tests.unit.api.clock_fixture import NOON, TOPIC, ClockFixture, after, ticks
from tests.unit.api.running_service import RunningService, serving
from tests.unit.cli.conftest import Workspace
from tests.waiting import eventually

TOKEN = "a-token-of-sixteen-characters"


def test_status_of_all_clocks(served: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each clock, with aligned columns."""
    assert main(["status"]) == 0

    head, line, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["CLOCK", "TIME", "STATUS", "BEHIND", "PARTITIONS", "REJECTED", "LEADER"]
    assert line.split()[:3] == ["checkins", "2026-11-22T11:02:00Z", "catching_up"]
    assert line.split()[-3:] == ["2/2", "0", "host-1:4711"]
    assert head.index("STATUS") == line.index("catching_up")


def test_status_of_some_clocks(served: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its details below its name; as JSON in the form of all clocks."""
    assert main(["status", "checkins", "checkins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["status", "checkins", "checkins", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)

    assert [line.split()[0] for line in lines[:3]] == ["CLOCK", "checkins", "checkins"]
    assert lines.count("checkins:") == 2
    assert [clock["clock"] for clock in answer["clocks"]] == ["checkins", "checkins"]


def test_status_names_the_hold_and_the_slowest(
    served: RunningService, clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reason, start and partitions of the hold, as in the API."""
    named = tuple(Partition(TOPIC, number) for number in range(7))
    clock_fixture.publish_hold(
        Hold(Reason.PARTITION_BEHIND, named, "the slowest partition has not reached the next boundary")
    )
    clock_fixture.time.advance(1)

    assert main(["status", "checkins"]) == 0

    shown = capsys.readouterr().out
    assert "checkins: Partitions are behind (partition_behind). No tick since 2026-11-22T11:02:02Z.\n" in shown
    assert "\n  The slowest partition has not reached the next boundary.\n" in shown
    assert f"\n  Partitions: {TOPIC}:0, {TOPIC}:1, {TOPIC}:2, {TOPIC}:3, {TOPIC}:4 and 2 more.\n" in shown
    slowest = [line.split()[0] for line in shown[shown.index("SLOWEST") :].splitlines()[1:3]]
    assert slowest == [f"{TOPIC}:1", f"{TOPIC}:0"]


def test_status_where_nothing_is_known_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """Without tick, leader and reports it prints dashes, not zeros."""
    with serving(ClockFixture(led=False)) as served:
        assert main(["status", "--url", served.url, "checkins"]) == 0

    line = capsys.readouterr().out.splitlines()[1]
    assert re.split(" {2,}", line) == ["checkins", "no tick yet", "starting", "-", "0/0", "0", "-"]


def test_status_explains_the_delay_of_a_healthy_clock(
    served: RunningService, capsys: pytest.CaptureFixture[str]
) -> None:
    """In general for all clocks, and with the number for one."""
    assert main(["status"]) == 0
    assert "BEHIND is the age of the last tick. On a healthy clock" in capsys.readouterr().out
    assert main(["status", "checkins"]) == 0
    assert "BEHIND is the age of the last tick. Up to 2 min is normal for this clock: two intervals plus" in (
        capsys.readouterr().out
    )


def test_status_shows_the_schedules_of_a_clock(capsys: pytest.CaptureFixture[str]) -> None:
    """Their figures for a named clock; in each case what is wrong with them."""
    fixture = ClockFixture(schedules=2)
    fixture.report(NOON - 3_450, NOON - 3_455)
    fixture.publish(*ticks(3))
    with serving(fixture) as served:
        schedules = ["status", "--url", served.url, "checkins"]
        assert main(schedules) == 0
        assert "checkins: no scheduler runs its schedules. Start clocksvc scheduler." in capsys.readouterr().out

        known = {"schedules": 1_200, "unreadable": 0, "position_ms": (NOON - 3_480) * 1000, "due_per_minute": 40.0}
        stats = {0: known | {"missed": 3}, 1: known | {"missed": 0}}
        both = frozenset({0, 1})
        good = SchedulerAnnouncement("a:1 x", "http://a:8081", loaded=both, owned=both, stats=stats)
        fixture.schedulers.announce(good, 60_000, {})
        fixture.time.advance(1)
        assert main(schedules) == 0
        out = capsys.readouterr().out
        lines = out.splitlines()
        head = next(number for number, line in enumerate(lines) if line.startswith("SCHEDULES"))
        assert re.split(" {2,}", lines[head + 1]) == ["2,400", "2/2", "80", "3", "0", "2026-11-22T11:02:00Z"]
        assert "checkins: " not in out.replace("checkins: catches up", "")

        broken: dict[str, object] = {**known, "problem": "no answer from Kafka"}
        half: dict[int, dict[str, object]] = {0: broken, 1: {"offset": 1, "end": 4}}
        fixture.schedulers.announce(replace(good, owned=frozenset({0}), loaded=frozenset({0}), stats=half), 60_000, {})
        fixture.time.advance(1)
        assert main(schedules) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "checkins: no owner for 1 of 2 partitions of schedules. What is due there is sent once" in out
        assert "there is one. Loading: 25% read." in out
        assert "Schedules, partition 0 at a:1: no answer from Kafka" in out
        assert re.search(r"- 1/2 - - - - ", out)

        late = {number: known | {"unreadable": 1, "position_ms": (NOON - 3_900) * 1000} for number in (0, 1)}
        fixture.schedulers.announce(replace(good, stats=late), 60_000, {})
        fixture.time.advance(1)
        assert main(schedules) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "checkins: schedules are 7 min behind the clock." in out
        assert "checkins: 2 records are no valid schedules, and do not run." in out


def test_status_does_not_name_a_partition_twice(
    served: RunningService, clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The detail has it already."""
    named = Partition(TOPIC, 0)
    clock_fixture.publish_hold(Hold(Reason.PARTITION_BEHIND, (named,), f"not reported for more than 30 s: {named}"))
    clock_fixture.time.advance(1)
    assert main(["status"]) == 0

    shown = capsys.readouterr().out
    assert shown.count(str(named)) == 1
    assert f"\n  Not reported for more than 30 s: {named}.\n" in shown


def test_status_names_heartbeats_that_are_overdue(
    clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """During a hold: rounds that never came, and rounds that came once. Not if they are on time, or off."""
    clock_fixture.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 0),), "behind"))
    question = "One is due every 60 s: do celery -A clocksvc worker and beat run?"

    def shown() -> str:
        clock_fixture.time.advance(1)
        assert main(["status", "--url", served.url, "checkins"]) == 0
        return " ".join(capsys.readouterr().out.split())

    with serving(clock_fixture) as served:
        assert "heartbeats" not in shown()
    clock_fixture.view.spec = replace(clock_fixture.spec, heartbeat=HeartbeatSpec())
    with serving(clock_fixture) as served:
        assert f"No round of heartbeats has reached every partition yet. {question}" in shown()
        clock_fixture.store.count_heartbeats({"delivered": 2}, success=True)
        clock_fixture.time.advance(170)
        assert "heartbeats" not in shown()
        clock_fixture.time.advance(140)
        assert re.search(
            r"Last complete round of heartbeats 2026-11-22T12:00:0\dZ, 5 min ago\. " + re.escape(question), shown()
        )


def test_status_shows_rejected_reports(
    served: RunningService, clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their number in the table, a note if the clock does not hold, and the outcome of each partition."""
    clock_fixture.report(NOON, NOON + 7_200)
    clock_fixture.time.advance(1)
    assert main(["status", "checkins"]) == 0

    shown = capsys.readouterr().out
    head, line, *_ = shown.splitlines()
    assert line[head.index("REJECTED")] == "1"
    assert "checkins: the newest reports of 1 partitions were rejected." in shown
    assert "timestamp too far ahead (too_far_ahead)" in shown


def test_status_of_one_clock_shows_its_holds(
    served: RunningService, clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest one first, each with its beginning, its duration, its reason in words and its partitions."""
    assert main(["status", "checkins"]) == 0
    assert "No holds." in capsys.readouterr().out

    clock_fixture.time.set(NOON)
    clock_fixture.publish_hold(None)
    clock_fixture.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 1),), "behind"))
    clock_fixture.time.advance(200)
    clock_fixture.publish_hold(Hold(Reason.PAUSED, detail="paused by ann: a migration"))
    assert main(["status", "checkins"]) == 0

    shown = capsys.readouterr().out
    assert "\nHolds since 2026-11-22T12:00:00Z:\n" in shown
    lines = [re.split(" {2,}", line) for line in shown[shown.index("Holds since") :].splitlines()[1:]]
    assert lines == [
        ["BEGAN", "LASTED", "REASON"],
        ["2026-11-22T12:03:20Z", "until now", "An operator paused the clock (paused)"],
        ["2026-11-22T12:00:00Z", "3 min", f"Partitions are behind (partition_behind): {TOPIC}:1"],
    ]


def test_a_topic_can_not_write_to_the_terminal(
    served: RunningService, clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters are escaped."""
    clock_fixture.publish_hold(Hold(Reason.TOPIC_MISSING, detail="Kafka does not list \x1b[2J\x1b]0;owned\x07"))
    clock_fixture.time.advance(1)
    assert main(["status", "checkins"]) == 0

    assert "Kafka does not list \\x1b[2J\\x1b]0;owned\\x07." in capsys.readouterr().out


def test_the_command_line_and_the_page_have_the_same_words() -> None:
    """For every reason, every outcome of a rejected report, and everything that a partition can wait for."""
    script = Path("clocksvc/api/status/words.js").read_text(encoding="utf-8")
    for name, words in (("REASONS", REASONS), ("OUTCOMES", OUTCOMES), ("WAITS_FOR", WAITS_FOR)):
        block = script[script.index(f"const {name}") :].partition("};")[0]
        assert dict(re.findall(r'(\w+): "([^"]+)",', block)) == {str(code): text for code, text in words.items()}
    assert set(REASONS) == set(Reason)
    assert set(OUTCOMES) == REJECTIONS
    assert set(WAITS_FOR) == set(WaitsFor)


def test_status_as_json(served: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """The complete answer of the service, on one line."""
    assert main(["status", "--json"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert main(["status", "checkins", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)

    assert [clock["clock"] for clock in every["clocks"]] == ["checkins"]
    assert (one["timestamp_seconds"], one["partitions"]["known"]) == (NOON - 3_480, 2)


@pytest.mark.parametrize("command", [["status", "chekins"], ["wait", "chekins", "--until", "0"], ["tail", "chekins"]])
def test_unknown_clock(served: RunningService, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr and exit code 1, without retries."""
    assert main(command) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"clocksvc {command[0]}: ")
    assert "no clock 'chekins'" in captured.err
    assert captured.err.count("\n") == 1


def test_clock_names_are_checked(served: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid name is not sent to the service as part of a path."""
    assert main(["status", "../livez"]) == 1

    assert "CLOCK: '../livez' is not valid" in capsys.readouterr().err


def test_no_service_answers(unused_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the address and what to do, without the `repr` of an object."""
    assert main(["status", "--url", unused_url]) == 1

    assert capsys.readouterr().err == (
        f"clocksvc status: no clocksvc answers at {unused_url}: connection refused; start it with `clocksvc serve`, or "
        "set its address with --url or CLOCKSVC_URL\n"
    )


def test_token_comes_by_environment(
    clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not as an argument, which all users of the machine can read; an error does not show it."""
    monkeypatch.delenv("CLOCKSVC_TOKEN", raising=False)
    with serving(clock_fixture, tokens=[Token("ops", TOKEN, frozenset({Scope.READ}))]) as served:
        assert main(["status", "--url", served.url]) == 1
        assert capsys.readouterr().err.endswith("(status 401); set CLOCKSVC_TOKEN to one of the service's tokens\n")
        monkeypatch.setenv("CLOCKSVC_TOKEN", TOKEN.replace("a", "b"))
        assert main(["wait", "checkins", "--until", "0", "--url", served.url]) == 1
        assert TOKEN.replace("a", "b") not in capsys.readouterr().err
        monkeypatch.setenv("CLOCKSVC_TOKEN", TOKEN)
        assert main(["status", "--url", served.url]) == 0


@pytest.mark.parametrize("until", ["2026-11-22T11:02:00Z", "2026-11-22T12:02:00+01:00", str(NOON - 3_480)])
def test_wait_for_a_time_that_is_reached(
    served: RunningService, until: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0 at once, and the tick."""
    assert main(["wait", "checkins", "--until", until]) == 0
    assert "everything before 2026-11-22T11:02:00Z is processed" in capsys.readouterr().out

    assert main(["wait", "checkins", "--until", until, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["time"] == "2026-11-22T11:02:00Z"


def test_wait_rounds_up(served: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """A fraction of a millisecond after the last tick is not reached."""
    assert main(["wait", "checkins", "--until", f"{NOON - 3_480}.0001", "--timeout", "0"]) == 3


def test_wait_for_a_time_that_is_not_reached(
    served: RunningService, clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 after the time-out, with the reason; as JSON with state and holders."""
    clock_fixture.publish_hold(Hold(Reason.PARTITION_BEHIND, detail="check that a consumer reads them"))
    clock_fixture.time.advance(1)

    assert main(["wait", "checkins", "--until", "2026-11-22T11:03:00Z", "--timeout", "0"]) == 3
    shown = capsys.readouterr().err
    assert "has not reached 2026-11-22T11:03:00Z: holding, partition_behind since 2026-11-22T11:02:02Z: check " in shown

    assert main(["wait", "checkins", "--until", "2026-11-22T11:03:00Z", "--timeout", "200ms", "--json"]) == 3
    problem = json.loads(capsys.readouterr().out)
    assert problem["state"]["hold"]["reason"] == "partition_behind"
    assert [holder["partition"] for holder in problem["holders"]] == [1, 0]


def test_wait_gives_a_reason_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer at the end of the timeout usually has the same one."""
    notes = _WaitNotes()
    state = {"status": "holding", "hold": {"reason": "partition_behind"}}
    answer = ServiceResponse(409, {"detail": "partition 3 is behind", "state": state})
    notes.print(answer)
    notes.print_end(answer)
    notes.print_end(ServiceResponse(409, {"detail": "partition 4 is behind", "state": state}))
    assert capsys.readouterr().err.splitlines() == [
        "clocksvc wait: waiting: partition 3 is behind",
        "clocksvc wait: the timeout is over",
        "clocksvc wait: partition 4 is behind",
    ]


def test_wait_until_it_is_reached(
    served: RunningService, clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with the tick, not with the time-out."""
    codes: list[int] = []
    waiting = threading.Thread(
        target=lambda: codes.append(main(["wait", "checkins", "--until", "2026-11-22T11:02:30Z", "--timeout", "1m"]))
    )
    waiting.start()
    clock_fixture.publish(*after(ticks(3)[-1]))
    waiting.join(20)

    assert codes == [0]
    assert "(tick 2026-11-22T11:03:00Z)" in capsys.readouterr().out


def test_wait_retries_while_no_service_answers(
    clock_fixture: ClockFixture, unused_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No answer until the time-out is an error, not "not reached"."""
    assert main(["wait", "checkins", "--until", "0", "--timeout", "300ms", "--url", unused_url]) == 1

    shown = capsys.readouterr().err.splitlines()
    assert shown[0].endswith("or set its address with --url or CLOCKSVC_URL; trying again")
    assert shown[-1].endswith("or set its address with --url or CLOCKSVC_URL")


class _AnswersAll(http.server.BaseHTTPRequestHandler):
    """Answers every request with 200 and `body`."""

    body = b"<html>Please log in</html>"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", json.dumps(ticks(1)[0].to_wire()).encode(), b"[]"])
@pytest.mark.parametrize("command", [["status"], ["wait", "checkins", "--until", str(NOON), "--timeout", "0"]])
def test_another_server_is_not_believed(command: list[str], body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy's page with status 200 is not a tick: no job may start because of it."""
    with http.server.HTTPServer(("127.0.0.1", 0), type("Answers", (_AnswersAll,), {"body": body})) as server:
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
    """A missing argument is 2; for an invalid value the error names field, value and what would be right."""
    assert main(["wait", "checkins", *arguments]) == code

    assert words in capsys.readouterr().err


@pytest.fixture
def workspace(tmp_path: Path, served: RunningService) -> Iterator[Workspace]:
    """Runs commands as child processes that call the service."""
    workspace = Workspace(tmp_path, "", "", "unused")
    yield workspace
    workspace.close()


def lines(workspace: Workspace) -> list[str]:
    """The lines printed so far."""
    return workspace.output().splitlines()


def test_tail_from_a_tick_on(workspace: Workspace, clock_fixture: ClockFixture) -> None:
    """All ticks after T, then new ones, each once and in order."""
    workspace.start("tail", "checkins", "--after", "2026-11-22T11:00:00Z", "--json")
    eventually(lambda: len(lines(workspace)) == 2, within=20, what="the kept ticks")

    clock_fixture.publish(*after(ticks(3)[-1], 2))

    eventually(lambda: len(lines(workspace)) == 4, within=20, what="the new ticks")
    assert [json.loads(line)["time"][11:16] for line in lines(workspace)] == ["11:01", "11:02", "11:03", "11:04"]


def test_tail_for_people(workspace: Workspace, clock_fixture: ClockFixture) -> None:
    """Time of emission, the tick, and its delay."""
    workspace.start("tail", "checkins", "--after", "2026-11-22T11:01:00Z")

    eventually(lambda: lines(workspace), within=20, what="a tick")

    assert lines(workspace) == ["2026-11-22T11:02:02Z  tick 2026-11-22T11:02:00Z  2.0 s after it"]


def test_tail_after_a_tick_that_is_no_longer_kept(
    clock_fixture: ClockFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that says how to begin with the oldest kept tick; no tick is skipped."""
    clock_fixture.have(after(ticks(3)[-1], 2))

    with serving(clock_fixture) as served:
        assert main(["tail", "checkins", "--after", "2026-11-22T10:00:00Z", "--url", served.url]) == 1

    shown = capsys.readouterr().err
    assert "ticks after 2026-11-22T10:00:00Z are no longer stored" in shown
    assert (
        "The oldest stored tick is 2026-11-22T11:03:00Z. To begin with this tick, use --after 2026-11-22T11:02:00Z"
        in shown
    )


def test_tail_reports_a_lost_connection(workspace: Workspace, unused_url: str) -> None:
    """If no service answers, it reports that once on stderr and retries."""
    child = workspace.start("tail", "checkins", "--url", unused_url)

    eventually(lambda: "reconnecting" in workspace.output(), within=20, what="a word")

    assert child.poll() is None
    assert lines(workspace) == [
        "clocksvc tail: stream of clock checkins lost, it resumes with the next tick: no clocksvc answers at "
        f"{unused_url}: connection refused; start it with `clocksvc serve`, or set its address with --url or "
        "CLOCKSVC_URL; reconnecting"
    ]


def test_tail_reports_that_it_is_connected_again(workspace: Workspace) -> None:
    """It reports once that the stream is back, before a tick comes; an error has no `repr` of an object."""
    cut = threading.Event()
    state = f"event: state\ndata: {{}}\nid: {NOON}\n\n".encode()

    def stream() -> Iterator[bytes]:
        yield state
        cut.wait(20)

    replies = [Reply(parts=[state], cut=True), Reply(parts=[b""], cut=True), Reply(parts=stream())]
    with HttpStub(lambda _: replies.pop(0)) as stub:
        child = workspace.start("tail", "checkins", "--url", stub.url)
        eventually(lambda: "connected again" in workspace.output(), within=20, what="a word")
        child.kill()
        child.wait(10)
        cut.set()

        assert lines(workspace) == [
            "clocksvc tail: stream of clock checkins lost, it resumes after 2026-11-22T12:00:00Z: the clocksvc service "
            f"at {stub.url} does not answer: connection lost; reconnecting",
            "clocksvc tail: connected again",
        ]


def test_a_terminal_gets_lines_that_fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The last column of a table is wrapped in its column, and names stay in one piece. A pipe gets whole lines."""
    topic = f"{'a-very-long-topic-name-' * 4}:0"
    rows = [("BEGAN", "REASON"), ("12:00:00", f"Partitions are behind (partition_behind): {topic} and {topic}")]
    monkeypatch.setenv("COLUMNS", "60")
    show_table(rows)
    piped = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    show_table(rows)
    shown = capsys.readouterr().out.splitlines()

    assert piped == ["BEGAN     REASON", f"12:00:00  {rows[1][1]}"]
    assert shown == [
        "BEGAN     REASON",
        "12:00:00  Partitions are behind (partition_behind):",
        f"          {topic}",
        "          and",
        f"          {topic}",
    ]
