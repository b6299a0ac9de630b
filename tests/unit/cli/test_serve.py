"""`clocksvc serve` as a child process: it starts, answers, says what is wrong, and leaves in order."""

import json
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import urllib3

from clocksvc.dev.ports import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.redis.store import open_store
from tests.unit.cli.conftest import (
    Workplace,
    wait_ready,
)
from tests.waiting import eventually


def get(url: str, **headers: str) -> Any:
    """The JSON of a 200."""
    answer = urllib3.request("GET", url, headers=headers, retries=False, timeout=10)
    assert answer.status == 200, answer.data
    return answer.json()


def refusal(place: Workplace, *arguments: str) -> str:
    """What `serve` says when it does not start: exit code 1, no traceback."""
    child = place.start("serve", *arguments, *place.write())
    assert child.wait(30) == 1
    assert "Traceback" not in place.output()
    return place.output()


def hold_reason(place: Workplace) -> str | None:
    """Why the clock stands still, by the service's word."""
    hold = get(f"{place.url}/v1/clocks/checkins")["hold"]
    return None if hold is None else str(hold["reason"])


@pytest.mark.servers
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_starts_answers_and_leaves_in_order(place: Workplace, ended_by: signal.Signals) -> None:
    """Within 2 s of the signal: an open stream has ended with a retry hint, the lease is free, the exit code is 0."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    child = place.start("serve", *place.write())
    wait_ready(place)
    eventually(lambda: hold_reason(place) == "partition_unreported", within=30, what="a leader's verdict")
    stream = urllib3.request(
        "GET", f"{place.url}/v1/clocks/checkins/ticks/stream", preload_content=False, retries=False, timeout=10
    )
    assert b"event: state" in stream.read1()

    began = time.monotonic()
    child.send_signal(ended_by)
    code = child.wait(20)
    took_s = time.monotonic() - began

    assert code == 0, place.output()
    assert took_s < 2.0
    assert b"retry:" in b"".join(iter(stream.read1, b""))
    store = open_store(place.redis_url, "checkins", place.prefix)
    assert store.snapshot().leader is None
    store.close()
    lines = [json.loads(line) for line in place.output().splitlines()]
    assert [line["clocks"] for line in lines if line["message"] == "serving"] == [["checkins"]]
    assert lines[-1]["message"] == "ended"


@contextmanager
def clients_that_owe_something(place: Workplace) -> Iterator[dict[str, socket.socket]]:
    """A stream that nobody reads, one that is read, a long poll, half a head and half a body, each on its socket."""
    clock = "/v1/clocks/checkins"
    sent = {
        "deaf": f"GET {clock}/ticks/stream HTTP/1.1\r\nHost: x\r\n\r\n",
        "stream": f"GET {clock}/ticks/stream HTTP/1.1\r\nHost: x\r\n\r\n",
        "wait": f"GET {clock}/wait?until=2099-01-01T00:00:00Z&timeout=50 HTTP/1.1\r\nHost: x\r\n\r\n",
        "poll": f"GET {clock}/ticks?timeout=50 HTTP/1.1\r\nHost: x\r\n\r\n",
        "half a head": "GET /livez HT",
        "half a body": f"POST {clock}/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 99\r\n\r\n{",
    }
    with ExitStack() as stack:
        clients = {}
        for name, text in sent.items():
            clients[name] = stack.enter_context(socket.create_connection(("127.0.0.1", place.port), timeout=20))
            clients[name].sendall(text.encode())
        began = b""
        while b"event: state" not in began:
            began += clients["stream"].recv(65_536)
        # Requests that came after them have been answered, so the server has begun with them.
        get(f"{place.url}/livez")
        yield clients


def rest_of(client: socket.socket) -> bytes:
    """What still comes until the service ends the connection."""
    seen = b""
    try:
        while chunk := client.recv(65_536):
            seen += chunk
    except ConnectionResetError:
        pass
    return seen


@pytest.mark.servers
@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,) * 2])
def test_nobody_who_owes_something_delays_the_end(place: Workplace, signals: tuple[signal.Signals, ...]) -> None:
    """Whoever waits is answered, whoever has sent half a request or takes nothing is cut off: about a second, exit
    code 0, no traceback. A second signal can only hasten it."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    child = place.start("serve", *place.write())
    wait_ready(place)
    eventually(lambda: hold_reason(place) == "partition_unreported", within=30, what="a leader's verdict")
    with clients_that_owe_something(place) as clients:
        began = time.monotonic()
        for one in signals:
            child.send_signal(one)
        code = child.wait(20)
        took_s = time.monotonic() - began
        answers = {name: rest_of(client) for name, client in clients.items()}

    assert code == 0, place.output()
    assert took_s < 4.0
    if len(signals) == 1:
        assert b"retry: " in answers["stream"]
        assert answers["stream"].endswith(b"0\r\n\r\n")
        assert b" 503 " in answers["wait"].splitlines()[0]
        assert b"retry-after: 1" in answers["wait"].lower()
        assert b" 200 " in answers["poll"].splitlines()[0]
    assert answers["half a head"] == b""
    # The server itself may say of a question that never became whole that it was cut off.
    told = [line for line in place.output().splitlines() if "CancelledError" not in line]
    assert not any("Traceback" in line for line in told)
    assert json.loads(place.output().splitlines()[-1])["message"] == "ended"


@pytest.mark.servers
def test_another_replica_takes_over_before_the_last_client_has_gone(place: Workplace) -> None:
    """The lease is given up at once: while half a request is still waited for, another one leads."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    ports = (place.port, free_ports(1)[0])
    store = open_store(place.redis_url, "checkins", place.prefix)

    def leader() -> str:
        return store.snapshot().leader or ""

    first = place.start("serve", *place.write())
    eventually(leader, within=30, what="a leader")
    second = place.start("serve", "--port", str(ports[1]), *place.write())
    eventually(lambda: get(f"http://127.0.0.1:{ports[1]}/readyz"), within=30, what="the second replica")
    assert leader().endswith(f":{first.pid}")
    with clients_that_owe_something(place) as clients:
        first.send_signal(signal.SIGTERM)
        eventually(lambda: leader().endswith(f":{second.pid}"), within=20, what="the other one to lead")
        clients["half a body"].setblocking(False)
        with pytest.raises(BlockingIOError):
            clients["half a body"].recv(1)
        assert first.wait(20) == 0
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    store.close()


@pytest.mark.servers
def test_answers_come_at_once(place: Workplace) -> None:
    """Over a kept connection the second half of an answer does not wait for the client's delayed ACK (40 ms)."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    place.start("serve", *place.write())
    wait_ready(place)
    took = []
    with urllib3.PoolManager(retries=False) as pool:
        for _ in range(31):
            began = time.monotonic()
            assert pool.request("GET", f"{place.url}/livez").status == 200
            took.append(time.monotonic() - began)

    assert sorted(took)[15] < 0.03


@pytest.mark.servers
def test_long_poll_is_sent_away(place: Workplace) -> None:
    """Whoever waits gets an answer at once, not a reset connection."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    child = place.start("serve", *place.write())
    wait_ready(place)
    with socket.create_connection(("127.0.0.1", place.port), timeout=20) as poll:
        path = "/v1/clocks/checkins/wait?until=2099-01-01T00:00:00Z&timeout=50"
        poll.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        # A request that came after it has been answered, so the server has begun with it.
        get(f"{place.url}/livez")

        child.send_signal(signal.SIGTERM)

        assert b" 503 " in poll.recv(65_536).splitlines()[0]
    assert child.wait(20) == 0


@pytest.mark.servers
def test_serves_while_redis_and_kafka_are_down_and_heals(place: Workplace) -> None:
    """It starts anyway, says what holds the clock, and goes on by itself once the store is there."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    valkey = ValkeyServer(port=free_ports(1)[0], maxmemory_policy="volatile-lru", options={"maxmemory": "100mb"})
    place.settings["redis"]["url"] = valkey.url
    child = place.start("serve", *place.write())
    eventually(lambda: get(f"{place.url}/livez"), within=30, what="the service to answer")
    assert hold_reason(place) == "store_unavailable"

    with valkey:
        eventually(lambda: hold_reason(place) == "partition_unreported", within=30, what="the clock to be led")
        eventually(lambda: "volatile-lru" in place.output(), within=20, what="a warning of the eviction policy")
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


@pytest.mark.servers
def test_kafka_down_at_start(place: Workplace) -> None:
    """The hold is named, and the end is in order."""
    place.settings["kafka"]["bootstrap.servers"] = f"127.0.0.1:{free_ports(1)[0]}"
    child = place.start("serve", *place.write())
    wait_ready(place)
    expected = {"ticklog_unavailable", "metadata_unavailable"}
    eventually(lambda: hold_reason(place) in expected, within=30, what="the hold")

    child.send_signal(signal.SIGTERM)

    assert child.wait(20) == 0, place.output()


@pytest.mark.servers
def test_tokens_guard_the_api(place: Workplace) -> None:
    """Configured tokens are asked for; probes need none."""
    place.settings["api"]["tokens"] = [{"name": "grafana", "token": "a-token-of-sixteen", "scopes": ["read"]}]
    child = place.start("serve", *place.write())
    wait_ready(place)

    refused = urllib3.request("GET", f"{place.url}/v1/clocks", retries=False, timeout=10)

    assert refused.status == 401
    assert get(f"{place.url}/v1/clocks", Authorization="Bearer a-token-of-sixteen")["clocks"][0]["clock"] == "checkins"
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0


def raw(place: Workplace, data: bytes) -> bytes:
    """What is answered to these bytes until the service ends the connection."""
    with socket.create_connection(("127.0.0.1", place.port), timeout=20) as client:
        client.sendall(data)
        return rest_of(client)


def test_no_secret_is_ever_logged(folder_only: Workplace) -> None:
    """At DEBUG, whatever goes wrong: neither a token that is known or nearly so, wherever a client puts it, nor the
    passwords of Redis and Kafka."""
    good, bad, redis, kafka = "good-Zq81xVmKp0aa", "near-Wn47tYbRc9bb", "redis-Hd63fLsGu5cc", "kafka-Jt29eDkXo7dd"
    place = folder_only
    place.settings["api"]["tokens"] = [{"name": "grafana", "token": good, "scopes": ["read"]}]
    place.settings["redis"]["url"] = place.settings["redis"]["url"].replace("//", f"//:{redis}@")
    place.settings["kafka"] |= {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "clocksvc",
        "sasl.password": kafka,
    }
    child = place.start("serve", "--log-level", "DEBUG", *place.write())
    eventually(lambda: get(f"{place.url}/livez"), within=30, what="the service to answer")
    for secret in (good, bad):
        for line in (
            f"GET /v1/clocks HTTP/1.1\r\nAuthorization: Bearer {secret}",
            f"GET /v1/clocks?token={secret} HTTP/1.1",
            f"GET /v1/clocks/{secret} HTTP/1.1\r\nAuthorization: Bearer {good}",
            f"GET /v1/clocks/checkins/ticks/stream?after={secret} HTTP/1.1\r\nAuthorization: Bearer {good}",
            f"GET /v1/clocks HTTP/1.1\r\nAuthorization: Basic {secret}",
            f"GET /v1/clocks HTTP/1.1\r\nAuthorization: Bearer {secret}\r\nAuthorization: Bearer {secret}",
            f"GET /v1/clocks HTTP/1.1\r\nAuthorization: Bearer {secret}\r\nUpgrade: websocket",
            f"GET /v1/clocks {secret} HTTP/1.1",
            f"{secret}",
            f"GET /v1/clocks HTTP/1.1\r\nAuthorization: {secret * 50_000}",
        ):
            raw(place, f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        body = json.dumps({"token": secret}).encode()
        head = f"POST /v1/clocks/checkins/reports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\n"
        kind = f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        raw(place, (head + kind).encode() + body)
        raw(place, f"{head}Transfer-Encoding: chunked\r\n\r\n{secret}\r\n".encode())
    eventually(lambda: "store unavailable" in place.output(), within=30, what="a line about Redis")
    child.send_signal(signal.SIGTERM)

    assert child.wait(30) == 0
    assert [secret for secret in (good, bad, redis, kafka) if secret[5:12] in place.output()] == []
    assert "Traceback" not in place.output()


def test_configuration_errors_name_the_field(folder_only: Workplace) -> None:
    """Every mistake on a line of its own."""
    folder_only.clock["interval"] = "0.5s"
    folder_only.settings["rediss"] = {}

    said = refusal(folder_only)

    assert said.startswith("clocksvc serve: the configuration")
    assert "clocks.checkins.interval" in said
    assert "rediss: unknown field: did you mean 'redis'?" in said


def test_setting_that_librdkafka_refuses(folder_only: Workplace) -> None:
    """Refused at start, not shown as a hold for ever."""
    folder_only.settings["kafka"]["ssl.ca.location"] = "/nowhere/ca.pem"
    folder_only.settings["kafka"]["security.protocol"] = "ssl"

    assert "ssl.ca.location" in refusal(folder_only)


def test_port_that_is_taken(folder_only: Workplace) -> None:
    """One clear line with the port."""
    with socket.create_server(("127.0.0.1", folder_only.port)):
        said = refusal(folder_only)

    assert f"api.port: {folder_only.port} is not valid: wanted a free port" in said


def test_no_bind_beyond_loopback_without_tokens(folder_only: Workplace) -> None:
    """The argument overrides the configuration, and is judged as it would be."""
    assert "api.host" in refusal(folder_only, "--host", "0.0.0.0")


def test_insecure_says_that_it_is_wanted(folder_only: Workplace) -> None:
    """With --insecure the same address is served; --port overrides the configured one."""
    port = free_ports(1)[0]
    child = folder_only.start("serve", "--host", "0.0.0.0", "--port", str(port), "--insecure", *folder_only.write())
    eventually(lambda: get(f"http://127.0.0.1:{port}/livez"), within=30, what="the service to answer")

    child.send_signal(signal.SIGTERM)

    assert child.wait(30) == 0


def test_as_many_connections_as_the_system_allows(folder_only: Workplace) -> None:
    """A connection is a file; the usual soft limit of 1,024 is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_024), hard))
    try:
        child = folder_only.start("serve", *folder_only.write())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: get(f"{folder_only.url}/livez"), within=30, what="the service to answer")

    assert resource.prlimit(child.pid, resource.RLIMIT_NOFILE)[0] > 1_024

    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0


def test_text_logs(folder_only: Workplace) -> None:
    """--log-format and --log-level say how lines look, and which there are."""
    child = folder_only.start("serve", "--log-format", "text", "--log-level", "warning", *folder_only.write())
    eventually(lambda: get(f"{folder_only.url}/livez"), within=30, what="the service to answer")
    eventually(lambda: "store unavailable" in folder_only.output(), within=30, what="a warning")

    child.send_signal(signal.SIGTERM)

    assert child.wait(30) == 0
    assert "serving" not in folder_only.output()
    assert not folder_only.output().startswith("{")
