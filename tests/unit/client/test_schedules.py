"""`Schedules(url)`: its requests, what it makes of responses, and when it repeats a request."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from clocksvc import Schedules
from clocksvc.client.schedule_values import ScheduleResult, StoredSchedule, WrittenSchedule
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import (
    ClocksvcError,
    InvalidValue,
    PreconditionFailed,
    RequestRejected,
    SchedulesRejected,
    ServiceUnavailable,
    UnknownClock,
)
from tests.http_stub import Asked, HttpStub, Reply, problem

pytestmark = pytest.mark.core

PATH = "/v1/clocks/checkins/schedules"
CHECK = {"interval": "60s", "task": "uptime.check"}
NOT_READY = problem(503, "not-ready", "no scheduler is ready")
ETAG = '"51f0"'


def written(asked: Asked) -> Reply:
    """The answer to PUT and DELETE."""
    etag = {} if asked.method == "DELETE" else {"ETag": ETAG}
    return Reply(200, {"id": asked.path.rpartition("/")[2], "partition": 3, "offset": 17}, headers=etag)


def in_turn(*replies: Reply | Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """Answer the first request with the first reply, and so on."""
    left = list(replies)

    def answer(asked: Asked) -> Reply:
        reply = left.pop(0)
        return reply if isinstance(reply, Reply) else reply(asked)

    return answer


def lost(asked: Asked) -> Reply:
    """The connection ends without an answer."""
    raise ConnectionAbortedError


def opened(stub: HttpStub, **options: Any) -> Schedules:
    """The schedules at a stub."""
    return Schedules(stub.url, "checkins", **options)


def test_put() -> None:
    """The fields as JSON, times as text; the result has partition, offset and ETag."""
    with HttpStub(written) as stub, opened(stub, token="s3cret") as schedules:
        begin = datetime(2026, 11, 22, 12, tzinfo=UTC)
        result = schedules.put("acme:1", {**CHECK, "payload": {"url": "ü"}, "starts_at": begin})
    (asked,) = stub.asked

    assert result == WrittenSchedule("acme:1", 3, 17, ETAG)
    assert (asked.method, asked.path) == ("PUT", f"{PATH}/acme:1")
    assert asked.body == {**CHECK, "payload": {"url": "ü"}, "starts_at": "2026-11-22T12:00:00Z"}
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert not {"if-match", "if-none-match"} & set(asked.headers)


def test_conditions_are_headers() -> None:
    """Of writes and deletions; a condition that is not met is an error with the present ETag."""
    failed = problem(412, "precondition-failed", "has another ETag")
    failed.body["etag"] = '"new"'
    with HttpStub(in_turn(written, written, written, failed)) as stub, opened(stub) as schedules:
        schedules.put("a", CHECK, if_match=ETAG)
        schedules.put("a", CHECK, if_absent=True)
        schedules.delete("a", if_match=ETAG)
        with pytest.raises(PreconditionFailed, match="has another ETag") as raised:
            schedules.put("a", CHECK, if_match=ETAG)

    sent = [(asked.headers.get("if-match"), asked.headers.get("if-none-match")) for asked in stub.asked]
    assert sent == [(ETAG, None), (None, "*"), (ETAG, None), (ETAG, None)]
    assert raised.value.etag == '"new"'


def test_get() -> None:
    """Fields and ETag; None for an unknown id, but an error for an unknown clock."""
    found = Reply(200, {"id": "a", **CHECK}, headers={"ETag": ETAG})
    unknown = problem(404, "unknown-schedule")
    with HttpStub(in_turn(found, unknown, problem(404, "unknown-clock"))) as stub, opened(stub) as schedules:
        assert schedules.get("a") == StoredSchedule("a", CHECK, ETAG)
        assert schedules.get("b") is None
        with pytest.raises(UnknownClock):
            schedules.get("c")


def test_delete() -> None:
    """Partition and offset of the deletion; None if there was nothing to delete."""
    with HttpStub(in_turn(written, problem(404, "unknown-schedule"))) as stub, opened(stub) as schedules:
        assert schedules.delete("a") == WrittenSchedule("a", 3, 17, None)
        assert schedules.delete("a") is None
    assert [(asked.method, asked.body) for asked in stub.asked] == [("DELETE", None)] * 2


def test_list_reads_page_after_page() -> None:
    """Until there is no next one; each page begins after the last id of the one before."""

    def page(ids: list[str], following: str | None) -> Reply:
        schedules = [{"id": name, **CHECK} for name in ids]
        return Reply(200, {"schedules": schedules, "etags": [f'"{name}"' for name in ids], "next": following})

    with HttpStub(in_turn(page(["a1", "a2"], "a2"), NOT_READY, page(["a3"], None))) as stub, opened(stub) as schedules:
        found = list(schedules.list("a", after="a0"))

    assert found == [StoredSchedule(name, CHECK, f'"{name}"') for name in ("a1", "a2", "a3")]
    assert [asked.query.get("after") for asked in stub.asked] == ["a0", "a2", "a2"]
    assert {asked.query["prefix"] for asked in stub.asked} == {"a"}


def test_an_export_continues_after_its_last_line() -> None:
    """If the connection is lost. The lines are as the service has sent them."""
    lines = [b'{"id":"a%d","payload":1.10}' % number for number in range(4)]
    begin = Reply(200, parts=[lines[0] + b"\n" + lines[1][:9], lines[1][9:] + b"\n" + lines[2][:7]], cut=True)
    rest = Reply(200, parts=[line + b"\n" for line in lines[2:]])
    with HttpStub(in_turn(NOT_READY, begin, rest)) as stub, opened(stub) as schedules:
        assert list(schedules.export("a")) == lines

    assert [asked.query for asked in stub.asked] == [{"prefix": "a"}, {"prefix": "a"}, {"prefix": "a", "after": "a1"}]
    assert {asked.headers["accept"] for asked in stub.asked} == {"application/x-ndjson"}


def test_a_request_without_a_condition_is_repeated() -> None:
    """While no scheduler is ready, and after a lost connection: to write the same again is safe."""
    with HttpStub(in_turn(NOT_READY, lost, written)) as stub, opened(stub) as schedules:
        assert schedules.put("a", CHECK).offset == 17

    assert len(stub.asked) == 3


def test_a_request_with_a_condition_is_repeated_only_if_it_had_no_effect() -> None:
    """A first request that was successful would make the condition of the second one wrong."""
    with HttpStub(in_turn(NOT_READY, written, lost)) as stub, opened(stub) as schedules:
        assert schedules.put("a", CHECK, if_absent=True).offset == 17
        with pytest.raises(ServiceUnavailable, match=r"the outcome is unknown\. Read the schedule to see it"):
            schedules.put("a", CHECK, if_absent=True)

    assert len(stub.asked) == 3


def test_the_service_says_how_long_to_wait() -> None:
    """With Retry-After. A wait beyond the timeout is not begun."""
    busy = NOT_READY._replace(headers={"Retry-After": "20"})
    with HttpStub(lambda asked: busy) as stub, opened(stub, timeout=5) as schedules, pytest.raises(ServiceUnavailable):
        schedules.get("a")

    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [(problem(403, "forbidden"), RequestRejected), (problem(422, "invalid-request"), RequestRejected)],
)
def test_a_rejected_request_is_not_repeated(reply: Reply, error: type[ClocksvcError]) -> None:
    """It would be rejected again."""
    with HttpStub(lambda asked: reply) as stub, opened(stub) as schedules, pytest.raises(error):
        schedules.put("a", CHECK)

    assert len(stub.asked) == 1


def test_after_a_fork() -> None:
    """The child has a connection of its own: on a common one, each could read the answer to the other."""
    with HttpStub(written) as stub, opened(stub) as schedules:
        schedules.put("a", CHECK)
        if (child := os.fork()) == 0:
            os._exit(0 if schedules.put("b", CHECK).offset == 17 else 1)
        assert os.waitpid(child, 0)[1] == 0
        schedules.put("c", CHECK)

        assert [asked.path.rpartition("/")[2] for asked in stub.asked] == ["a", "b", "c"]
        assert stub.connections == 2


def test_without_a_service() -> None:
    """The error of the last attempt, after the timeout."""
    with (
        Schedules(f"http://127.0.0.1:{free_ports(1)[0]}", "checkins", timeout=0.3) as schedules,
        pytest.raises(ServiceUnavailable, match="connection refused"),
    ):
        schedules.get("a")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"url": "http://x"}, "clock: None is not valid"),
        ({"clock": "checkins"}, "url: None is not valid: wanted either url or kafka"),
        ({"url": "http://x", "kafka": "y:1", "clock": "checkins"}, "wanted either url or kafka"),
        ({"url": "redis://x", "clock": "checkins"}, "url: 'redis://x' is not valid: wanted http://host:port"),
        ({"kafka": "y:1", "clock": "checkins", "token": "t"}, "token: '***' is not valid"),
        ({"url": "http://x", "clock": "checkins", "timeout": 0}, "timeout: 0 is not valid"),
        ({"url": "http://x", "clock": "../x"}, "clock: '../x' is not valid"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], says: str) -> None:
    """Are an error of the constructor."""
    with pytest.raises(InvalidValue) as raised:
        Schedules(**arguments)

    assert says in str(raised.value)


@pytest.mark.parametrize("schedule_id", ["", "a/b", "..", "missed-runs", "ü", "x" * 65, None])
def test_an_invalid_id_sends_nothing(schedule_id: Any) -> None:
    """It would be part of another path."""
    with HttpStub(written) as stub, opened(stub) as schedules:
        for call in (schedules.get, schedules.delete, lambda name: schedules.put(name, CHECK)):
            with pytest.raises(InvalidValue, match=r"^id: "):
                call(schedule_id)
    assert stub.asked == []


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        (None, "delete() deletes a schedule"),
        ("60s", "wanted a mapping"),
        ({"payload": {1, 2}}, "wanted what JSON can have"),
        ({"payload": float("nan")}, "wanted what JSON can have"),
        ({"starts_at": datetime(2026, 1, 1)}, "wanted a datetime with a time zone"),  # noqa: DTZ001
    ],
)
def test_an_invalid_schedule_sends_nothing(schedule: Any, says: str) -> None:
    """What JSON can't have, and a time without a zone."""
    with HttpStub(written) as stub, opened(stub) as schedules, pytest.raises(InvalidValue) as raised:
        schedules.put("a", schedule)

    assert says in str(raised.value)
    assert stub.asked == []


def test_an_answer_of_another_server_is_unavailable() -> None:
    """Not a KeyError."""
    with HttpStub(lambda asked: Reply(200, {"hello": 1})) as stub, opened(stub) as schedules:
        for call in (lambda: schedules.get("a"), lambda: schedules.put("a", CHECK), lambda: list(schedules.list())):
            with pytest.raises(ServiceUnavailable, match="the service's answer is not valid"):
                call()


# -- many -------------------------------------------------------------------------------------------------------------


def answers(asked: Asked) -> list[dict[str, Any]]:
    """A success for each line of a bulk request."""
    return [
        {"id": line["id"], "status": 200, "partition": 0, "offset": offset, "etag": ETAG}
        for offset, line in enumerate(asked.body)
    ]


def ndjson(lines: list[dict[str, Any]], cut: bool = False) -> Reply:
    """A response of several lines, each in two parts."""
    texts = [json.dumps(line).encode() + b"\n" for line in lines]
    parts = [part for text in texts for part in (text[:9], text[9:])]
    return Reply(200, parts=parts[:-1] if cut else parts, cut=cut)


def bulk(asked: Asked) -> Reply:
    """All lines are written."""
    return ndjson(answers(asked))


def names_sent(stub: HttpStub) -> list[list[str]]:
    """The ids of the lines of each bulk request."""
    return [[line["id"] for line in asked.body] for asked in stub.asked if asked.method == "POST"]


def test_many_go_in_few_requests() -> None:
    """As lines with their id, at most 1,000 lines or 512 KiB in a request; outcomes are in the order of the input."""
    results: list[ScheduleResult] = []
    with HttpStub(bulk) as stub, opened(stub) as schedules:
        assert schedules.put_many(((f"a{number}", CHECK) for number in range(2_500)), results.append) == 2_500
        assert schedules.put_many((f"b{number}", {**CHECK, "payload": "x" * 65_000}) for number in range(9)) == 9

    assert [len(names) for names in names_sent(stub)] == [1_000, 1_000, 500, 8, 1]
    assert stub.asked[0].body[0] == {"id": "a0", **CHECK}
    assert stub.asked[0].headers["content-type"] == "application/x-ndjson"
    assert [(one.position, one.id) for one in results] == [(number, f"a{number}") for number in range(2_500)]
    assert results[1_007].written == WrittenSchedule("a1007", 0, 7, ETAG)


def test_one_id_is_once_in_a_request() -> None:
    """So that a line that is repeated can't replace a later one. A deletion is a line, too."""
    items: list[tuple[str, Any]] = [("a", CHECK), ("b", CHECK), ("a", CHECK), ("a", None), ("c", CHECK)]
    with HttpStub(bulk) as stub, opened(stub) as schedules:
        assert schedules.put_many(items) == 5

    assert names_sent(stub) == [["a", "b"], ["a"], ["a", "c"]]
    assert stub.asked[2].body[0] == {"id": "a", "deleted": True}


def test_lines_without_an_outcome_are_repeated() -> None:
    """Those that the service could not write, and those that it had not answered when the connection was lost."""

    def second_unavailable(asked: Asked) -> Reply:
        first, second, *others = answers(asked)
        return ndjson([first, {"id": second["id"], "status": 503, "title": "not ready"}, *others])

    def cut(asked: Asked) -> Reply:
        return ndjson(answers(asked), cut=True)

    results: list[ScheduleResult] = []
    with HttpStub(in_turn(NOT_READY, second_unavailable, cut, bulk)) as stub, opened(stub) as schedules:
        assert schedules.put_many([("a", CHECK), ("b", CHECK), ("c", CHECK)], results.append) == 3

    assert names_sent(stub) == [["a", "b", "c"], ["a", "b", "c"], ["b"], ["b"]]
    assert [one.id for one in results] == ["a", "b", "c"]


def test_failures_are_named() -> None:
    """Those of the service, and those that were not sent. All others are written."""

    def one_invalid(asked: Asked) -> Reply:
        lines = answers(asked)
        lines[1] = {"id": "b", "status": 422, "title": "invalid", "detail": "interval: '0s' is not valid"}
        return ndjson(lines)

    items = [("a", CHECK), ("b", {**CHECK, "interval": "0s"}), ("not valid!", CHECK), ("d", CHECK)]
    with HttpStub(one_invalid) as stub, opened(stub) as schedules, pytest.raises(SchedulesRejected) as raised:
        schedules.put_many(items)

    assert {position: type(error) for position, error in raised.value.failed.items()} == {
        1: RequestRejected,
        2: InvalidValue,
    }
    assert "2 of 4 were not written: position 1: b: interval: '0s' is not valid (status 422); " in str(raised.value)
    assert names_sent(stub) == [["a", "b", "d"]]


def test_many_without_a_service() -> None:
    """Before the error is raised, outcomes are passed on, up to the first one that is not known."""
    results: list[ScheduleResult] = []

    def all_but_b(asked: Asked) -> Reply:
        return ndjson([{**one, "status": 503} if one["id"] == "b" else one for one in answers(asked)])

    with (
        HttpStub(all_but_b) as stub,
        opened(stub, timeout=0.3) as schedules,
        pytest.raises(ServiceUnavailable, match=r"^b: "),
    ):
        schedules.put_many([("a", CHECK), ("b", CHECK), ("c", CHECK)], results.append)

    assert [one.id for one in results] == ["a"]
