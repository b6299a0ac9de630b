"""Real child servers answer, restart on their data, and end with their parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.child_server import ChildServer, free_ports
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.unit.dev.test_child_process import gone
from tests.waiting import eventually

pytestmark = pytest.mark.servers

PARENT = """
import json, os, signal
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
server = {server}()
server.start()
fork = os.fork() if {fork} else None
if fork == 0:
    signal.pause()
print(json.dumps({{"pid": server.pid, "directory": str(server.directory), "fork": fork}}), flush=True)
signal.pause()
"""


def ask(server: ValkeyServer, command: str, *arguments: str) -> object:
    """Send one command to a Valkey over a new connection."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        answer: object = client.execute_command(command, *arguments)
        return answer


def put(server: KafkaServer, topic: str, value: bytes) -> None:
    """Write one record to partition 0 and wait for the acknowledgement."""
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all", "log_level": 0})
    producer.produce(topic, value=value, partition=0)
    assert producer.flush(30) == 0


def all_values(server: KafkaServer, topic: str, count: int) -> list[bytes | None]:
    """The first `count` values of a topic's partition 0."""
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "reader", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = consumer.consume(count, timeout=30)
        return [message.value() for message in messages]
    finally:
        consumer.close()


@pytest.fixture
def held_port() -> Iterator[int]:
    """A port on which another process listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_valkey_answers_and_keeps_nothing() -> None:
    """A Valkey without a data directory answers, is empty after a restart on its port, and removes its directory."""
    with ValkeyServer() as server:
        port, pid, directory = server.port, server.pid, server.directory
        assert ask(server, "SET", "k", "v") is True
        server.restart()
        assert server.port == port
        assert ask(server, "GET", "k") is None
        assert pid is not None
        assert gone(pid)
        pid = server.pid
    assert pid is not None
    assert gone(pid)
    assert not directory.exists()


def test_valkey_restarts_from_its_snapshot(tmp_path: Path) -> None:
    """With a data directory an orderly stop keeps the data, for this object and for the next one."""
    with ValkeyServer(data_dir=tmp_path) as server:
        ask(server, "SET", "k", "v")
        server.restart()
        assert ask(server, "GET", "k") == "v"
    with ValkeyServer(data_dir=tmp_path) as server:
        assert ask(server, "GET", "k") == "v"


def test_valkey_killed_loses_what_was_not_snapshotted(tmp_path: Path) -> None:
    """After a kill only the data saved before it comes back."""
    with ValkeyServer(data_dir=tmp_path) as server:
        ask(server, "SET", "saved", "v")
        ask(server, "SAVE")
        ask(server, "SET", "unsaved", "v")
        server.kill()
        assert not server.running
        server.start()
        server.wait_ready()
        assert ask(server, "MGET", "saved", "unsaved") == ["v", None]


def test_valkey_options() -> None:
    """A password is required and appears in no process list; policy and options reach the server."""
    password = 'pass "word"/@#'
    with ValkeyServer(password=password, maxmemory_policy="allkeys-lru", options={"maxmemory": "32mb"}) as server:
        assert ask(server, "CONFIG", "GET", "maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        assert ask(server, "CONFIG", "GET", "maxmemory") == {"maxmemory": str(32 * 1024 * 1024)}
        with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        listing = subprocess.run(["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert "valkey-server" in listing
        assert password not in listing


def test_kafka_answers_and_restarts_on_its_data() -> None:
    """Acknowledged records survive a restart and a kill, at the same address; `close` removes everything."""
    with KafkaServer() as server:
        address, directory, pids = server.bootstrap, server.directory, [server.pid]
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(30)
        put(server, "kept", b"first")

        server.restart()
        pids.append(server.pid)
        put(server, "kept", b"second")

        server.kill()
        assert not server.running
        server.start()
        server.wait_ready()
        pids.append(server.pid)
        assert server.bootstrap == address
        assert all_values(server, "kept", 2) == [b"first", b"second"]
        assert set(admin.list_topics(timeout=30).topics) >= {"kept"}
    assert [pid is not None and gone(pid) for pid in pids] == [True, True, True]
    assert not directory.exists()


def test_kafka_creates_no_topic_by_itself(bootstrap: str, key_prefix: str) -> None:
    """No request creates a missing topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "allow.auto.create.topics": True})
    admin.list_topics(key_prefix, timeout=30)
    assert key_prefix not in admin.list_topics(timeout=30).topics


@pytest.mark.parametrize("fork", [False, True], ids=["alone", "with-a-forked-copy"])
@pytest.mark.parametrize("server", [ValkeyServer, KafkaServer])
def test_a_server_dies_with_its_parent(server: type[ChildServer], fork: bool) -> None:
    """SIGKILL to the parent leaves no server and no directory, even if a fork of the parent still runs."""
    code = PARENT.format(server=server.__name__, fork=fork)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = json.loads(parent.stdout.readline())
        try:
            assert not gone(said["pid"])
            parent.kill()
            parent.wait()
            eventually(lambda: gone(said["pid"]), what="the server to die")
            eventually(lambda: not Path(said["directory"]).exists(), what="its directory to be removed")
        finally:
            if said["fork"]:
                os.kill(said["fork"], signal.SIGKILL)


def test_a_server_outlives_the_thread_that_started_it() -> None:
    """A server keeps running after the thread that started it has ended."""
    server = ValkeyServer()
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        server.wait_ready()
        assert ask(server, "PING") is True
    finally:
        server.close()


def take_port(port: int) -> socket.socket:
    """Listen on a port, as another process would."""
    thief = socket.socket()
    thief.bind(("127.0.0.1", port))
    thief.listen()
    return thief


@pytest.mark.parametrize("make", [ValkeyServer, KafkaServer])
def test_a_stolen_port_is_replaced(make: Callable[[], ChildServer]) -> None:
    """If another process takes the free port first, the server starts on another port."""
    server = make()
    stolen = server.port
    with take_port(stolen), server:
        assert server.port != stolen
        with socket.create_connection(("127.0.0.1", server.port), timeout=5):
            pass


def test_a_given_port_that_is_taken_is_an_error(held_port: int) -> None:
    """A given port is never replaced by another; the error has the server's log."""
    with pytest.raises(DevServerError, match=f"(?s){held_port}.*Address already in use"), ValkeyServer(port=held_port):
        pytest.fail("started on a port that is taken")


def test_free_ports_differ() -> None:
    """Ports from one call are different."""
    assert len(set(free_ports(50))) == 50


def test_starting_twice_is_refused() -> None:
    """A second start of a running server is an error that names it."""
    with ValkeyServer() as server, pytest.raises(DevServerError, match="runs already"):
        server.start()


def test_waiting_for_what_was_not_started_is_refused() -> None:
    """wait_ready without a start is an error that says what to do."""
    with pytest.raises(DevServerError, match=r"call start\(\) first"):
        ValkeyServer().wait_ready()


def test_the_shared_fixtures_give_addresses(bootstrap: str, redis_url: str) -> None:
    """Servers answer at `bootstrap` and `redis_url`."""
    assert AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=30).brokers
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
