"""Exclude, include, pause and resume over HTTP: their responses, and that an uncertain outcome is reported as such."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.api import leader_requests
from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.request import Request, RequestResult, ResultKind
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.time import SystemTime
from clocksvc.service import request_sender
from tests.unit.api.clock_fixture import TOKEN, TOPIC, AnsweringStore, ClockFixture
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name

ONE = "/v1/clocks/checkins"
WHY = "Festplatte tot, INC-4711 \U0001f62d"
DEAD = {"topic": TOPIC, "partition": 1, "reason": WHY}
SAID = {"by": "anonymous", "at": "2026-11-22T12:00:01Z", "reason": WHY}
EXCLUDED = {"topic": TOPIC, "partition": 1, **SAID}
CALLS = [("POST", "exclusions", DEAD), ("DELETE", "exclusions", DEAD)]
CALLS += [("POST", "pause", {"reason": WHY}), ("POST", "resume", {"reason": WHY})]
ADMIN, READ, OTHERS = "admin-token-012345", "read-token-0123456", "others-token-01234"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests expire after 0.1 s."""
    monkeypatch.setattr(leader_requests, "EXPIRES_MS", 100)
    monkeypatch.setattr(request_sender, "EXTRA_WAIT_S", 0.1)


def ask(client: TestClient, method: str, resource: str, body: Any, **how: Any) -> httpx2.Response:
    """Send one request."""
    return client.request(method, f"{ONE}/{resource}", json=body, **how)


def test_exclude_and_include(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The response and the clock's state have who excluded the partition, when and why; `include` reverts it."""
    answer = ask(client, "POST", "exclusions", DEAD)

    assert answer.status_code == 200
    assert answer.json() == {"clock": "checkins", "exclusions": [EXCLUDED], "pause": None}
    state = client.get(ONE).json()
    assert (state["exclusions"], state["pause"]) == ([EXCLUDED], None)
    assert state["partitions"] == {"known": 0, "unknown": 1, "excluded": 1, "rejected": 0}
    again = ask(client, "POST", "exclusions", DEAD | {"reason": "another"})
    assert again.json() == answer.json()

    answer = ask(client, "DELETE", "exclusions", DEAD)
    assert (answer.status_code, answer.json()["exclusions"]) == (200, [])
    assert client.get(ONE).json()["exclusions"] == []
    assert ask(client, "DELETE", "exclusions", DEAD).status_code == 200


def test_pause_and_resume(client: TestClient) -> None:
    """The response and the clock's state have who paused the clock, when and why; `resume` reverts it."""
    answer = ask(client, "POST", "pause", {"reason": f"  {WHY} "})

    assert answer.json() == {"clock": "checkins", "exclusions": [], "pause": SAID}
    assert client.get(ONE).json()["pause"] == SAID
    assert ask(client, "POST", "resume", {"reason": "done"}).json()["pause"] is None
    assert client.get(ONE).json()["pause"] is None


def test_what_is_in_force_is_null_safe(clock_fixture: ClockFixture, client: TestClient) -> None:
    """While the store is empty or does not answer, exclusions are empty and the pause is null."""
    ask(client, "POST", "exclusions", DEAD)
    ask(client, "POST", "pause", {"reason": WHY})
    clock_fixture.server.wipe()
    clock_fixture.read()
    assert [client.get(ONE).json()[name] for name in ("exclusions", "pause")] == [[], None]
    clock_fixture.server.broken = True
    clock_fixture.read()

    state = client.get(ONE).json()

    assert (state["exclusions"], state["pause"], state["partitions"]["excluded"]) == ([], None, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"partition": 2}, "partition"),
        ({"topic": "elsewhere"}, "topic"),
        ({"reason": ""}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"reason": 7}, "reason"),
        ({"partition": "1"}, "partition"),
        ({"until": "Monday"}, "until"),
    ],
)
def test_a_refusal_names_field_value_and_what_would_be_right(
    client: TestClient, change: dict[str, Any], field: str
) -> None:
    """422 with the field, from the API and from the leader."""
    answer = ask(client, "POST", "exclusions", DEAD | change)

    assert problem_name(answer) == "invalid-request"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["wanted"]
    assert client.get(ONE).json()["exclusions"] == []


@pytest.mark.parametrize(("method", "resource", "body"), CALLS)
def test_only_admins_may(client_of: ClientOf, method: str, resource: str, body: Any) -> None:
    """The token needs the scope `admin` for this clock; `by` is its name."""
    clock_fixture, other = ClockFixture(), ClockFixture("payments")
    tokens = [
        Token("ops", ADMIN, frozenset({Scope.ADMIN})),
        Token("grafana", READ, frozenset({Scope.READ, Scope.REPORT})),
        Token("payments-ops", OTHERS, frozenset({Scope.ADMIN}), frozenset({"payments"})),
    ]
    client = client_of(clock_fixture, other, tokens=tokens)

    def status(token: str) -> int:
        return ask(client, method, resource, body, headers={"Authorization": f"Bearer {token}"}).status_code

    assert [status(READ), status(OTHERS), status("unknown-0123456789")] == [403, 403, 401]
    assert clock_fixture.store.snapshot().exclusions == ()
    assert status(ADMIN) == 200
    overrides = [*clock_fixture.store.snapshot().exclusions, clock_fixture.store.snapshot().pause]
    assert {one.by for one in overrides if one is not None} <= {"ops"}


@pytest.mark.parametrize(("method", "resource", "body"), CALLS)
def test_without_a_leader_the_answer_comes_at_once(
    clock_fixture: ClockFixture, client: TestClient, method: str, resource: str, body: Any
) -> None:
    """Without a leader nothing changes, and no request is left in the store."""
    clock_fixture.leases.release(TOKEN)

    answer = ask(client, method, resource, body)

    assert problem_name(answer) == "not-done"
    assert "no process leads clock 'checkins'; nothing has changed" in answer.json()["detail"]
    assert clock_fixture.server.content.clock("checkins").requests == {}


@pytest.mark.usefixtures("soon")
def test_a_leader_that_does_not_come_to_it(clock_fixture: ClockFixture, client: TestClient) -> None:
    """A request that the leader does not read is cancelled: nothing has changed, and nothing will."""
    clock_fixture.store.answers = False

    answer = ask(client, "POST", "exclusions", DEAD)

    assert problem_name(answer) == "not-done"
    assert "nothing has changed" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "1"
    assert clock_fixture.store.read_requests() == ()


def test_a_store_that_hangs_meanwhile_holds_no_other_client_up(clock_fixture: ClockFixture, client: TestClient) -> None:
    """`invalidate` may wait for a reader of the store: it must run in a thread, not on the event loop."""
    look, on_the_loop = clock_fixture.view.invalidate, []

    def watched() -> None:
        with suppress(RuntimeError):
            on_the_loop.append(asyncio.get_running_loop())
        look()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock_fixture.view, "invalidate", watched)
        assert ask(client, "POST", "pause", {"reason": WHY}).status_code == 200

    assert on_the_loop == []
    assert client.get(ONE).json()["pause"] == SAID


class Seeing(AnsweringStore):
    """A store whose leader has read the request and never answers, or only after an attempt to cancel it."""

    late: RequestResult | None = None

    def submit_request(self, request: Request) -> bool:
        self.answers = False
        left = super().submit_request(request)
        self.read_requests()
        return left

    def cancel_request(self, request_id: str) -> bool:
        withdrawn = super().cancel_request(request_id)
        if self.late is not None:
            self.write_request_results(TOKEN, {request_id: self.late}, 60_000)
        return withdrawn


def seeing(clock_fixture: ClockFixture) -> Seeing:
    """Replace the fixture's store with such a store."""
    store = Seeing("checkins", clock_fixture.time, server=clock_fixture.server)
    clock_fixture.view.store = store
    return store


@pytest.mark.usefixtures("soon")
def test_a_leader_that_has_seen_it_and_is_not_heard_of(clock_fixture: ClockFixture, client: TestClient) -> None:
    """504: the outcome is not known; the detail names where to look."""
    seeing(clock_fixture)

    answer = ask(client, "POST", "exclusions", DEAD)

    assert (answer.status_code, problem_name(answer)) == (504, "outcome-unknown")
    assert "GET /v1/clocks/checkins" in answer.json()["detail"]
    assert "nothing has changed" not in answer.text


@pytest.mark.usefixtures("soon")
def test_an_answer_at_the_last_moment_counts(clock_fixture: ClockFixture, client: TestClient) -> None:
    """A request that a leader has read is waited for a little longer."""
    seeing(clock_fixture).late = RequestResult(ResultKind.DONE)

    assert ask(client, "POST", "exclusions", DEAD).status_code == 200


def test_what_the_leader_could_not_do(clock_fixture: ClockFixture, client: TestClient) -> None:
    """503 with the reason if the leader answers `not_done`, for example because Kafka takes no records."""
    store = seeing(clock_fixture)
    leave = store.submit_request

    def leave_and_fail(request: Request) -> bool:
        left = leave(request)
        store.write_request_results(
            TOKEN, {request.id: RequestResult(ResultKind.NOT_DONE, detail="no broker answers")}, 60_000
        )
        return left

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "submit_request", leave_and_fail)
        answer = ask(client, "POST", "pause", {"reason": WHY})

    assert problem_name(answer) == "not-done"
    assert "no broker answers; nothing has changed" in answer.json()["detail"]


@pytest.mark.usefixtures("soon")
def test_a_store_that_is_emptied_on_the_way(clock_fixture: ClockFixture, client: TestClient) -> None:
    """After an outage of the store the outcome is not known: the leader may have done it before."""
    clock_fixture.store.answers = False
    leave = clock_fixture.store.submit_request

    def leave_and_lose(request: Request) -> bool:
        left = leave(request)
        clock_fixture.server.wipe()
        return left

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock_fixture.store, "submit_request", leave_and_lose)
        assert problem_name(ask(client, "POST", "pause", {"reason": WHY})) == "outcome-unknown"


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("lands", "name"), [(True, "not-done"), (False, "outcome-unknown")])
def test_a_store_that_does_not_say_whether_it_took_it(
    clock_fixture: ClockFixture, client: TestClient, lands: bool, name: str
) -> None:
    """A request in the store can be cancelled; one that may still arrive there can't."""
    clock_fixture.store.answers = False
    leave = clock_fixture.store.submit_request

    def fail(request: Request) -> bool:
        if lands:
            leave(request)
        raise StoreUnavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock_fixture.store, "submit_request", fail)
        assert problem_name(ask(client, "POST", "pause", {"reason": WHY})) == name


def test_too_many_wait(clock_fixture: ClockFixture, client: TestClient) -> None:
    """503 `not-done` if too many requests wait; none is added."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock_fixture.store, "submit_request", lambda _: False)
        answer = ask(client, "POST", "pause", {"reason": WHY})

    assert problem_name(answer) == "not-done"
    assert "too many requests" in answer.json()["detail"]


@pytest.fixture
def ending(clock_fixture: ClockFixture, client: TestClient) -> Iterator[TestClient]:
    """A client of a service that shuts down as soon as a request waits."""
    clock_fixture.store.answers = False
    leave = clock_fixture.store.submit_request

    def leave_and_end(request: Request) -> bool:
        left = leave(request)
        threading.Thread(target=client.app.state.closing.set).start()  # type: ignore[attr-defined]
        return left

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock_fixture.store, "submit_request", leave_and_end)
        yield client


def test_a_replica_that_shuts_down_cancels_requests(ending: TestClient, clock_fixture: ClockFixture) -> None:
    """At shutdown the request is cancelled long before it expires: nothing has changed."""
    monotonic = SystemTime().monotonic
    began = monotonic()
    answer = ask(ending, "POST", "pause", {"reason": WHY})

    assert monotonic() - began < leader_requests.EXPIRES_MS / 2_000
    assert problem_name(answer) == "not-done"
    assert "this replica shuts down; nothing has changed" in answer.json()["detail"]
    assert clock_fixture.server.content.clock("checkins").requests == {}
