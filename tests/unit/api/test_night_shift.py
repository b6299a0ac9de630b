"""Exclude, include, pause, resume by HTTP: what is answered, and what is never claimed."""

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
from tests.unit.api.bed import (
    TOKEN,
    TOPIC,
    AnsweringStore,
    Bed,
)
from tests.unit.api.conftest import ClientOf
from tests.unit.api.contract import problem_name

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
    """Requests that last a tenth of a second."""
    monkeypatch.setattr(leader_requests, "EXPIRES_MS", 100)
    monkeypatch.setattr(leader_requests, "EXTRA_WAIT_S", 0.1)


def ask(client: TestClient, method: str, resource: str, body: Any, **how: Any) -> httpx2.Response:
    """One request."""
    return client.request(method, f"{ONE}/{resource}", json=body, **how)


def test_exclude_and_include(bed: Bed, client: TestClient) -> None:
    """The answer, and the clock's state at once, say who excluded it, when and why; include takes it back."""
    answer = ask(client, "POST", "exclusions", DEAD)

    assert answer.status_code == 200
    assert answer.json() == {"clock": "checkins", "exclusions": [EXCLUDED], "pause": None}
    state = client.get(ONE).json()
    assert (state["exclusions"], state["pause"]) == ([EXCLUDED], None)
    assert state["partitions"] == {"known": 0, "unknown": 1, "excluded": 1}
    again = ask(client, "POST", "exclusions", DEAD | {"reason": "another"})
    assert again.json() == answer.json()

    answer = ask(client, "DELETE", "exclusions", DEAD)
    assert (answer.status_code, answer.json()["exclusions"]) == (200, [])
    assert client.get(ONE).json()["exclusions"] == []
    assert ask(client, "DELETE", "exclusions", DEAD).status_code == 200


def test_pause_and_resume(client: TestClient) -> None:
    """The same for a pause."""
    answer = ask(client, "POST", "pause", {"reason": f"  {WHY} "})

    assert answer.json() == {"clock": "checkins", "exclusions": [], "pause": SAID}
    assert client.get(ONE).json()["pause"] == SAID
    assert ask(client, "POST", "resume", {"reason": "done"}).json()["pause"] is None
    assert client.get(ONE).json()["pause"] is None


def test_what_is_in_force_is_null_safe(bed: Bed, client: TestClient) -> None:
    """In a store that is emptied, or does not answer, nothing is known to be excluded or paused."""
    ask(client, "POST", "exclusions", DEAD)
    ask(client, "POST", "pause", {"reason": WHY})
    bed.store.wipe()
    bed.read()
    assert [client.get(ONE).json()[name] for name in ("exclusions", "pause")] == [[], None]
    bed.store.broken = True
    bed.read()

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
    """Whether the API or the leader refuses it."""
    answer = ask(client, "POST", "exclusions", DEAD | change)

    assert problem_name(answer) == "invalid-request"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["wanted"]
    assert client.get(ONE).json()["exclusions"] == []


@pytest.mark.parametrize(("method", "resource", "body"), CALLS)
def test_only_admins_may(client_of: ClientOf, method: str, resource: str, body: Any) -> None:
    """Of this clock; `by` is the token's name."""
    bed, other = Bed(), Bed("payments")
    tokens = [
        Token("ops", ADMIN, frozenset({Scope.ADMIN})),
        Token("grafana", READ, frozenset({Scope.READ, Scope.REPORT})),
        Token("payments-ops", OTHERS, frozenset({Scope.ADMIN}), frozenset({"payments"})),
    ]
    client = client_of(bed, other, tokens=tokens)

    def status(token: str) -> int:
        return ask(client, method, resource, body, headers={"Authorization": f"Bearer {token}"}).status_code

    assert [status(READ), status(OTHERS), status("nobody-0123456789")] == [403, 403, 401]
    assert bed.store.snapshot().exclusions == ()
    assert status(ADMIN) == 200
    said = [*bed.store.snapshot().exclusions, bed.store.snapshot().pause]
    assert {one.by for one in said if one is not None} <= {"ops"}


@pytest.mark.parametrize(("method", "resource", "body"), CALLS)
def test_without_a_leader_the_answer_comes_at_once(
    bed: Bed, client: TestClient, method: str, resource: str, body: Any
) -> None:
    """Nothing has changed, and nothing is left that could change anything later."""
    bed.store.release_lease(TOKEN)

    answer = ask(client, method, resource, body)

    assert problem_name(answer) == "not-done"
    assert "no process leads clock 'checkins': nothing has changed" in answer.json()["detail"]
    assert bed.store.copy_state().requests == {}


@pytest.mark.usefixtures("soon")
def test_a_leader_that_does_not_come_to_it(bed: Bed, client: TestClient) -> None:
    """The request is withdrawn: nothing has changed, and never will."""
    bed.store.answers = False

    answer = ask(client, "POST", "exclusions", DEAD)

    assert problem_name(answer) == "not-done"
    assert "nothing has changed" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "1"
    assert bed.store.read_progress(TOKEN, 60_000).requests == ()


def test_a_store_that_hangs_meanwhile_holds_no_other_client_up(bed: Bed, client: TestClient) -> None:
    """Whoever reads the clock's state may wait for the store at that moment: an answer never waits for that on the
    event loop, which belongs to all clients and clocks."""
    look, on_the_loop = bed.view.invalidate, []

    def watched() -> None:
        with suppress(RuntimeError):
            on_the_loop.append(asyncio.get_running_loop())
        look()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bed.view, "invalidate", watched)
        assert ask(client, "POST", "pause", {"reason": WHY}).status_code == 200

    assert on_the_loop == []
    assert client.get(ONE).json()["pause"] == SAID


class Seeing(AnsweringStore):
    """A store whose leader has seen the request, and is not heard of again; or only when it is asked to withdraw."""

    late: RequestResult | None = None

    def submit_request(self, request: Request) -> bool:
        self.answers = False
        left = super().submit_request(request)
        self.read_progress(TOKEN, 60_000)
        return left

    def cancel_request(self, request_id: str) -> bool:
        withdrawn = super().cancel_request(request_id)
        if self.late is not None:
            self.write_request_results(TOKEN, {request_id: self.late}, 60_000)
        return withdrawn


def seeing(bed: Bed) -> Seeing:
    """Put such a store in the place of the bed's."""
    store = Seeing("checkins", bed.time)
    store.restore(bed.store.copy_state())
    bed.view.store = store
    return store


@pytest.mark.usefixtures("soon")
def test_a_leader_that_has_seen_it_and_is_not_heard_of(bed: Bed, client: TestClient) -> None:
    """Nobody knows what becomes of it: the answer says so, and how to look."""
    seeing(bed)

    answer = ask(client, "POST", "exclusions", DEAD)

    assert (answer.status_code, problem_name(answer)) == (504, "outcome-unknown")
    assert "GET /v1/clocks/checkins" in answer.json()["detail"]
    assert "nothing has changed" not in answer.text


@pytest.mark.usefixtures("soon")
def test_an_answer_at_the_last_moment_counts(bed: Bed, client: TestClient) -> None:
    """What a leader has seen is waited for a little longer."""
    seeing(bed).late = RequestResult(ResultKind.DONE)

    assert ask(client, "POST", "exclusions", DEAD).status_code == 200


def test_what_the_leader_could_not_do(bed: Bed, client: TestClient) -> None:
    """The tick log takes no record, say: nothing has changed, and why, at once."""
    store = seeing(bed)
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
    assert "no broker answers: nothing has changed" in answer.json()["detail"]


@pytest.mark.usefixtures("soon")
def test_a_store_that_is_emptied_on_the_way(bed: Bed, client: TestClient) -> None:
    """The leader may have done it before: nothing is claimed."""
    bed.store.answers = False
    leave = bed.store.submit_request

    def leave_and_lose(request: Request) -> bool:
        left = leave(request)
        bed.store.wipe()
        return left

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bed.store, "submit_request", leave_and_lose)
        assert problem_name(ask(client, "POST", "pause", {"reason": WHY})) == "outcome-unknown"


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("lands", "name"), [(True, "not-done"), (False, "outcome-unknown")])
def test_a_store_that_does_not_say_whether_it_took_it(bed: Bed, client: TestClient, lands: bool, name: str) -> None:
    """What it has can be withdrawn; what it may still get can't."""
    bed.store.answers = False
    leave = bed.store.submit_request

    def fail(request: Request) -> bool:
        if lands:
            leave(request)
        raise StoreUnavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bed.store, "submit_request", fail)
        assert problem_name(ask(client, "POST", "pause", {"reason": WHY})) == name


def test_too_many_wait(bed: Bed, client: TestClient) -> None:
    """Nothing is left then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bed.store, "submit_request", lambda _: False)
        answer = ask(client, "POST", "pause", {"reason": WHY})

    assert problem_name(answer) == "not-done"
    assert "too many requests" in answer.json()["detail"]


@pytest.fixture
def ending(bed: Bed, client: TestClient) -> Iterator[TestClient]:
    """A service that ends as soon as a request waits."""
    bed.store.answers = False
    leave = bed.store.submit_request

    def leave_and_end(request: Request) -> bool:
        left = leave(request)
        threading.Thread(target=client.app.state.closing.set).start()  # type: ignore[attr-defined]
        return left

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bed.store, "submit_request", leave_and_end)
        yield client


def test_a_replica_that_ends_keeps_nobody_waiting(ending: TestClient, bed: Bed) -> None:
    """It takes the request back, long before it expires, and says that nothing has changed."""
    monotonic = SystemTime().monotonic
    began = monotonic()
    answer = ask(ending, "POST", "pause", {"reason": WHY})

    assert monotonic() - began < leader_requests.EXPIRES_MS / 2_000
    assert problem_name(answer) == "not-done"
    assert "this replica shuts down: nothing has changed" in answer.json()["detail"]
    assert bed.store.copy_state().requests == {}
