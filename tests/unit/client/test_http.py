"""The HTTP clients, blocking and for asyncio: their requests, and the error for each response."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clocksvc.client.async_http import AsyncServiceClient
from clocksvc.client.exchange import Request, ServiceResponse, is_connection_refused, is_unauthenticated, stream_request
from clocksvc.client.http import ServiceClient
from clocksvc.errors import ClocksvcError, InvalidValue, RequestRejected, ServiceUnavailable, UnknownClock
from tests.http_stub import Asked, HttpStub, Reply, problem
from tests.system.security.certificates import Authority

pytestmark = pytest.mark.core

Fetch = Callable[..., ServiceResponse]


def fetch_blocking(url: str, request: Request, token: str | None = None) -> ServiceResponse:
    """Send a request with the blocking client."""
    return ServiceClient(url, token).fetch(request)


def fetch_async(url: str, request: Request, token: str | None = None) -> ServiceResponse:
    """Send a request with the client for asyncio."""
    return asyncio.run(AsyncServiceClient(url, token).fetch(request))


@pytest.fixture(params=[fetch_blocking, fetch_async])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    """Sends a request with either client."""
    found: Fetch = request.param
    return found


def get(path: str, **fields: Any) -> Request:
    """A GET request."""
    return Request("GET", path, **fields)


def test_a_request_has_token_and_query(fetch: Fetch) -> None:
    """The token is only in its header; parameters that are None are left out; a path in the URL is kept."""
    with HttpStub(lambda asked: Reply(body={"ok": 1})) as stub:
        params = {"after": "2026-11-22T12:00:00+01:00", "limit": 3, "topic": None}
        answer = fetch(stub.url + "/behind/", get("/v1/clocks", params=params), "s3cret")
    (asked,) = stub.asked

    assert (answer.status, answer.body) == (200, {"ok": 1})
    assert asked.path == "/behind/v1/clocks"
    assert asked.query == {"after": "2026-11-22T12:00:00+01:00", "limit": "3"}
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert (asked.headers["accept"], asked.headers["accept-encoding"]) == ("application/json", "identity")
    assert asked.headers["host"] == f"127.0.0.1:{stub.port}"


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
def test_a_response_that_is_no_success_is_an_error(fetch: Fetch, reply: Reply, error: type[ClocksvcError]) -> None:
    """The type says how to react; the message has the service's text, but not the token."""
    with HttpStub(lambda asked: reply) as stub, pytest.raises(error) as raised:
        fetch(stub.url, get("/v1/clocks/checkins"), "s3cret")

    assert f"status {reply.status}" in str(raised.value)
    assert (reply.body.get("detail", "") if isinstance(reply.body, dict) else "") in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert is_unauthenticated(raised.value) == (reply.status == 401)
    assert ("pass token=…" in str(raised.value)) == (reply.status == 401)
    assert type(raised.value) is error
    assert len(stub.asked) == 1


def test_another_server_is_named(fetch: Fetch) -> None:
    """The error says what answered, and that it is not clocksvc. Its text is short and has no control characters."""
    reply = Reply(404, {"detail": "?"}, headers={"Server": "nginx\x1b[31m" + "x" * 500})
    with HttpStub(lambda asked: reply) as stub, pytest.raises(RequestRejected) as raised:
        fetch(stub.url, get("/v1/clocks"))

    text = str(raised.value)
    assert text.startswith("/v1/clocks: status 404 by 'BaseHTTP/")
    assert "nginx\\x1b[31m" in text
    assert text.endswith(f"at {stub.url}, which is not an answer of clocksvc; check the address in the URL")
    assert len(text) < 250


def test_an_accepted_status_is_returned(fetch: Fetch) -> None:
    """The caller gets it."""
    with HttpStub(lambda asked: problem(409, "clock-not-reached")) as stub:
        answer = fetch(stub.url, get("/v1/clocks/checkins/wait", accept=(409,)))

    assert (answer.status, answer.body["title"]) == (409, "clock-not-reached")


def test_no_response_is_unavailable(fetch: Fetch) -> None:
    """No listener, and a connection that ends at once."""
    with HttpStub(lambda asked: Reply()) as stub:
        gone = stub.url

        def hang(asked: Asked) -> Reply:
            raise ConnectionAbortedError

        with HttpStub(hang) as silent, pytest.raises(ServiceUnavailable, match=f"at {silent.url} does not answer: "):
            fetch(silent.url, get("/"))
    with pytest.raises(ServiceUnavailable, match=f"^no clocksvc answers at {gone}: connection refused$") as refused:
        fetch(gone, get("/"))

    assert is_connection_refused(refused.value)


def test_the_servers_certificate_is_verified(fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the authorities that Python trusts. `SSL_CERT_FILE` adds one."""
    authority = Authority(tmp_path, "authority")
    with HttpStub(lambda asked: Reply(body={"ok": 1}), tls=authority.sign("stub").server_context()) as stub:
        with pytest.raises(ServiceUnavailable, match=r"does not answer: .*certificate.verify.failed") as raised:
            fetch(stub.url, get("/"))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))

        assert fetch(stub.url, get("/")).body == {"ok": 1}

    assert not is_connection_refused(raised.value)


def test_an_unknown_host_is_unavailable(fetch: Fetch) -> None:
    """With the system's text, without the `repr` of an object."""
    with pytest.raises(ServiceUnavailable, match=r"^no clocksvc answers at http://nowhere\.invalid: ") as raised:
        fetch("http://nowhere.invalid", get("/"))

    assert "Connection(" not in str(raised.value)


def test_a_response_that_takes_too_long_is_unavailable(fetch: Fetch) -> None:
    """Something listens there, so it is not a refused connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(ServiceUnavailable, match=r"does not answer: timed out") as raised,
    ):
        fetch(f"http://127.0.0.1:{mute.getsockname()[1]}", get("/", timeout_s=0.05))

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


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"], ids=["other", "cut"]
)
def test_what_is_not_a_complete_response_of_http_is_unavailable(fetch: Fetch, answer: bytes) -> None:
    """Another protocol's server, and a response that is cut off."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(ServiceUnavailable, match="does not answer: connection lost"):
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}", get("/"))
        serving.join()


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
        ServiceClient(stub.url).events(stream_request("/stream", last_id="0", idle_timeout_s=10)) as events,
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
            ServiceClient(stub.url).events(stream_request("/stream", idle_timeout_s=0.05)) as events,
        ):
            list(events)
        never.set()
