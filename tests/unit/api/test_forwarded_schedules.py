"""Schedules of a service that owns none of them: requests reach the owners with the token of the caller."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.api.tokens import Scope, Token
from clocksvc.errors import OutcomeUnknown
from clocksvc.interfaces.schedule_topics import partition_of
from tests.http_stub import Asked, HttpStub, Reply
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.schedule_fixture import PARTITIONS, PATH, ScheduleFixture

CHECK = {"interval": "60s", "task": "uptime.check"}
NDJSON = {"Content-Type": "application/x-ndjson"}
EXPORT = {"Accept": "application/x-ndjson"}


def an_id(partition: int) -> str:
    """An id in a partition."""
    return next(f"m{n}" for n in range(100) if partition_of(b"m%d" % n, PARTITIONS) == partition)


@pytest.fixture
def schedules() -> ScheduleFixture:
    """Four partitions."""
    return ScheduleFixture()


@pytest.fixture
def client(clock_fixture: ClockFixture, client_of: ClientOf, schedules: ScheduleFixture) -> TestClient:
    """A client of a service that owns none of them."""
    return client_of(clock_fixture, access={"checkins": schedules.forwarded()})


@pytest.fixture
def two(schedules: ScheduleFixture) -> Iterator[None]:
    """Two processes own two partitions each."""
    with schedules.scheduler(0, 2), schedules.scheduler(1, 3):
        yield


@pytest.mark.usefixtures("two")
def test_each_request_reaches_the_owner(client: TestClient, schedules: ScheduleFixture) -> None:
    """Write, read, compare and delete in each partition; responses are those of the owner."""
    for partition in range(PARTITIONS):
        one = f"{PATH}/{an_id(partition)}"
        put = client.put(one, json=CHECK)
        assert put.json()["partition"] == partition
        assert schedules.partitions[partition].owned.written[0][0].decode() == an_id(partition)
        assert client.get(one).headers["etag"] == put.headers["etag"] == put.json()["etag"]
        assert problem_name(client.put(one, json=CHECK, headers={"If-None-Match": "*"})) == "precondition-failed"
        assert problem_name(client.put(one, json={**CHECK, "interval": "61s"})) == "invalid-request"
        assert client.delete(one, headers={"If-Match": put.headers["etag"]}).status_code == 200
        assert problem_name(client.get(one)) == "unknown-schedule"


@pytest.mark.usefixtures("two")
def test_lists_and_exports_have_all_partitions(client: TestClient) -> None:
    """In the order of ids, each once; pages and the export have the same."""
    ids = sorted(f"m{number}" for number in range(60))
    lines = b"".join(json.dumps({"id": one, **CHECK}).encode() + b"\n" for one in ids)
    results = [json.loads(line) for line in client.post(PATH, content=lines, headers=NDJSON).text.splitlines()]
    assert [one["id"] for one in results] == ids
    assert {one["status"] for one in results} == {200}
    assert {one["partition"] for one in results} == set(range(PARTITIONS))

    page = client.get(PATH, params={"limit": 50}).json()
    rest = client.get(PATH, params={"limit": 50, "after": page["next"]}).json()

    assert [one["id"] for one in page["schedules"] + rest["schedules"]] == ids
    assert rest["next"] is None
    exported = [json.loads(line)["id"] for line in client.get(PATH, headers=EXPORT).text.splitlines()]
    assert exported == ids
    assert client.get(f"{PATH}/missed-runs").json() == {"missed_runs": [], "next": None}


def test_without_an_owner_nothing_happens(client: TestClient, schedules: ScheduleFixture) -> None:
    """503 with Retry-After for a partition without an owner; the others work, and lines of an import, too."""
    with schedules.scheduler(0):
        assert client.put(f"{PATH}/{an_id(0)}", json=CHECK).status_code == 200
        response = client.put(f"{PATH}/{an_id(1)}", json=CHECK)
        lines = b"".join(json.dumps({"id": an_id(one), **CHECK}).encode() + b"\n" for one in (1, 0))
        failed, written = map(json.loads, client.post(PATH, content=lines, headers=NDJSON).text.splitlines())
        listed = client.get(PATH)

    assert problem_name(response) == "schedules-unavailable"
    assert response.headers["retry-after"] == "1"
    assert response.json()["reason"] == "no_owner"
    assert "partition 1 of the schedules of clock 'checkins' has no ready owner" in response.json()["detail"]
    assert (failed["line"], failed["status"], failed["reason"]) == (1, 503, "no_owner")
    assert (written["line"], written["status"]) == (2, 200)
    assert problem_name(listed) == "schedules-unavailable"


def test_a_new_owner_is_found_at_once(client: TestClient, schedules: ScheduleFixture) -> None:
    """If the known owner has ended, the request is sent to the present one."""
    one = f"{PATH}/{an_id(0)}"
    requests: list[Callable[[], httpx2.Response]] = [
        lambda: client.get(one),
        lambda: client.put(one, json=CHECK),
        lambda: client.get(PATH),
        lambda: client.get(f"{PATH}/missed-runs"),
    ]
    for request in requests:
        with schedules.scheduler(0, 1, 2, 3):
            schedules.time.advance(2)
            assert client.put(one, json=CHECK).status_code == 200
        with schedules.scheduler(0, 1, 2, 3):
            assert request().status_code == 200


def test_an_owner_that_is_none_any_more(client: TestClient, schedules: ScheduleFixture) -> None:
    """A process that was fenced answers that it is not the owner: the request is sent again after a look-up."""
    one = an_id(0)
    with schedules.scheduler(1, 2, 3) as former, schedules.scheduler(0) as owner:
        schedules.announce(former, 0, 1, 2, 3)
        schedules.announce(owner)
        response = client.put(f"{PATH}/{one}", json=CHECK)
        assert (problem_name(response), response.json()["reason"]) == ("schedules-unavailable", "not_owner")
        line = json.dumps({"id": one, **CHECK}).encode()
        result = json.loads(client.post(PATH, content=line, headers=NDJSON).content)
        assert (result["status"], result["reason"]) == (503, "not_owner")
        schedules.announce(former, 1, 2, 3)
        schedules.announce(owner, 0)

        assert json.loads(client.post(PATH, content=line, headers=NDJSON).content)["status"] == 200
        assert client.put(f"{PATH}/{one}", json=CHECK).json()["offset"] == 1


def test_a_request_that_may_have_been_written_is_not_repeated(client: TestClient, schedules: ScheduleFixture) -> None:
    """504 from the owner, or a connection that breaks off: the outcome is not known, and the request is sent once."""
    one = f"{PATH}/{an_id(0)}"
    with schedules.scheduler(0):
        schedules.partitions[0].owned.after_write = OutcomeUnknown()
        assert problem_name(client.put(one, json=CHECK)) == "outcome-unknown"
        assert len(schedules.partitions[0].owned.written) == 1

    with HttpStub(lambda asked: Reply(parts=[b"x"], cut=True)) as stub:
        schedules.announce(stub.url, 0)
        schedules.time.advance(2)
        response = client.put(one, json=CHECK)
        line = json.loads(client.post(PATH, content=json.dumps({"id": an_id(0), **CHECK}), headers=NDJSON).content)
        read = client.get(one)

    assert (response.status_code, problem_name(response)) == (504, "outcome-unknown")
    assert "It may have been written" in response.json()["detail"]
    assert line["status"] == 504
    assert problem_name(read) == "schedules-unavailable"
    assert [asked.method for asked in stub.asked] == ["PUT", "POST", "GET"]


def test_while_the_store_is_down_the_last_known_owners_count(client: TestClient, schedules: ScheduleFixture) -> None:
    """They work on. A service that never knew them answers 503."""
    one = f"{PATH}/{an_id(0)}"
    with schedules.scheduler(0):
        schedules.server.broken = True
        unknown = client.get(one)
        schedules.server.broken = False
        client.put(one, json=CHECK)
        schedules.server.broken = True
        schedules.time.advance(60)
        known = client.get(one)
        schedules.server.broken = False

    assert problem_name(unknown) == "store-unavailable"
    assert known.status_code == 200


def test_the_store_is_asked_at_most_once_a_second(client: TestClient, schedules: ScheduleFixture) -> None:
    """Owners are looked up in what the store returned within the last second."""
    reads = []
    read = schedules.schedulers.read
    schedules.schedulers.read = lambda: reads.append(1) or read()  # type: ignore[method-assign,func-returns-value]
    with schedules.scheduler(0):
        for _ in range(5):
            client.put(f"{PATH}/{an_id(0)}", json=CHECK)
        assert len(reads) == 1
        schedules.time.advance(1.5)
        client.put(f"{PATH}/{an_id(0)}", json=CHECK)
    assert len(reads) == 2


ALL, READ, OTHER = "schedule-token-0123", "read-token-01234567", "other-token-0123456"
TOKENS = [
    Token("product", ALL, frozenset({Scope.SCHEDULE}), frozenset({"checkins"})),
    Token("grafana", READ, frozenset({Scope.READ})),
    Token("other", OTHER, frozenset({Scope.SCHEDULE}), frozenset({"payments"})),
]


def test_the_owner_gets_the_token_of_the_caller_and_no_other_header(
    clock_fixture: ClockFixture, client_of: ClientOf, schedules: ScheduleFixture
) -> None:
    """It checks it again. Without the scope, no request is sent; redirects are not followed."""

    def redirect(asked: Asked) -> Reply:
        return Reply(302, {}, headers={"Location": f"{stub.url}/stolen", "Content-Type": "application/json"})

    with HttpStub(redirect) as stub:
        schedules.announce(stub.url, 0)
        client = client_of(clock_fixture, tokens=TOKENS, access={"checkins": schedules.forwarded()})
        sent = {"Cookie": "secret", "X-Forwarded-For": "10.0.0.1", "Host": "testserver"}

        def ask(token: str) -> Any:
            headers = {**sent, "Authorization": f"Bearer {token}"}
            return client.put(f"{PATH}/{an_id(0)}", json=CHECK, headers=headers)

        assert [problem_name(ask(token)) for token in (READ, OTHER, "unknown-0123456789")] == (
            ["forbidden", "forbidden", "unauthenticated"]
        )
        assert stub.asked == []
        assert problem_name(ask(ALL)) == "outcome-unknown"

    (asked,) = stub.asked
    assert (asked.method, asked.path, asked.body) == ("PUT", f"{PATH}/{an_id(0)}", CHECK)
    assert set(asked.headers) == {
        *("host", "connection", "accept-encoding", "user-agent", "accept", "content-type", "content-length"),
        "authorization",
    }
    assert asked.headers["authorization"] == f"Bearer {ALL}"


def test_an_owner_with_other_tokens(
    clock_fixture: ClockFixture, client_of: ClientOf, schedules: ScheduleFixture
) -> None:
    """The owner's rejection is passed on."""
    with schedules.scheduler(0, 1, 2, 3, tokens=TOKENS[1:]):
        client = client_of(clock_fixture, tokens=TOKENS, token=ALL, access={"checkins": schedules.forwarded()})

        assert problem_name(client.put(f"{PATH}/{an_id(0)}", json=CHECK)) == "unauthenticated"
        assert problem_name(client.get(PATH)) == "unauthenticated"
