"""Celery's programs while a server is away: rounds fail and are counted, and both programs still end when told."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from clocksvc.celery.application import build
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.interfaces.time import SystemTime
from clocksvc.service.bootstrap import open_store
from tests.unit.celery.programs import (
    Programs,
    clock,
    seconds_to_end,
)
from tests.waiting import eventually

pytestmark = pytest.mark.path


@pytest.fixture
def broker() -> Iterator[ValkeyServer]:
    """A Valkey whose queue only this test fills."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def silent_kafka() -> Iterator[socket.socket]:
    """Where Kafka ought to be: connections are taken, and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


@pytest.fixture
def away(tmp_path: Path, broker: ValkeyServer, silent_kafka: socket.socket) -> Iterator[Programs]:
    """Programs whose Kafka does not answer."""
    made = Programs(
        directory=tmp_path,
        bootstrap=f"127.0.0.1:{silent_kafka.getsockname()[1]}",
        redis_url=broker.url,
        prefix="away",
        clocks={"steady": clock("steady", interval="1s", every="1s")},
    )
    yield made
    made.close()


def send(programs: Programs) -> None:
    """Put a task for a round that is due now into the queue."""
    with build(programs.settings()) as app:
        app.send_task("clocksvc.heartbeat", args=("steady", SystemTime().now_ms() / 1000))


def failed(programs: Programs) -> int:
    """How many heartbeats the store has counted as failed."""
    settings = programs.settings()
    store = open_store(settings, settings.clock_specs()["steady"])
    try:
        return store.counters().heartbeats.get("failed", 0)
    finally:
        store.close()


def test_kafka_is_away(away: Programs) -> None:
    """Rounds that Kafka does not take are counted as failed, and a worker that waits for Kafka ends when told."""
    worker = away.worker()
    send(away)
    eventually(lambda: failed(away) >= 2, within=30)

    assert "heartbeats failed" in worker.log_since_start()
    assert seconds_to_end(worker) < 5


def test_the_broker_goes_away_during_a_round(away: Programs, broker: ValkeyServer, silent_kafka: socket.socket) -> None:
    """A worker outlives a broker that dies while a round waits for Kafka: it takes the next messages, and ends."""
    worker = away.worker()
    send(away)
    silent_kafka.accept()[0].close()
    broker.kill()
    eventually(lambda: "Cannot connect" in worker.log_since_start(), within=20)
    broker.start()
    broker.wait_ready()
    eventually(lambda: "before a message was acknowledged" in worker.log_since_start(), within=20)
    for _ in range(2):
        before = failed(away)
        send(away)
        eventually(lambda more=before + 1: failed(away) >= more, within=20)  # type: ignore[misc]

    assert worker.running
    assert seconds_to_end(worker) < 5


def test_the_broker_is_away(away: Programs, broker: ValkeyServer) -> None:
    """A worker and a beat that wait for their broker, from the start or since it went away, end when told."""
    worker = away.worker()
    broker.kill()
    beat = away.beat()
    eventually(lambda: "Connection refused" in worker.log_since_start(), within=20)
    eventually(lambda: "Connection refused" in beat.log_since_start(), within=20)

    assert seconds_to_end(beat) < 5
    assert seconds_to_end(worker) < 5
