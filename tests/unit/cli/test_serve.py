"""`clocksvc serve` as a child process: start, answers, errors, and an orderly end."""

import json
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from clocksvc.dev.child_server import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.redis.store import open_redis_store
from tests.unit.cli.conftest import Workspace, wait_ready
from tests.waiting import eventually


def get(url: str, **headers: str) -> Any:
    """The JSON of an answer with status 200."""
    answer = urllib3.request("GET", url, headers=headers, retries=False, timeout=10)
    assert answer.status == 200, answer.data
    return answer.json()


def start_error(workspace: Workspace, *arguments: str) -> str:
    """The output of a `serve` that does not start: exit code 1, no traceback."""
    child = workspace.start("serve", *arguments, *workspace.write())
    assert child.wait(30) == 1
    assert "Traceback" not in workspace.output()
    return workspace.output()


def hold_reason(workspace: Workspace) -> str | None:
    """The reason of the clock's hold, from the service."""
    hold = get(f"{workspace.url}/v1/clocks/checkins")["hold"]
    return None if hold is None else str(hold["reason"])


@pytest.mark.servers
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_start_answer_and_orderly_end(workspace: Workspace, ended_by: signal.Signals) -> None:
    """Within 2 s after the signal an open stream ends with a retry hint and the lease is free; the exit code is 0."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    child = workspace.start("serve", *workspace.write())
    wait_ready(workspace)
    eventually(lambda: hold_reason(workspace) == "partition_unreported", within=30, what="the leader's status")
    stream = urllib3.request(
        "GET", f"{workspace.url}/v1/clocks/checkins/ticks/stream", preload_content=False, retries=False, timeout=10
    )
    assert b"event: state" in stream.read1()

    began = time.monotonic()
    child.send_signal(ended_by)
    code = child.wait(20)
    took_s = time.monotonic() - began

    assert code == 0, workspace.output()
    assert took_s < 2.0
    assert b"retry:" in b"".join(iter(stream.read1, b""))
    store = open_redis_store(workspace.redis_url, "checkins", workspace.prefix)
    assert store.snapshot().leader is None
    store.close()
    lines = [json.loads(line) for line in workspace.output().splitlines()]
    assert [line["clocks"] for line in lines if line["message"] == "serving"] == ["checkins"]
    assert lines[-1]["message"] == "ended"


@contextmanager
def unfinished_clients(workspace: Workspace) -> Iterator[dict[str, socket.socket]]:
    """Sockets with: a stream that is not read, one that is read, two long polls, half a head, half a body."""
    clock = "/v1/clocks/checkins"
    sent = {
        "unread stream": f"GET {clock}/ticks/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "stream": f"GET {clock}/ticks/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "wait": f"GET {clock}/wait?until=2099-01-01T00:00:00Z&timeout=50 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "poll": f"GET {clock}/ticks?timeout=50 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "half a head": "GET /livez HT",
        "half a body": f"POST {clock}/reports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 99\r\n\r\n{",
    }
    with ExitStack() as stack:
        clients = {}
        for name, text in sent.items():
            clients[name] = stack.enter_context(socket.create_connection(("127.0.0.1", workspace.port), timeout=20))
            clients[name].sendall(text.encode())
        began = b""
        while b"event: state" not in began:
            chunk = clients["stream"].recv(65_536)
            assert chunk, began
            began += chunk
        # Requests that came after them have been answered, so the server has begun with them.
        get(f"{workspace.url}/livez")
        yield clients


def rest_of(client: socket.socket) -> bytes:
    """The rest of the answer until the service closes the connection."""
    seen = b""
    try:
        while chunk := client.recv(65_536):
            seen += chunk
    except ConnectionResetError:
        pass
    return seen


@pytest.mark.servers
@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,) * 2])
def test_no_client_delays_the_end(workspace: Workspace, signals: tuple[signal.Signals, ...]) -> None:
    """Long polls are answered; incomplete requests and unread streams are closed. It takes about a second, exit
    code 0, no traceback. A second signal does not delay it."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    child = workspace.start("serve", *workspace.write())
    wait_ready(workspace)
    eventually(lambda: hold_reason(workspace) == "partition_unreported", within=30, what="the leader's status")
    with unfinished_clients(workspace) as clients:
        began = time.monotonic()
        for one in signals:
            child.send_signal(one)
        code = child.wait(20)
        took_s = time.monotonic() - began
        answers = {name: rest_of(client) for name, client in clients.items()}

    assert code == 0, workspace.output()
    assert took_s < 4.0
    if len(signals) == 1:
        assert b"retry: " in answers["stream"]
        assert answers["stream"].endswith(b"0\r\n\r\n")
        assert b" 503 " in answers["wait"].splitlines()[0]
        assert b"retry-after: 1" in answers["wait"].lower()
        assert b" 200 " in answers["poll"].splitlines()[0]
    assert answers["half a head"] == b""
    # The server itself may log that an incomplete request was cancelled.
    lines = [line for line in workspace.output().splitlines() if "CancelledError" not in line]
    assert not any("Traceback" in line for line in lines)
    assert json.loads(workspace.output().splitlines()[-1])["message"] == "ended"


@pytest.mark.servers
def test_another_replica_leads_before_the_last_client_is_gone(workspace: Workspace) -> None:
    """The lease is released at once: another replica leads while this one still waits for half a request."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    ports = (workspace.port, free_ports(1)[0])
    store = open_redis_store(workspace.redis_url, "checkins", workspace.prefix)

    def leader() -> str:
        return store.snapshot().leader or ""

    first = workspace.start("serve", *workspace.write())
    eventually(leader, within=30, what="a leader")
    second = workspace.start("serve", "--port", str(ports[1]), *workspace.write())
    eventually(lambda: get(f"http://127.0.0.1:{ports[1]}/readyz"), within=30, what="the second replica")
    assert leader().endswith(f":{first.pid}")
    with unfinished_clients(workspace) as clients:
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
def test_answers_are_not_delayed(workspace: Workspace) -> None:
    """On a kept connection the second half of an answer does not wait for the client's delayed ACK (40 ms)."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    workspace.start("serve", *workspace.write())
    wait_ready(workspace)
    took = []
    with urllib3.PoolManager(retries=False) as pool:
        for _ in range(31):
            began = time.monotonic()
            assert pool.request("GET", f"{workspace.url}/livez").status == 200
            took.append(time.monotonic() - began)

    assert sorted(took)[15] < 0.03


@pytest.mark.servers
def test_a_long_poll_is_answered_at_the_end(workspace: Workspace) -> None:
    """A long poll is answered at once; its connection is not reset."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    child = workspace.start("serve", *workspace.write())
    wait_ready(workspace)
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=20) as poll:
        path = "/v1/clocks/checkins/wait?until=2099-01-01T00:00:00Z&timeout=50"
        poll.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        # A request that came after it has been answered, so the server has begun with it.
        get(f"{workspace.url}/livez")

        child.send_signal(signal.SIGTERM)

        assert b" 503 " in poll.recv(65_536).splitlines()[0]
    assert child.wait(20) == 0


@pytest.mark.servers
def test_serves_while_redis_is_down_and_recovers(workspace: Workspace) -> None:
    """It starts, shows why the clock holds, and recovers by itself when the store answers."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    valkey = ValkeyServer(port=free_ports(1)[0], maxmemory_policy="volatile-lru", options={"maxmemory": "100mb"})
    workspace.settings["redis"]["url"] = valkey.url
    child = workspace.start("serve", *workspace.write())
    eventually(lambda: get(f"{workspace.url}/livez"), within=30, what="the service to answer")
    assert hold_reason(workspace) == "store_unavailable"

    with valkey:
        eventually(lambda: hold_reason(workspace) == "partition_unreported", within=30, what="the clock to be led")
        eventually(lambda: "volatile-lru" in workspace.output(), within=20, what="a warning of the eviction policy")
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


@pytest.mark.servers
def test_kafka_down_at_start(workspace: Workspace) -> None:
    """It shows the hold and ends in order."""
    workspace.settings["kafka"]["bootstrap.servers"] = f"127.0.0.1:{free_ports(1)[0]}"
    child = workspace.start("serve", *workspace.write())
    wait_ready(workspace)
    expected = {"ticklog_unavailable", "metadata_unavailable"}
    eventually(lambda: hold_reason(workspace) in expected, within=30, what="the hold")

    child.send_signal(signal.SIGTERM)

    assert child.wait(20) == 0, workspace.output()


@pytest.mark.servers
def test_tokens_guard_the_api(workspace: Workspace) -> None:
    """The API needs a configured token; probes do not."""
    workspace.settings["api"]["tokens"] = [{"name": "grafana", "token": "a-token-of-sixteen", "scopes": ["read"]}]
    child = workspace.start("serve", *workspace.write())
    wait_ready(workspace)

    refused = urllib3.request("GET", f"{workspace.url}/v1/clocks", retries=False, timeout=10)

    assert refused.status == 401
    assert (
        get(f"{workspace.url}/v1/clocks", Authorization="Bearer a-token-of-sixteen")["clocks"][0]["clock"] == "checkins"
    )
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0


def raw(workspace: Workspace, data: bytes) -> bytes:
    """The answer to these bytes until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=20) as client:
        client.sendall(data)
        return rest_of(client)


def test_no_secret_is_ever_logged(offline_workspace: Workspace) -> None:
    """At DEBUG, with many kinds of errors: neither valid nor invalid tokens, in any part of a request, nor the
    passwords of Redis and Kafka."""
    good, bad, redis, kafka = "good-Zq81xVmKp0aa", "near-Wn47tYbRc9bb", "redis-Hd63fLsGu5cc", "kafka-Jt29eDkXo7dd"
    workspace = offline_workspace
    workspace.settings["api"]["tokens"] = [{"name": "grafana", "token": good, "scopes": ["read"]}]
    workspace.settings["redis"]["url"] = workspace.settings["redis"]["url"].replace("//", f"//:{redis}@")
    workspace.settings["kafka"] |= {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "clocksvc",
        "sasl.password": kafka,
    }
    child = workspace.start("serve", "--log-level", "DEBUG", *workspace.write())
    eventually(lambda: get(f"{workspace.url}/livez"), within=30, what="the service to answer")
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
            raw(workspace, f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        body = json.dumps({"token": secret}).encode()
        head = f"POST /v1/clocks/checkins/reports HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {good}\r\n"
        kind = f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        raw(workspace, (head + kind).encode() + body)
        raw(workspace, f"{head}Transfer-Encoding: chunked\r\n\r\n{secret}\r\n".encode())
    eventually(lambda: "store unavailable" in workspace.output(), within=30, what="a line about Redis")
    child.send_signal(signal.SIGTERM)

    assert child.wait(30) == 0
    assert [secret for secret in (good, bad, redis, kafka) if secret[5:12] in workspace.output()] == []
    assert "Traceback" not in workspace.output()


def test_configuration_errors_name_the_field(offline_workspace: Workspace) -> None:
    """Each problem is on its own line."""
    offline_workspace.clock["interval"] = "0.5s"
    offline_workspace.settings["rediss"] = {}

    shown = start_error(offline_workspace)

    assert shown.startswith("clocksvc serve: the configuration")
    assert "clocks.checkins.interval" in shown
    assert "rediss: unknown field: did you mean 'redis'?" in shown


def test_a_setting_that_librdkafka_rejects(offline_workspace: Workspace) -> None:
    """The start fails; it does not end in a permanent hold."""
    offline_workspace.settings["kafka"]["ssl.ca.location"] = "/nowhere/ca.pem"
    offline_workspace.settings["kafka"]["security.protocol"] = "ssl"

    assert "ssl.ca.location" in start_error(offline_workspace)


def test_port_that_is_taken(offline_workspace: Workspace) -> None:
    """One line that names the port."""
    with socket.create_server(("127.0.0.1", offline_workspace.port)):
        shown = start_error(offline_workspace)

    assert f"api.port: {offline_workspace.port} is not valid: wanted a free port" in shown


def test_no_bind_beyond_loopback_without_tokens(offline_workspace: Workspace) -> None:
    """The argument overrides the configuration and is checked in the same way."""
    assert "api.host" in start_error(offline_workspace, "--host", "0.0.0.0")


def test_insecure_allows_other_addresses(offline_workspace: Workspace) -> None:
    """With --insecure the address is served; --port overrides the configured port."""
    port = free_ports(1)[0]
    child = offline_workspace.start(
        "serve", "--host", "0.0.0.0", "--port", str(port), "--insecure", *offline_workspace.write()
    )
    eventually(lambda: get(f"http://127.0.0.1:{port}/livez"), within=30, what="the service to answer")

    child.send_signal(signal.SIGTERM)

    assert child.wait(30) == 0


def test_without_tokens_another_host_is_not_answered(offline_workspace: Workspace) -> None:
    """A web page at another name that resolves to 127.0.0.1 can't pause a clock, nor read one."""
    offline_workspace.settings["api"]["hosts"] = ["clock.example.com"]
    offline_workspace.start("serve", *offline_workspace.write())
    eventually(lambda: get(f"{offline_workspace.url}/livez"), within=30, what="the service to answer")

    def status(host: str) -> int:
        url, body = f"{offline_workspace.url}/v1/clocks/checkins/pause", {"reason": "rebinding"}
        return urllib3.request("POST", url, json=body, headers={"Host": host}, retries=False, timeout=10).status

    assert [status(host) for host in ("evil.example", "localhost:1", "clock.example.com")] == [421, 503, 503]


def test_as_many_connections_as_the_system_allows(offline_workspace: Workspace) -> None:
    """A connection is a file; the soft limit of 1,024 is raised to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_024), hard))
    try:
        child = offline_workspace.start("serve", *offline_workspace.write())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: get(f"{offline_workspace.url}/livez"), within=30, what="the service to answer")

    assert resource.prlimit(child.pid, resource.RLIMIT_NOFILE)[0] > 1_024

    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0


def test_a_kafka_out_of_reach_is_one_line(tmp_path: Path, redis_url: str, key_prefix: str) -> None:
    """Not one for each attempt of each client: librdkafka alone tries to connect many times a second."""
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    with closing(Workspace(tmp_path, redis_url, dead, key_prefix)) as workspace:
        workspace.settings["clocks"] = {f"clock-{number}": workspace.clock for number in range(4)}
        child = workspace.start("serve", *workspace.write())
        eventually(lambda: workspace.output().count("lease acquired") == 4, within=30, what="four leaders")
        eventually(lambda: "clocksvc.kafka" in workspace.output(), within=30, what="a line about Kafka")
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
        lines = [json.loads(line) for line in workspace.output().splitlines()]

    (line,) = [line["message"] for line in lines if line["logger"] == "clocksvc.kafka"]
    assert line.startswith(f"kafka client: {dead}/bootstrap: Connect to ")


def test_text_logs(offline_workspace: Workspace) -> None:
    """--log-format and --log-level set the format and the level. All leaders share the line about Redis."""
    offline_workspace.settings["clocks"] = {f"clock-{number}": offline_workspace.clock for number in range(4)}
    child = offline_workspace.start(
        "serve", "--log-format", "text", "--log-level", "warning", *offline_workspace.write()
    )
    eventually(lambda: get(f"{offline_workspace.url}/livez"), within=30, what="the service to answer")
    eventually(lambda: "store unavailable" in offline_workspace.output(), within=30, what="a warning")

    child.send_signal(signal.SIGTERM)

    assert child.wait(30) == 0
    assert "serving" not in offline_workspace.output()
    assert offline_workspace.output().count("store unavailable") == 1
    assert not offline_workspace.output().startswith("{")
