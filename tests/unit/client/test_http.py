"""The HTTP client: its requests, and the error for each response."""

import socket
import threading
from collections.abc import Iterator

import pytest

from clocksvc.client.http import ServiceClient, is_connection_refused
from clocksvc.errors import ClocksvcError, InvalidValue, RequestRejected, ServiceUnavailable, UnknownClock
from tests.http_stub import Asked, HttpStub, Reply, problem

pytestmark = pytest.mark.core


def test_a_request_has_token_and_query() -> None:
    """The token is only in its header; parameters that are None are left out; a path in the URL is kept."""
    with HttpStub(lambda asked: Reply(body={"ok": 1})) as stub:
        client = ServiceClient(stub.url + "/behind/", "s3cret")
        answer = client.get("/v1/clocks", {"after": "2026-11-22T12:00:00+01:00", "limit": 3, "topic": None})
        client.close()
    (asked,) = stub.asked

    assert (answer.status, answer.body) == (200, {"ok": 1})
    assert asked.path == "/behind/v1/clocks"
    assert asked.query == {"after": "2026-11-22T12:00:00+01:00", "limit": "3"}
    assert asked.headers["authorization"] == "Bearer s3cret"


def test_a_body_goes_as_json() -> None:
    """With its content type."""
    with HttpStub(lambda asked: Reply(201, {"echo": asked.body})) as stub:
        assert ServiceClient(stub.url).post("/v1/things", {"a": [1]}) == {"echo": {"a": [1]}}
    assert stub.asked[0].headers["content-type"] == "application/json"
    assert "authorization" not in stub.asked[0].headers


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(401, "unauthenticated", "no token"), RequestRejected),
        (problem(403, "forbidden", "no scope"), RequestRejected),
        (problem(404, "unknown-clock", "no clock"), UnknownClock),
        (problem(422, "invalid-request", "no such thing"), RequestRejected),
        (problem(429, "busy", "later"), ServiceUnavailable),
        (problem(503, "store-unavailable", "no store"), ServiceUnavailable),
        (Reply(404, "<h1>no such page</h1>"), RequestRejected),
        (Reply(500, "not what it should be"), ServiceUnavailable),
        (Reply(302, {}, headers={"Location": "https://elsewhere.test/"}), RequestRejected),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
def test_a_response_that_is_no_success_is_an_error(reply: Reply, error: type[ClocksvcError]) -> None:
    """The type says how to react; the message has the service's text, but not the token."""
    with HttpStub(lambda asked: reply) as stub, pytest.raises(error) as raised:
        ServiceClient(stub.url, "s3cret").get("/v1/clocks/checkins")

    assert f"status {reply.status}" in str(raised.value)
    assert (reply.body.get("detail", "") if isinstance(reply.body, dict) else "") in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert len(stub.asked) == 1


def test_another_server_is_named() -> None:
    """The error says what answered, and that it is not clocksvc. Its text is short and has no control characters."""
    reply = Reply(404, {"detail": "?"}, headers={"Server": "nginx\x1b[31m" + "x" * 500})
    with HttpStub(lambda asked: reply) as stub, pytest.raises(RequestRejected) as raised:
        ServiceClient(stub.url).get("/v1/clocks")

    text = str(raised.value)
    assert text.startswith("/v1/clocks: status 404 by 'BaseHTTP/")
    assert "nginx\\x1b[31m" in text
    assert text.endswith(f"at {stub.url}, which is not an answer of clocksvc; check the address in the URL")
    assert len(text) < 250


def test_an_accepted_status_is_returned() -> None:
    """The caller gets it."""
    with HttpStub(lambda asked: problem(409, "clock-not-reached")) as stub:
        answer = ServiceClient(stub.url).get("/v1/clocks/checkins/wait", accept=(409,))

    assert (answer.status, answer.body["title"]) == (409, "clock-not-reached")


def test_no_response_is_unavailable() -> None:
    """No listener, and a connection that ends at once."""
    with HttpStub(lambda asked: Reply()) as stub:
        gone = stub.url

        def hang(asked: Asked) -> Reply:
            raise ConnectionAbortedError

        with HttpStub(hang) as silent, pytest.raises(ServiceUnavailable, match=f"at {silent.url} does not answer: "):
            ServiceClient(silent.url).get("/")
    with pytest.raises(ServiceUnavailable, match=f"^no clocksvc answers at {gone}: connection refused$") as refused:
        ServiceClient(gone).get("/")

    assert is_connection_refused(refused.value)


def test_an_unknown_host_is_unavailable() -> None:
    """With the system's text, without the `repr` of an object."""
    with pytest.raises(ServiceUnavailable, match=r"^no clocksvc answers at http://nowhere\.invalid: ") as raised:
        ServiceClient("http://nowhere.invalid").get("/")

    assert "Connection(" not in str(raised.value)


def test_a_response_that_takes_too_long_is_unavailable() -> None:
    """Something listens there, so it is not a refused connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(ServiceUnavailable, match=r"does not answer: timed out") as raised,
    ):
        ServiceClient(f"http://127.0.0.1:{mute.getsockname()[1]}").get("/", timeout_s=0.05)

    assert not is_connection_refused(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080",
        "ftp://host",
        "http://",
        "https://me:hunter2@host",
        "http://host/?a=1",
        "http://host#x",
        "http://[",
    ],
)
def test_an_invalid_base_url_raises(url: str) -> None:
    """The error says what is wanted, without the password."""
    with pytest.raises(InvalidValue, match="wanted http://host:port") as raised:
        ServiceClient(url)

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("token", ["", "two words", "line\nfeed", "ключ"])
def test_an_invalid_token_raises(token: str) -> None:
    """It would make a broken header; the error does not contain it."""
    with pytest.raises(InvalidValue, match="token") as raised:
        ServiceClient("http://host", token)

    assert not token or token not in str(raised.value)


def test_events_come_as_they_are_sent() -> None:
    """One by one, before the response has ended; the headers ask for events and contain the last id."""

    def parts() -> Iterator[bytes]:
        yield b"event: tick\nid: 1\nda"
        yield b"ta: a\n\n"
        seen.acquire()
        yield b"data: b\n\n"

    seen = threading.Semaphore(0)
    with (
        HttpStub(lambda asked: Reply(parts=parts())) as stub,
        ServiceClient(stub.url).events("/stream", last_id="0", idle_timeout_s=10) as events,
    ):
        first = next(events)
        seen.release()
        rest = list(events)

    assert (first.data, [event.data for event in rest]) == ("a", ["b"])
    assert stub.asked[0].headers["accept"] == "text/event-stream"
    assert stub.asked[0].headers["last-event-id"] == "0"


def test_an_idle_stream_is_unavailable() -> None:
    """No data, not even a comment, for longer than the idle timeout."""
    never = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b": ping\n\n"
        never.wait(30)

    with HttpStub(lambda asked: Reply(parts=parts())) as stub:
        with (
            pytest.raises(ServiceUnavailable),
            ServiceClient(stub.url).events("/stream", idle_timeout_s=0.05) as events,
        ):
            list(events)
        never.set()
