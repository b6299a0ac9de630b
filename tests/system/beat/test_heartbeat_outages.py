"""clocksvc's worker and beat while a server is unavailable: rounds fail and are counted, and both programs stop."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from clocksvc.celery.application import build
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.interfaces.time import SystemTime
from clocksvc.service.bootstrap import open_store
from tests.system.beat.heartbeat_programs import HeartbeatPrograms, clock, seconds_to_end
from tests.waiting import eventually

pytestmark = pytest.mark.path


@pytest.fixture
def broker() -> Iterator[ValkeyServer]:
    """A Valkey for this test alone."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def silent_kafka() -> Iterator[socket.socket]:
    """A listener in place of Kafka that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


@pytest.fixture
def programs(tmp_path: Path, broker: ValkeyServer, silent_kafka: socket.socket) -> Iterator[HeartbeatPrograms]:
    """Programs whose Kafka does not answer."""
    opened = HeartbeatPrograms(
        directory=tmp_path,
        bootstrap=f"127.0.0.1:{silent_kafka.getsockname()[1]}",
        redis_url=broker.url,
        prefix="away",
        clocks={"steady": clock("steady", interval="1s", every="1s")},
    )
    yield opened
    opened.close()


def send(programs: HeartbeatPrograms) -> None:
    """Enqueue a task for a round that is due now."""
    with build(programs.settings()) as app:
        app.send_task("clocksvc.heartbeat", args=("steady", SystemTime().now_ms() / 1000))


def failed(programs: HeartbeatPrograms) -> int:
    """The number of failed heartbeats in the store."""
    settings = programs.settings()
    store = open_store(settings, settings.clock_specs()["steady"])
    try:
        return store.counters().heartbeats.get("failed", 0)
    finally:
        store.close()


def test_kafka_is_unavailable(programs: HeartbeatPrograms) -> None:
    """Rounds are counted as failed, and a worker that waits for Kafka stops on SIGTERM."""
    worker = programs.worker()
    send(programs)
    eventually(lambda: failed(programs) >= 2, within=30)

    assert "heartbeats failed" in worker.log_since_start()
    assert seconds_to_end(worker) < 5


def received(broker: ValkeyServer) -> int:
    """The number of messages that workers have received and not acknowledged."""
    with redis.Redis.from_url(broker.url) as client:
        return int(client.hlen("unacked"))


def test_the_connection_is_lost_during_a_round(
    programs: HeartbeatPrograms, broker: ValkeyServer, silent_kafka: socket.socket
) -> None:
    """The round waits for Kafka meanwhile. The worker does not acknowledge its message, and keeps running."""
    worker = programs.worker()
    send(programs)
    eventually(lambda: received(broker) == 1, what="the worker to have the message")
    for _ in range(3):  # the round tries to connect again and again
        silent_kafka.accept()[0].close()
    with redis.Redis.from_url(broker.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    eventually(lambda: "before a message was acknowledged" in worker.log_since_start(), within=20)

    assert worker.running


def test_the_broker_dies_during_a_round(
    programs: HeartbeatPrograms, broker: ValkeyServer, silent_kafka: socket.socket
) -> None:
    """The worker keeps running, takes the next messages, and stops on SIGTERM."""
    worker = programs.worker()
    send(programs)
    eventually(lambda: received(broker) == 1, what="the worker to have the message")
    silent_kafka.accept()[0].close()
    broker.kill()
    eventually(lambda: "Cannot connect" in worker.log_since_start(), within=20)
    broker.start()
    broker.wait_ready()
    eventually(lambda: worker.log_since_start().count("Connected to redis") == 2, within=20)
    for _ in range(2):
        before = failed(programs)
        send(programs)
        eventually(lambda more=before + 1: failed(programs) >= more, within=20)  # type: ignore[misc]

    assert worker.running
    assert seconds_to_end(worker) < 5


def test_the_broker_is_away(programs: HeartbeatPrograms, broker: ValkeyServer) -> None:
    """A worker that lost its broker and a beat that never had one stop on SIGTERM."""
    worker = programs.worker()
    broker.kill()
    beat = programs.beat()
    eventually(lambda: "Connection refused" in worker.log_since_start(), within=20)
    eventually(lambda: "Connection refused" in beat.log_since_start(), within=20)

    assert seconds_to_end(beat) < 5
    assert seconds_to_end(worker) < 5
