"""An import of schedules: a result for each line, in their order, in bounded memory."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.api import schedule_import, schedules, server
from clocksvc.api.schedule_access import LineResult
from clocksvc.api.schedule_import import MAX_LINE_BYTES, PART_LINES, LineReader, Results, parts_of
from clocksvc.api.server import Connection
from clocksvc.errors import NotOwner, OutcomeUnknown, SchedulesUnavailable
from clocksvc.interfaces.schedule_topics import partition_of
from tests.system.docs.blocks import blocks
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.running_service import RunningService, serving
from tests.unit.api.schedule_fixture import PARTITIONS, PATH, ScheduleFixture
from tests.waiting import eventually

CHECK = {"interval": "60s", "task": "uptime.check"}
NDJSON = {"Content-Type": "application/x-ndjson"}
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n"


@pytest.fixture
def fixture() -> ScheduleFixture:
    """Four partitions."""
    return ScheduleFixture()


@pytest.fixture
def client(clock_fixture: ClockFixture, client_of: ClientOf, fixture: ScheduleFixture) -> TestClient:
    """A client of the clock with these schedules."""
    return client_of(clock_fixture, access={"checkins": fixture.access})


def line(schedule_id: Any, **more: Any) -> bytes:
    """A line."""
    return json.dumps({"id": schedule_id, **CHECK, **more}).encode() + b"\n"


def results(response: httpx2.Response) -> list[dict[str, Any]]:
    """The results of an import."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(text) for text in response.text.splitlines()]


def test_lines_can_delete(client: TestClient) -> None:
    """With partition and offset; a schedule that is not there, too. Nothing else may be in such a line."""
    client.post(PATH, content=line("a") + line("b"), headers=NDJSON)
    body = b'{"id":"a","deleted":true}\n{"id":"never","deleted":true}\n{"id":"b","deleted":false}\n' + line(
        "b", deleted=True
    )

    found = results(client.post(PATH, content=body, headers=NDJSON))

    assert [(one["id"], one["status"], "etag" in one) for one in found[:2]] == [
        ("a", 200, False),
        ("never", 200, False),
    ]
    assert {"partition", "offset"} <= set(found[0]) & set(found[1])
    assert [(one["status"], one["errors"][0]["field"]) for one in found[2:]] == [(422, "deleted")] * 2
    assert [one["id"] for one in client.get(PATH).json()["schedules"]] == ["b"]


def test_each_line_has_a_result(client: TestClient) -> None:
    """In their order, with their numbers; a line that fails stops no other one, and says what would be right."""
    body = b"".join(
        (
            line("a"),
            b"\n",
            b"  \r\n",
            line("b", interval="61s"),
            b"not json\n",
            line("c d"),
            json.dumps(CHECK).encode() + b"\n",
            line("e", payload="x" * MAX_LINE_BYTES),
            line("missed-runs"),
            line("f", id=7),
            line("g").strip(),
        )
    )

    found = results(client.post(PATH, content=body, headers=NDJSON))

    assert [(one["line"], one["id"], one["status"]) for one in found] == [
        (1, "a", 200),
        (4, "b", 422),
        (5, None, 422),
        (6, "c d", 422),
        (7, None, 422),
        (8, None, 422),
        (9, "missed-runs", 422),
        (10, 7, 422),
        (11, "g", 200),
    ]
    assert set(found[0]) == {"line", "id", "status", "partition", "offset", "etag"}
    assert found[1]["type"] == "urn:clocksvc:problem:invalid-request"
    assert "wanted a multiple of the clock's interval, 60 s" in found[1]["detail"]
    fields = [one["errors"][0]["field"] for one in found if one["status"] == 422]
    assert fields == ["interval", "body", "id", "id", "body", "id", "id"]
    assert found[0]["etag"] == client.get(f"{PATH}/a").headers["etag"]


def test_the_documented_results(client: TestClient) -> None:
    """The results in docs/http.md are those of such lines."""
    (block,) = (one for one in blocks("docs/http.md", "json") if one.name == "results")

    found = results(client.post(PATH, content=line("monitor-1") + line("monitor-2", catch_up="none"), headers=NDJSON))

    written, failed = map(json.loads, block.text.splitlines())
    assert found[1] == failed
    assert list(found[0]) == list(written)
    assert (found[0]["line"], found[0]["id"], found[0]["status"]) == (1, "monitor-1", 200)


def test_lines_with_one_id(client: TestClient) -> None:
    """The last one counts."""
    found = results(client.post(PATH, content=line("a", payload=1) + line("b") + line("a", payload=2), headers=NDJSON))

    assert [one["id"] for one in found] == ["a", "b", "a"]
    assert client.get(f"{PATH}/a").json()["payload"] == 2


def test_a_partition_writes_its_lines_in_one_transaction(client: TestClient, fixture: ScheduleFixture) -> None:
    """A million lines need few transactions."""
    body = b"".join(line(f"m{number}") for number in range(400))

    assert {one["status"] for one in results(client.post(PATH, content=body, headers=NDJSON))} == {200}
    assert [partition.calls for partition in fixture.partitions.values()] == [1] * PARTITIONS


@pytest.mark.parametrize(("error", "status"), [(SchedulesUnavailable(), 503), (OutcomeUnknown(), 504)])
def test_a_partition_that_fails(client: TestClient, fixture: ScheduleFixture, error: Exception, status: int) -> None:
    """Its lines have the problem; those of other partitions are written."""
    fixture.partitions[1].owned.after_write = error  # type: ignore[assignment]
    body = b"".join(line(f"m{number}") for number in range(40))

    for one in results(client.post(PATH, content=body, headers=NDJSON)):
        assert one["status"] == (status if partition_of(one["id"].encode(), PARTITIONS) == 1 else 200)


def test_an_empty_import(client: TestClient) -> None:
    """It has no results, also if it is larger than other bodies may be."""
    assert results(client.post(PATH, content=b"\n\n", headers=NDJSON)) == []
    assert results(client.post(PATH, content=b"\n" * (1024 * 1024 + 1), headers=NDJSON)) == []
    assert problem_name(client.post(PATH, json={})) == "unsupported-media-type"


def test_an_import_ends_early_if_the_replica_shuts_down(client: TestClient) -> None:
    """The last result has the first line that was not read."""
    client.app.state.closing.set()  # type: ignore[attr-defined]
    body = b"".join(line(f"m{number}") for number in range(PART_LINES + 5))

    *written, last = results(client.post(PATH, content=body, headers=NDJSON))

    assert [one["status"] for one in written] == [200] * PART_LINES
    assert (last["line"], last["id"], last["status"]) == (PART_LINES + 1, None, 503)
    assert last["type"] == "urn:clocksvc:problem:shutting-down"
    assert "this line and all after it were not read" in last["detail"]


def test_an_import_ends_early_if_its_results_are_too_large(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results are what is kept in memory."""
    monkeypatch.setattr(schedule_import, "MAX_RESULT_BYTES", 1_000)
    parts = 4
    body = b"".join(line(f"m{number}") for number in range(PART_LINES * parts))

    *written, last = results(client.post(PATH, content=body, headers=NDJSON))

    assert len(written) in [PART_LINES * number for number in range(1, parts)]
    assert (last["line"], last["status"]) == (len(written) + 1, 413)


def test_an_import_ends_early_if_a_partition_does_not_answer(client: TestClient, fixture: ScheduleFixture) -> None:
    """After three parts, each of which has waited for it. A partition without an owner costs no time."""
    body = b"".join(line(f"m{number}") for number in range(PART_LINES * 4))
    fixture.partitions[1].error = NotOwner()
    assert len(results(client.post(PATH, content=body, headers=NDJSON))) == PART_LINES * 4
    fixture.partitions[1].error = SchedulesUnavailable()

    *written, last = results(client.post(PATH, content=body, headers=NDJSON))

    assert len(written) == PART_LINES * 3
    assert {one["status"] for one in written} == {200, 503}
    assert (last["line"], last["id"], last["status"]) == (PART_LINES * 3 + 1, None, 503)
    assert "a partition does not answer: this line and all after it were not read" in last["detail"]


def test_large_imports_are_limited(client: TestClient) -> None:
    """429 before anything is written. An import of one part is not limited."""
    client.app.state.imports._most = 0  # type: ignore[attr-defined]
    body = b"".join(line(f"m{number}") for number in range(PART_LINES + 1))

    response = client.post(PATH, content=body, headers=NDJSON)

    assert problem_name(response) == "too-many-streams"
    assert "large imports" in response.json()["detail"]
    assert client.get(PATH).json()["schedules"] == []
    assert results(client.post(PATH, content=line("a"), headers=NDJSON))[0]["status"] == 200


@pytest.fixture
def service(clock_fixture: ClockFixture, fixture: ScheduleFixture) -> Iterator[RunningService]:
    """A running service with these schedules."""
    with serving(clock_fixture, access={"checkins": fixture.access}) as served:
        yield served


def test_a_body_of_any_size(service: RunningService, fixture: ScheduleFixture) -> None:
    """More than the limit of other bodies, in chunks, from a client that reads nothing before it has sent all."""
    count = 12_000

    def body() -> Iterator[bytes]:
        for number in range(0, count, 100):
            yield b"".join(line(f"m{one}", payload="x" * 100) for one in range(number, number + 100))

    with httpx2.Client(timeout=60) as client:
        found = results(client.post(service.url + PATH, content=body(), headers=NDJSON))

    assert [one["line"] for one in found] == list(range(1, count + 1))
    assert {one["status"] for one in found} == {200}
    assert sum(len(partition.owned.written) for partition in fixture.partitions.values()) == count
    assert max(partition.calls for partition in fixture.partitions.values()) == count // PART_LINES


def test_a_slow_client_is_not_an_idle_one(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import may take longer than the body of another request, while the client sends something."""
    monkeypatch.setattr(server, "BODY_TIMEOUT_S", 0.1)
    timeouts = []
    overdue = Connection._request_overdue

    def counted(self: Connection, timeout_s: float, received_before: int) -> None:
        timeouts.append(timeout_s)
        overdue(self, timeout_s, received_before)

    monkeypatch.setattr(Connection, "_request_overdue", counted)
    sent = line("a", payload="x" * 2_000)
    with socket.create_connection(("127.0.0.1", service.port), 20) as connection:
        connection.sendall(f"{HEAD}Connection: close\r\nContent-Length: {4 * len(sent)}\r\n\r\n".encode())
        eventually(lambda: service.server.server_state.tasks, what="the request to begin")
        for number in range(4):
            connection.sendall(sent)
            if number < 3:
                eventually(lambda number=number: len(timeouts) > number, what="the timeout to be over")  # type: ignore[misc]
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.count(b'"status":200') == 4

    with socket.create_connection(("127.0.0.1", service.port), 20) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n{{".encode())
        assert connection.recv(65_536) == b""  # the connection is closed


def test_a_client_that_goes_away(
    service: RunningService, fixture: ScheduleFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has sent is written up to the last complete part, and no error is logged."""
    body = b"".join(line(f"m{number}") for number in range(PART_LINES + 1))
    with socket.create_connection(("127.0.0.1", service.port), 20) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(body) + 10}\r\n\r\n".encode() + body)
        eventually(lambda: sum(one.calls for one in fixture.partitions.values()) == PARTITIONS, what="the first part")
    eventually(lambda: not service.server.server_state.tasks, what="the request to end")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_lines_in_any_chunks() -> None:
    """A line may begin and end anywhere in what is received; too long lines are dropped without being kept."""
    reader = LineReader()
    data = b"a\n\nbb\n" + b"x" * (MAX_LINE_BYTES + 10) + b"\nlast"
    found = [one for start in range(0, len(data), 7) for one in reader.feed(data[start : start + 7])]
    found += reader.feed(b"", end=True)

    assert [(one.number, one.text) for one in found] == [(1, b"a"), (3, b"bb"), (4, None), (5, b"last")]
    assert not list(reader.feed(b"y" * (MAX_LINE_BYTES + 1)))
    assert not list(reader.feed(b"y" * 50))
    assert [one.text for one in reader.feed(b"\nz\n")] == [None, b"z"]


def test_parts_are_bounded() -> None:
    """By their lines and by their bytes."""

    async def read(chunks: list[bytes]) -> list[tuple[int, bool]]:
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return [(len(lines), last) async for lines, last in parts_of(body())]

    assert asyncio.run(read([b"a\n" * 4_500])) == [(2_000, False), (2_000, False), (500, True)]
    assert asyncio.run(read([b"a\n" * 2_000])) == [(2_000, True)]
    assert asyncio.run(read([(b"x" * 100_000 + b"\n") * 20])) == [(11, False), (9, True)]
    assert asyncio.run(read([])) == [(0, True)]


def test_results_are_kept_compressed() -> None:
    """A million results fit in the memory that an import may use."""
    kept = Results()
    for number in range(20_000):
        members = f'"id":"{number:08x}-7b3e-4d1c-9a55-1f2e3d4c5b6a","status":200,"partition":3,"offset":{number}'
        kept.add(number, LineResult(members.encode()))

    assert kept.size < 20_000 * 20
    assert b"".join(kept.read()).count(b"\n") == 20_000
    assert schedules.LARGE_IMPORTS_PER_TOKEN * schedule_import.MAX_RESULT_BYTES <= 256 * 1024 * 1024


def test_an_export_that_can_not_be_completed(
    service: RunningService, fixture: ScheduleFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed before the end of the response, so that no client takes a part for all of it."""
    monkeypatch.setattr(schedules, "EXPORT_PAGE", 3)
    monkeypatch.setattr(schedules, "EXPORT_PATIENCE_S", 0.0)
    pages = 0

    async def page(*args: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages > 2:
            fixture.fail(NotOwner())
        return await read(*args)

    read = fixture.access.page
    monkeypatch.setattr(fixture.access, "page", page)
    for number in range(20):
        fixture.add(f"m{number}")

    with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
        httpx2.get(service.url + PATH, headers={"Accept": "application/x-ndjson"}, timeout=20)
    assert pages == 3
