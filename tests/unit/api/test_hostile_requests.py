"""Malicious requests: each is answered or its connection closed, no error is logged, and other clients are served."""

import json
import logging
from collections.abc import Iterator

import pytest

from tests.unit.api.clock_fixture import GROUP, TOPIC, ClockFixture, ticks
from tests.unit.api.raw_http import connected, ended, livez_took_s, response_to
from tests.unit.api.running_service import RunningService, serving

REPORTS = "/v1/clocks/checkins/reports"
CHUNKED = "Transfer-Encoding: chunked"


def head(method: str, path: str, *headers: str) -> bytes:
    """The headers of a request; the connection is closed after its response."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]).encode()


def posted(body: bytes, *headers: str) -> bytes:
    """A complete request with a report."""
    kind = headers or ("Content-Type: application/json",)
    return head("POST", REPORTS, *kind, f"Content-Length: {len(body)}") + body


def chunked(*chunks: bytes) -> bytes:
    """A request with these chunks as its body."""
    return head("POST", REPORTS, "Content-Type: application/json", CHUNKED) + b"".join(chunks)


def one(**fields: object) -> bytes:
    """The body of a report with one item, some of its fields replaced."""
    reading = {"topic": TOPIC, "partition": 0, "timestamp_ms": 1} | fields
    return json.dumps({"group": GROUP, "reports": [reading]}).encode()


INVALID_HTTP = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 600,
    "a line that goes on": b"GET /" + b"a" * 200_000,
    "headers that go on": b"GET /livez HTTP/1.1\r\n" + b"X-A: b\r\n" * 20_000,
    "one large header": head("GET", "/livez", "X-Large: " + "x" * 400_000),
    "no version": b"GET /livez\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "spaces in the path": b"GET /v1/clocks/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a raw byte above ASCII in the path": b"GET /v1/clocks/\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "two lengths": head("POST", REPORTS, "Content-Length: 2", "Content-Length: 3") + b"{}",
    "length and chunks": head("POST", REPORTS, "Content-Length: 2", CHUNKED, "Transfer-Encoding: gzip") + b"{}",
    "a negative length": head("POST", REPORTS, "Content-Length: -1"),
    "a length in Arabic digits": head("POST", REPORTS, "Content-Length: \u0661"),
    "a length of many digits": head("POST", REPORTS, "Content-Length: " + "9" * 5_000),
    "bad chunks": chunked(b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk with an endless extension": chunked(b"1;" + b"a" * 100_000),
    "bad chunks behind an answer": head("POST", "/v1/clocks", CHUNKED) + b"5\r\n",
    "bad chunks beside a stream": head("GET", "/v1/clocks/checkins/ticks/stream", CHUNKED) + b"5\r\n12345\r\nzz\r\n",
}

DEEP = 100_000
INVALID_REQUESTS = {
    "JSON of great depth": posted(b"[" * DEEP + b"]" * DEEP),
    "objects of great depth": posted(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "NaN": posted(b'{"group": "g", "reports": [], "late_records": NaN}'),
    "Infinity": posted(b'{"group": "g", "reports": [{"topic": "t", "partition": 0, "timestamp_ms": Infinity}]}'),
    "a number of many digits": posted(b'{"group": "g", "reports": [], "late_records": ' + b"9" * 100_000 + b"}"),
    "1e400": posted(b'{"group": "g", "reports": [], "late_records": 1e400}'),
    "invalid UTF-8": posted(b'{"group": "\xff\xfe", "reports": []}'),
    "half a surrogate": posted(one(topic="\ud800")),
    "UTF-16": posted('{"group": "g", "reports": 1}'.encode("utf-16")),
    "no JSON at all": posted(b"group=g&reports="),
    "an empty body": posted(b""),
    "a scalar": posted(b"7"),
    "a partition of text": posted(one(partition="0")),
    "a fraction of a millisecond": posted(one(timestamp_ms=1.5)),
    "a timestamp beyond 64 bits": posted(one(timestamp_ms=2**63)),
    "a topic that is too long": posted(one(topic="t" * 250)),
    "too many reports": posted(json.dumps({"group": "g", "reports": [{}] * 20_000}).encode()),
    "a form": posted(b"group=g", "Content-Type: application/x-www-form-urlencoded"),
    "no content type": posted(one(), "X-Nothing: x"),
    "JSON by another name": posted(one(), "Content-Type: text/json"),
    "a content type that is none": posted(one(), "Content-Type: ;;;=\x7f\x80"),
    "a body over a mebibyte in chunks": chunked(*[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 17, b"0\r\n\r\n"),
    "a chunk of 2^70 bytes": chunked(b"400000000000000000\r\n" + b" " * 1_100_000),
    "percent and nothing": head("GET", "/v1/clocks/%"),
    "percent and no number": head("GET", "/v1/clocks/%zz/ticks?after=%zz"),
    "bytes that are no UTF-8": head("GET", "/v1/clocks/%ff%fe?%ff=%fe"),
    "a line end in the path": head("GET", "/v1/clocks/a%0d%0aSet-Cookie:%20x"),
    "a line end in a parameter": head("GET", "/v1/clocks/checkins/ticks?after=1%0d%0aX:%201"),
    "a NUL in a parameter": head("GET", "/v1/clocks/checkins/partitions?after=%00:%00"),
    "half a surrogate in a parameter": head("GET", "/v1/clocks/checkins/wait?until=%ed%a0%80"),
    "a parameter twice": head("GET", "/v1/clocks/checkins/ticks?limit=1&limit=2"),
    "2,500 parameters": head("GET", "/v1/clocks/checkins/ticks?" + "&".join(f"a{n}" for n in range(2_500))),
    "dots in the path": head("GET", "/docs/../../../etc/passwd"),
    "encoded dots in the path": head("GET", "/docs/%2e%2e/%2e%2e/etc/passwd"),
    "another method": head("BREW", "/v1/clocks"),
    "CONNECT": head("CONNECT", "example.com:443"),
    "a whole address": head("GET", "http://example.com/v1/nothing"),
    "an asterisk": head("OPTIONS", "*"),
}

ANSWERED = {
    "HTTP/1.0": b"GET /livez HTTP/1.0\r\n\r\n",
    "another version": b"GET /livez HTTP/3.0\r\nConnection: close\r\n\r\n",
    "a lone line feed": b"GET /livez HTTP/1.1\nHost: x\nConnection: close\n\n",
    "an upgrade to WebSocket": head("GET", "/livez", "Upgrade: websocket").replace(b"close", b"Upgrade, close"),
    "an upgrade to HTTP/2": head("GET", "/livez", "Upgrade: h2c"),
    "a body with GET": head("GET", "/livez", "Content-Length: 5") + b"hello",
    "keys twice": posted(b'{"group": "x", "group": "checkins-consumer", "reports": [], "reports": []}'),
    "a charset that is none": posted(one(), "Content-Type: application/json; charset=nothing"),
    "chunks of one byte": chunked(*[b"1;x=y\r\n%c\r\n" % byte for byte in one()], b"0\r\nX-Trailer: y\r\n\r\n"),
}


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    """One service for all tests of this module."""
    clock_fixture = ClockFixture()
    clock_fixture.publish(*ticks(3))
    with serving(clock_fixture) as served:
        yield served


@pytest.fixture(autouse=True)
def nothing_fails(service: RunningService, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After each test: no error was logged, and the next client is served at once."""
    caplog.set_level(logging.DEBUG)
    yield
    assert livez_took_s(service.port) < 1.0
    bad = [record for record in caplog.get_records("call") if record.exc_info or record.levelno >= logging.ERROR]
    assert bad == []


def status(answer: bytes) -> int:
    """The first response's status; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.parametrize("name", INVALID_HTTP)
def test_invalid_http_is_rejected_or_closed(service: RunningService, name: str) -> None:
    """The response is a 4xx, or there is none, and the connection is closed."""
    answer = response_to(service.port, INVALID_HTTP[name])

    assert status(answer) in (0, 200, 400, 401, 404, 405, 413, 415, 422)
    assert b"Traceback" not in answer
    if "stream" not in name:
        assert status(answer) != 200


@pytest.mark.parametrize("name", INVALID_REQUESTS)
def test_invalid_requests_are_problems(service: RunningService, name: str) -> None:
    """The response is problem details (4xx), without headers injected by the client."""
    answer = response_to(service.port, INVALID_REQUESTS[name])

    assert 400 <= status(answer) < 500
    assert b"application/problem+json" in answer
    assert b"\r\nset-cookie" not in answer.lower()


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_odd_but_right_is_answered(service: RunningService, name: str) -> None:
    """Unusual but valid requests are answered with 200."""
    assert status(response_to(service.port, ANSWERED[name])) == 200


@pytest.mark.parametrize("asked", ["POST /v1/clocks", "GET /v1/clocks/checkins/ticks/stream"])
def test_bad_chunks_behind_an_answer_end_the_connection(service: RunningService, asked: str) -> None:
    """Once a response has begun, there is no second one."""
    with connected(service.port) as connection:
        connection.sendall(f"{asked} HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n\r\n".encode())
        assert status(connection.recv(65_536)) in (200, 405)
        connection.sendall(b"zz\r\n")
        ended(connection)


def test_pipelined_requests_are_answered_in_order(service: RunningService) -> None:
    """Pipelined requests are answered in order."""
    paths = ["/livez", "/v1/nothing", "/readyz", "/v1/clocks/checkins/ticks?limit=x"] * 25
    sent = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths) + head("GET", "/livez")

    answers = response_to(service.port, sent).split(b"HTTP/1.1 ")[1:]

    assert [int(answer[:3]) for answer in answers] == [*[200, 404, 200, 422] * 25, 200]


def test_a_client_that_vanishes_while_it_is_answered(service: RunningService) -> None:
    """A connection reset during a stream, a long poll or an upload is not logged as an error."""
    for sent in (
        b"GET /v1/clocks/checkins/ticks/stream HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/clocks/checkins/wait?until=2100-01-01T00:00:00Z&timeout=50 HTTP/1.1\r\nHost: x\r\n\r\n",
        head("POST", REPORTS, "Content-Type: application/json", "Content-Length: 100") + b"{",
    ):
        with connected(service.port) as connection:
            connection.sendall(sent)
            livez_took_s(service.port)
            connection.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER: close resets


def test_the_refusal_of_a_large_body_can_be_read(service: RunningService) -> None:
    """The client gets the 413 although it is still sending."""
    with connected(service.port) as connection:
        connection.sendall(head("POST", REPORTS, "Content-Type: application/json", "Content-Length: 2000000"))
        answer = connection.recv(65_536)
        assert status(answer) == 413
        ended(connection)
