"""Schedules over HTTP: write, read, delete and list them."""

import json
import threading
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.api import local_schedules
from clocksvc.errors import (
    Fenced,
    NotOwner,
    OutcomeUnknown,
    RecordRejected,
    SchedulesUnavailable,
    TableUnavailable,
)
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.schedule_fixture import PATH, ScheduleFixture
from tests.waiting import eventually

ONE = f"{PATH}/monitor-1"
CHECK = {"interval": "60s", "task": "uptime.check"}


@pytest.fixture
def schedules() -> ScheduleFixture:
    """The schedules of the clock."""
    return ScheduleFixture()


@pytest.fixture
def client(clock_fixture: ClockFixture, client_of: ClientOf, schedules: ScheduleFixture) -> TestClient:
    """A client of the clock with these schedules."""
    clock_fixture.read()
    return client_of(clock_fixture, access={"checkins": schedules.access})


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The one invalid field of a response."""
    assert problem_name(response) == "invalid-request"
    (error,) = response.json()["errors"]
    return dict(error)


def test_write_read_and_delete(client: TestClient, schedules: ScheduleFixture) -> None:
    """A schedule is read as it was written, with its ETag and the time of its creation, until it is deleted."""
    put = client.put(ONE, json={**CHECK, "payload": {"url": "https://example.com"}})
    got = client.get(ONE)
    partition = put.json()["partition"]

    assert put.json() == {
        "clock": "checkins",
        "id": "monitor-1",
        "partition": partition,
        "offset": 0,
        "etag": put.headers["etag"],
        "created_at": "2026-11-22T12:00:00Z",
    }
    assert got.json() == {
        "id": "monitor-1",
        "created_at": "2026-11-22T12:00:00Z",
        **CHECK,
        "payload": {"url": "https://example.com"},
    }
    assert got.headers["etag"] == put.headers["etag"]
    assert client.head(ONE).headers["etag"] == put.headers["etag"]
    assert schedules.partitions[partition].owned.written[0][0] == b"monitor-1"

    deleted = client.delete(ONE)
    assert deleted.json() == {"clock": "checkins", "id": "monitor-1", "partition": partition, "offset": 1}
    assert problem_name(client.get(ONE)) == "unknown-schedule"
    assert problem_name(client.delete(ONE)) == "unknown-schedule"
    assert schedules.partitions[partition].owned.written[1:] == [(b"monitor-1", None)]


def test_a_write_can_be_repeated(client: TestClient, schedules: ScheduleFixture) -> None:
    """PUT is idempotent, and keeps the time of creation; what was read can be written as it is."""
    first = client.put(ONE, json=CHECK)
    schedules.time.advance(100)

    again = client.put(ONE, json=CHECK)
    read = client.put(ONE, content=client.get(ONE).content, headers={"Content-Type": "application/json"})

    assert again.json()["etag"] == read.json()["etag"] == first.json()["etag"]
    assert read.json()["created_at"] == "2026-11-22T12:00:00Z"
    assert [first.json()["offset"], again.json()["offset"], read.json()["offset"]] == [0, 1, 2]


def test_a_schedule_that_is_moved_keeps_its_age(client: TestClient) -> None:
    """`created_at` counts for a new id alone, and not if it is in the future."""
    assert client.put(ONE, json={**CHECK, "created_at": "2020-01-01T00:00:00Z"}).json()["created_at"] == (
        "2020-01-01T00:00:00Z"
    )
    assert client.put(ONE, json={**CHECK, "created_at": "2021-01-01T00:00:00Z"}).json()["created_at"] == (
        "2020-01-01T00:00:00Z"
    )
    error = error_of(client.put(f"{PATH}/new", json={**CHECK, "created_at": "2026-11-22T12:02:00Z"}))
    assert error["field"] == "created_at"


def test_two_writers_do_not_overwrite_each_other(client: TestClient) -> None:
    """If-Match with an ETag that is not the present one is 412, which has the present one; nothing has changed."""
    old = client.put(ONE, json=CHECK).headers["etag"]
    new = client.put(ONE, json={**CHECK, "paused": True}, headers={"If-Match": f'"x", {old}'}).headers["etag"]

    for response in (
        client.put(ONE, json=CHECK, headers={"If-Match": old}),
        client.delete(ONE, headers={"If-Match": old}),
        client.put(ONE, json=CHECK, headers={"If-Match": f"W/{new}"}),
        client.put(ONE, json=CHECK, headers={"If-None-Match": "*"}),
    ):
        assert problem_name(response) == "precondition-failed"
        assert response.json()["etag"] == new
        assert "nothing has changed" in response.json()["detail"]
    assert client.get(ONE).headers["etag"] == new
    assert client.delete(ONE, headers={"If-Match": new}).status_code == 200


def test_conditions_on_what_does_not_exist(client: TestClient) -> None:
    """If-Match fails without a schedule, also for DELETE; If-None-Match creates one."""
    for condition in ("*", '"5f0c38d6a1b2e497"'):
        for response in (
            client.put(ONE, json=CHECK, headers={"If-Match": condition}),
            client.delete(ONE, headers={"If-Match": condition}),
        ):
            assert problem_name(response) == "precondition-failed"
            assert response.json()["etag"] is None
    assert client.put(ONE, json=CHECK, headers={"If-None-Match": "*"}).status_code == 200
    assert client.put(ONE, json=CHECK, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize(
    ("header", "value"), [("If-Match", "5f0c"), ("If-Match", '"a" "b"'), ("If-Match", ""), ("If-None-Match", '"a"')]
)
def test_a_condition_that_is_not_valid_is_no_condition(client: TestClient, header: str, value: str) -> None:
    """422, so that no write happens without the check that the writer wanted."""
    assert error_of(client.put(ONE, json=CHECK, headers={header: value}))["field"] == header
    assert client.get(ONE).status_code == 404


@pytest.mark.parametrize(
    ("change", "field", "wanted"),
    [
        ({"interval": "61s"}, "interval", "wanted a multiple of the clock's interval, 60 s"),
        ({"interval": None}, "interval", "wanted either interval or cron"),
        ({"cron": "0 2 * * *"}, "interval", "wanted either interval or cron"),
        ({"task": "check"}, "task", "wanted a namespace and a name"),
        ({"payload": "x" * 65_537}, "payload", "wanted at most 65,536 bytes"),
        ({"every": "60s"}, "every", "there is no such field"),
        ({"timezone": "Europe/Berlin"}, "timezone", "wanted only with cron"),
        ({"catch_up": "none"}, "catch_up", "wanted 'all' or 'last'"),
        ({"id": "monitor-2"}, "id", "wanted 'monitor-1', as in the path, or no id"),
    ],
)
def test_what_is_not_valid_is_named(client: TestClient, change: dict[str, Any], field: str, wanted: str) -> None:
    """422 has the field, its value, and what would be right. Nothing is written."""
    error = error_of(client.put(ONE, json={**CHECK, **change}))

    assert error["field"] == field
    assert wanted in error["wanted"]
    assert client.get(ONE).status_code == 404


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"interval": None}, "interval: null is not valid: wanted either interval or cron"),
        ({"interval": True}, "interval: true is not valid: wanted a duration"),
    ],
)
def test_the_detail_has_values_in_json(client: TestClient, change: dict[str, Any], detail: str) -> None:
    """Not in Python's words."""
    assert detail in client.put(ONE, json={**CHECK, **change}).json()["detail"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"interval"', b'{"task": "\xff"}', b"7"])
def test_a_body_that_is_no_object_is_named(client: TestClient, body: bytes) -> None:
    """422 for the body."""
    error = error_of(client.put(ONE, content=body, headers={"Content-Type": "application/json"}))

    assert error["field"] == "body"


@pytest.mark.parametrize("schedule_id", ["a%20b", "x" * 65, "missed%20runs", "%C3%A9", "_position"])
def test_ids(client: TestClient, schedule_id: str) -> None:
    """Ids have 1 to 64 characters of a small set; a valid one may have every character of it."""
    for response in (
        client.get(f"{PATH}/{schedule_id}"),
        client.put(f"{PATH}/{schedule_id}", json=CHECK),
        client.delete(f"{PATH}/{schedule_id}"),
    ):
        assert error_of(response)["field"] == "id"
    assert client.put(f"{PATH}/aA0._:-", json=CHECK).json()["id"] == "aA0._:-"


def test_the_form_of_a_body(client: TestClient) -> None:
    """Another media type is 415, and more than a mebibyte 413."""
    assert problem_name(client.put(ONE, content=b"{}", headers={"Content-Type": "text/yaml"})) == (
        "unsupported-media-type"
    )
    large = client.put(ONE, content=b" " * (1024 * 1024 + 1), headers={"Content-Type": "application/json"})
    assert problem_name(large) == "body-too-large"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotOwner(), "not_owner"),
        (Fenced(), "not_owner"),
        (SchedulesUnavailable("no broker answers"), "kafka"),
        (TableUnavailable("no broker answers"), "kafka"),
    ],
)
def test_what_can_not_be_done_now(
    client: TestClient, schedules: ScheduleFixture, error: Exception, reason: str
) -> None:
    """503 with Retry-After: nothing has changed."""
    schedules.fail(error)  # type: ignore[arg-type]
    for response in (client.put(ONE, json=CHECK), client.get(ONE), client.delete(ONE), client.get(PATH)):
        assert problem_name(response) == "schedules-unavailable"
        assert response.json()["reason"] == reason
        assert response.headers["retry-after"] == "1"
        assert "nothing has changed, and it is safe to send the request again" in response.json()["detail"]


def test_a_partition_that_does_not_come_to_it(
    client: TestClient, schedules: ScheduleFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that waited too long is cancelled: 503, and it is not done later. If it has begun, 504."""
    monkeypatch.setattr(local_schedules, "CALL_TIMEOUT_S", 0.1)
    partition = schedules.partition_of("monitor-1")
    partition.is_busy = True
    responses = [client.put(ONE, json=CHECK), client.get(ONE)]
    partition.run()

    for response in responses:
        assert (problem_name(response), response.json()["reason"]) == ("schedules-unavailable", "kafka")
        assert "has not answered within" in response.json()["detail"]
    assert partition.owned.written == []

    partition.is_busy, acknowledged = False, threading.Event()
    monkeypatch.setattr(partition.owned, "read_to_end", acknowledged.wait)

    def begin() -> None:
        eventually(lambda: partition.calls == 3, what="the request to come")
        partition.run()

    thread = threading.Thread(target=begin)
    thread.start()
    partition.is_busy = True
    begun = client.put(ONE, json=CHECK)
    acknowledged.set()
    thread.join(10)
    assert (begun.status_code, problem_name(begun)) == (504, "outcome-unknown")
    assert len(partition.owned.written) == 1


def test_an_unknown_outcome_is_no_failure(client: TestClient, schedules: ScheduleFixture) -> None:
    """504: the schedule may have been written, and it is safe to repeat the request."""
    for partition in schedules.partitions.values():
        partition.owned.after_write = OutcomeUnknown()

    response = client.put(ONE, json=CHECK)

    assert (response.status_code, problem_name(response)) == (504, "outcome-unknown")
    assert response.headers["retry-after"] == "1"
    assert "It may have been written" in response.json()["detail"]
    assert "safe to send the request again" in response.json()["detail"]


def test_a_record_that_kafka_rejects(client: TestClient, schedules: ScheduleFixture) -> None:
    """422: it would be rejected again."""
    schedules.fail(RecordRejected([b"monitor-1"], "message too large"))

    assert "message too large" in error_of(client.put(ONE, json=CHECK))["wanted"]


def test_pages_over_all_partitions(client: TestClient) -> None:
    """In the order of ids, each once, of all partitions; by prefix, and from an id on."""
    ids = [f"eu:{number:03}" for number in range(40)] + [f"us:{number}" for number in range(5)]
    for schedule_id in reversed(ids):
        client.put(f"{PATH}/{schedule_id}", json=CHECK)

    def pages(**params: Any) -> list[str]:
        found: list[str] = []
        after: str | None = None
        while True:
            page = client.get(PATH, params={**params, **({} if after is None else {"after": after})}).json()
            assert len(page["schedules"]) <= int(params.get("limit", 100))
            assert len(page["schedules"]) == len(page["etags"])
            found += [one["id"] for one in page["schedules"]]
            after = page["next"]
            if after is None:
                return found
            assert after == found[-1]

    assert pages() == pages(limit=7) == pages(limit=1000) == ids
    assert pages(prefix="us:", limit=2) == ids[40:]
    assert pages(prefix="none") == []
    by_partition = [pages(partitions=numbers) for numbers in ("0", "1,2", "3")]
    assert sorted(schedule_id for page in by_partition for schedule_id in page) == ids
    assert all(by_partition)


def test_the_etags_of_a_page(client: TestClient) -> None:
    """They are those of the schedules."""
    for number in range(3):
        client.put(f"{PATH}/m{number}", json={**CHECK, "payload": number})

    page = client.get(PATH).json()

    assert page["etags"] == [client.get(f"{PATH}/m{number}").headers["etag"] for number in range(3)]


def test_a_page_has_a_maximum_size(client: TestClient) -> None:
    """A page of large schedules ends early, and `next` continues it."""
    for number in range(9):
        client.put(f"{PATH}/m{number}", json={**CHECK, "payload": "x" * 60_000})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clocksvc.api.local_schedules.MAX_PAGE_BYTES", 150_000)
        page = client.get(PATH, params={"limit": 9}).json()
        rest = client.get(PATH, params={"limit": 9, "after": page["next"]}).json()

    assert [one["id"] for one in page["schedules"]] == ["m0", "m1", "m2"]
    assert rest["schedules"][0]["id"] == "m3"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"partitions": "4"}, "partitions"),
        ({"partitions": "a"}, "partitions"),
        ({"prefix": "x" * 65}, "prefix"),
        ({"page": 1}, "page"),
    ],
)
def test_parameters(client: TestClient, params: dict[str, Any], field: str) -> None:
    """422 names the parameter."""
    assert error_of(client.get(PATH, params=params))["field"] == field


def test_clocks_without_schedules(clock_fixture: ClockFixture, client_of: ClientOf) -> None:
    """404, which differs from an unknown clock, and names the setting."""
    client = client_of(clock_fixture)

    response = client.put(ONE, json=CHECK)

    assert problem_name(response) == "no-schedules"
    assert "clocks.checkins.schedules" in response.json()["detail"]
    assert problem_name(client.get("/v1/clocks/nosuch/schedules")) == "unknown-clock"


def test_an_export_can_be_imported(client: TestClient, schedules: ScheduleFixture, client_of: ClientOf) -> None:
    """All schedules, sorted, one in a line; the import of the export has the same schedules, of the same age."""
    for number in range(30):
        client.put(f"{PATH}/m{number:02}", json={**CHECK, "payload": {"number": number}})
    exported = client.get(PATH, headers={"Accept": "application/x-ndjson"})
    schedules.time.advance(1000)
    other, other_clock = ScheduleFixture(), ClockFixture()
    other_client = client_of(other_clock, access={"checkins": other.access})

    imported = other_client.post(PATH, content=exported.content, headers={"Content-Type": "application/x-ndjson"})

    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [one["id"] for one in lines] == [f"m{number:02}" for number in range(30)]
    assert exported.headers["content-type"] == "application/x-ndjson"
    assert {json.loads(line)["status"] for line in imported.text.splitlines()} == {200}
    again = other_client.get(PATH, headers={"Accept": "application/x-ndjson"})
    assert again.content == exported.content
    some = client.get(PATH, headers={"Accept": "application/x-ndjson"}, params={"prefix": "m1", "limit": 3})
    assert [json.loads(line)["id"] for line in some.text.splitlines()] == ["m10", "m11", "m12"]
