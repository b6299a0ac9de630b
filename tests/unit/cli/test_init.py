"""`clocksvc init` with a leader that answers, rejects, fails, or is silent. Without servers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clocksvc.cli import init
from clocksvc.cli.main import main
from clocksvc.clock.first_tick import FIELD
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.leases import Announcement
from clocksvc.service import bootstrap, request_sender
from tests.unit.api.clock_fixture import NOON, TOKEN, ClockFixture

Captured = pytest.CaptureFixture[str]
ELEVEN = NOON - 3_600
LATER = str(ELEVEN)
SIXTY = (
    "checkins: 2026-11-22T11:00:00Z is 60 min in the past: 60 ticks follow at once when every partition has reached "
    "them. If that is wrong, run `clocksvc pause checkins` at once: until the next tick, init can be "
    "repeated with another time\n"
)
CONFIG = "clocks: {checkins: {topics: [ingest-checkins], group: checkins-consumer}}"


class Leader:
    """Reads each request when it is submitted, and answers with `result`; with None it only reads it."""

    def __init__(self, fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        self.result: RequestResult | None = RequestResult(ResultKind.DONE)
        self.reads = True
        self.requests: list[Request] = []
        self.started: list[str] = []
        self._fixture = fixture
        self._submit = fixture.store.submit_request
        fixture.store.answers = False
        monkeypatch.setattr(fixture.store, "submit_request", self._submitted)
        monkeypatch.setattr(bootstrap, "open_store", lambda *_: fixture.store)
        monkeypatch.setattr(bootstrap, "open_store_server", lambda _: fixture.server)
        monkeypatch.setattr(bootstrap, "leading", self._leading)

    def _submitted(self, request: Request) -> bool:
        left = self._submit(request)
        self.requests.append(request)
        if self.reads:
            self._fixture.store.read_requests()
        if self.result is not None:
            self._fixture.store.write_request_results(TOKEN, {request.id: self.result}, 60_000)
        return left

    @contextmanager
    def _leading(self, _: Any, clock: str, __: Any) -> Iterator[None]:
        self.started.append(clock)
        self._fixture.lead()
        try:
            yield
        finally:
            self._fixture.leases.release(TOKEN)
            self.started.append("left")


@pytest.fixture
def leader(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> Leader:
    """The leader of the clock. A request expires after 0.1 s."""
    monkeypatch.setattr(init, "_EXPIRES_MS", 100)
    monkeypatch.setattr(request_sender, "EXTRA_WAIT_S", 0.1)
    return Leader(clock_fixture, monkeypatch)


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    """The arguments that name the configuration."""
    (tmp_path / "clocksvc.yaml").write_text(CONFIG)
    return ["--config", str(tmp_path / "clocksvc.yaml")]


@pytest.fixture
def clock_fixture() -> ClockFixture:
    """A clock with a leader, without ticks."""
    return ClockFixture()


def test_the_leader_does_it(leader: Leader, config: list[str], capsys: Captured) -> None:
    """The request has the time, and the output the next tick. No other leader is started."""
    assert main(["init", "checkins", "--last-tick", LATER, "--json", *config]) == 0

    (request,) = leader.requests
    assert (request.kind, request.last_tick_ms) == (RequestKind.INIT, ELEVEN * 1000)
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "clock": "checkins",
        "last_tick": to_rfc3339(ELEVEN * 1000),
        "next_tick": to_rfc3339((ELEVEN + 60) * 1000),
        "skipped": None,
    }
    assert (leader.started, shown.err) == ([], SIXTY)


def test_the_ticks_that_follow_are_shown(leader: Leader, config: list[str], capsys: Captured) -> None:
    """Before the request is sent, with what to do if the time is wrong. Not if at most one tick is due."""
    leader.result = None
    assert main(["init", "checkins", "--last-tick", LATER, *config]) == 1
    assert capsys.readouterr().err.startswith(SIXTY)

    leader.result = RequestResult(ResultKind.DONE)
    assert main(["init", "checkins", "--last-tick", str(NOON - 60), *config]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_skipped_is_shown(leader: Leader, config: list[str], capsys: Captured) -> None:
    """The request allows it, and has the operator's reason."""
    skipped = "10 boundaries, from 2026-11-22T10:51:00Z to 2026-11-22T11:00:00Z,"
    leader.result = RequestResult(ResultKind.DONE, detail=skipped)

    assert main(["init", "checkins", "--last-tick", LATER, "--skip-ticks", "--reason", "INC-7", *config]) == 0

    (request,) = leader.requests
    assert (request.skip_ticks, request.reason) == (True, "INC-7")
    assert f"skipped {skipped} which are never emitted; subscribers before" in capsys.readouterr().out


def test_without_a_leader_it_leads_until_it_is_done(
    leader: Leader, clock_fixture: ClockFixture, config: list[str], capsys: Captured
) -> None:
    """It prints this on stderr, and releases the lease."""
    clock_fixture.leases.release(TOKEN)

    assert main(["init", "checkins", "--last-tick", LATER, *config]) == 0

    shown = capsys.readouterr()
    assert "no process leads clock 'checkins'" in shown.err
    assert "checkins: begins after 2026-11-22T11:00:00Z; the next tick is 2026-11-22T11:01:00Z" in shown.out
    assert leader.started == ["checkins", "left"]


@pytest.mark.parametrize(("known", "started"), [("checkins", []), ("other", ["checkins", "left"])])
def test_a_leader_that_does_not_know_the_clock_hands_over(
    leader: Leader, clock_fixture: ClockFixture, config: list[str], known: str, started: list[str], capsys: Captured
) -> None:
    """Before the replicas are restarted with a new clock, this command leads its log."""
    clock_fixture.leases.announce(Announcement("host-1:4711 1", {known: "digest"}, 0), 60_000, {"digest": "{}"})

    assert main(["init", "checkins", "--last-tick", LATER, *config]) == 0

    assert leader.started == started
    assert ("host-1:4711 leads the log of clock 'checkins' and does not know" in capsys.readouterr().err) is bool(
        started
    )


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            RequestResult(ResultKind.REJECTED, field=FIELD, value=LATER, wanted="wanted a clock without ticks"),
            f"--last-tick: '{LATER}' is not valid: wanted a clock without ticks",
        ),
        (RequestResult(ResultKind.NOT_DONE, detail="no broker answers"), "no broker answers; nothing has changed"),
    ],
)
def test_the_leaders_reason_is_shown(
    leader: Leader, config: list[str], result: RequestResult, words: str, capsys: Captured
) -> None:
    """Exit code 1."""
    leader.result = result

    assert main(["init", "checkins", "--last-tick", LATER, *config]) == 1

    assert words in capsys.readouterr().err


@pytest.mark.parametrize("reads", [False, True])
def test_a_silent_leader(
    leader: Leader, clock_fixture: ClockFixture, config: list[str], reads: bool, capsys: Captured
) -> None:
    """If it has read the request, the outcome is not known; otherwise nothing has changed. The hold is shown."""
    leader.result, leader.reads = None, reads
    clock_fixture.publish_hold(Hold(Reason.TICKLOG_UNAVAILABLE, detail="no broker answers"))

    assert main(["init", "checkins", "--last-tick", LATER, *config]) == 1

    shown = capsys.readouterr().err
    assert "the clock holds, ticklog_unavailable: no broker answers" in shown
    assert ("the outcome is not known" in shown) is reads
    assert ("nothing has changed" in shown) is not reads


@pytest.mark.parametrize(
    ("time", "words"),
    [(str(ELEVEN + 1), "multiple of the interval"), ("4000000020", "not in the future"), ("soon", "--last-tick")],
)
def test_a_time_that_can_not_be_right_needs_no_leader(
    leader: Leader, clock_fixture: ClockFixture, config: list[str], time: str, words: str, capsys: Captured
) -> None:
    """No request is sent, and no leader started."""
    clock_fixture.leases.release(TOKEN)

    assert main(["init", "checkins", "--last-tick", time, *config]) == 1

    assert words in capsys.readouterr().err
    assert (leader.requests, leader.started) == ([], [])


def test_a_store_that_does_not_answer(
    leader: Leader, clock_fixture: ClockFixture, config: list[str], capsys: Captured
) -> None:
    """Exit code 1, and no leader is started."""
    clock_fixture.server.broken = True

    assert main(["init", "checkins", "--last-tick", LATER, *config]) == 1

    assert str(StoreUnavailable()) in capsys.readouterr().err
    assert leader.started == []
