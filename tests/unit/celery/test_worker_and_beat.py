"""A real worker and a real beat over a real broker and Kafka: heartbeats come, on time, and both end when told."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis

from clocksvc.celery.application import build
from clocksvc.dev.child_process import ChildProcess
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.interfaces.store import Counters
from clocksvc.interfaces.time import SystemTime
from clocksvc.interfaces.topics import HEARTBEAT_HEADER
from clocksvc.metrics import Metrics
from clocksvc.service.bootstrap import open_store
from clocksvc.service.clock_view import ClockView
from clocksvc.service.tick_feed import Feed
from tests.unit.celery.programs import (
    Programs,
    Topic,
    create_topic,
    seconds_to_end,
)
from tests.waiting import eventually

pytestmark = pytest.mark.path


@pytest.fixture(scope="module")
def worker(programs: Programs) -> ChildProcess:
    """The one worker of this module."""
    return programs.worker()


@pytest.fixture
def beat(programs: Programs) -> Iterator[ChildProcess]:
    """A beat for one test."""
    child = programs.beat()
    yield child
    child.stop()


@pytest.fixture
def steady(bootstrap: str, prefix: str) -> Iterator[Topic]:
    """The topic that gets a heartbeat each second."""
    topic = Topic(bootstrap, f"{prefix}-steady", 3)
    yield topic
    topic.close()


def counters(programs: Programs, clock: str) -> Counters:
    """What the store has counted for a clock."""
    settings = programs.settings()
    store = open_store(settings, settings.clock_specs()[clock])
    try:
        return store.counters()
    finally:
        store.close()


def send(programs: Programs, clock: str, age_s: float = 0.0, expires: datetime | None = None) -> None:
    """Put a task into the queue by hand, due so long ago."""
    due_seconds = SystemTime().now_ms() / 1000 - age_s
    with build(programs.settings()) as app:
        app.send_task("clocksvc.heartbeat", args=(clock, due_seconds), expires=expires)


def queued(broker: ValkeyServer, queue: str) -> list[dict[str, object]]:
    """The messages that wait in a queue."""
    with redis.Redis.from_url(broker.url) as client:
        return [json.loads(message) for message in client.lrange(queue, 0, -1)]


def test_beat_fills_one_queue_and_no_file(programs: Programs, broker: ValkeyServer, beat: ChildProcess) -> None:
    """Beat's messages wait in `clocksvc` and nowhere else: due times in args, an expiry, JSON; nothing on disk."""
    messages = eventually(lambda: len(found := queued(broker, "clocksvc")) >= 2 and found, within=15)
    assert messages
    headers = [message["headers"] for message in messages]

    assert {header["task"] for header in headers} == {"clocksvc.heartbeat"}  # type: ignore[index]
    assert all(header["expires"] for header in headers)  # type: ignore[index]
    assert {message["content-type"] for message in messages} == {"application/json"}
    assert queued(broker, "celery") == []
    assert seconds_to_end(beat) < 5
    assert {path.name for path in programs.directory.iterdir()} == {"clocksvc.yaml", "beat.log"}
    with redis.Redis.from_url(broker.url) as client:
        client.delete("clocksvc")


def test_heartbeats_come_to_every_partition_on_time(
    programs: Programs, worker: ChildProcess, beat: ChildProcess, steady: Topic
) -> None:
    """Every partition gets records with the header, one for each second, just after it; the store counts them."""
    eventually(lambda: steady.at_least(4), within=20, what="four heartbeats in every partition")

    for records in steady.records.values():
        assert {tuple(header[0] for header in message.headers() or []) for message in records} == {(HEARTBEAT_HEADER,)}
        stamps = [message.timestamp()[1] for message in records]
        assert all(stamp % 1_000 < 800 for stamp in stamps)
        assert len({stamp // 1_000 for stamp in stamps}) == len(stamps)
    counted = counters(programs, "steady")
    assert counted.heartbeats["delivered"] >= 12
    assert counted.heartbeat_success_ms is not None


def test_the_leaders_metrics_show_what_workers_did(programs: Programs, worker: ChildProcess) -> None:
    """Heartbeats that a worker put in its own process are on the page of the process that leads."""
    send(programs, "steady")
    settings = programs.settings()
    spec = settings.clock_specs()["steady"]
    store = open_store(settings, spec)
    metrics = Metrics(["steady"])
    metrics.watch([ClockView(spec, store, Feed("steady", store, SystemTime()), SystemTime())])
    metrics.leading("steady", True)

    def value(series: str) -> float:
        return float(metrics.render()[0].decode().split(f"\n{series} ", 1)[1].split("\n", 1)[0])

    eventually(lambda: value('clocksvc_heartbeats_total{clock="steady",outcome="delivered"}') > 0)
    success = value('clocksvc_heartbeat_last_success_timestamp_seconds{clock="steady"}')
    assert 0 <= SystemTime().now_ms() / 1000 - success < 60
    store.close()


def test_expired_rounds_are_counted_and_put_nothing(
    programs: Programs, worker: ChildProcess, bootstrap: str, prefix: str
) -> None:
    """A round that waited too long is counted, be it Celery that drops the message or the round that is too old."""
    send(programs, "manual", age_s=90_000)
    send(programs, "manual", age_s=90_000, expires=datetime.now(UTC) - timedelta(hours=1))
    send(programs, "manual")

    expected = {"expired": 2, "delivered": 2}
    eventually(lambda: dict(counters(programs, "manual").heartbeats) == expected, within=15)
    topic = Topic(bootstrap, f"{prefix}-manual", 2)
    eventually(lambda: topic.at_least(1))
    assert [len(records) for records in topic.records.values()] == [1, 1]
    topic.close()


def test_a_failed_round_is_put_again(programs: Programs, worker: ChildProcess, bootstrap: str, prefix: str) -> None:
    """One message for a topic that is not there yet is tried again, within its life, until the topic is there."""
    send(programs, "missing")
    eventually(lambda: counters(programs, "missing").heartbeats.get("failed", 0) >= 2, within=20)
    assert counters(programs, "missing").heartbeat_success_ms is None

    create_topic(bootstrap, f"{prefix}-missing", 1)
    eventually(lambda: counters(programs, "missing").heartbeats.get("delivered", 0) == 1, within=30)


def undone(broker: ValkeyServer) -> int:
    """The messages that wait, and those that a worker has: a task that is to be tried again is among these."""
    with redis.Redis.from_url(broker.url) as client:
        return int(client.llen("clocksvc")) + int(client.hlen("unacked"))


def test_a_clock_that_is_not_configured_does_no_harm(
    programs: Programs, worker: ChildProcess, broker: ValkeyServer
) -> None:
    """A message for an unknown clock, in time or expired, is one warning that names it and says why it comes; it is not
    tried again, and the worker goes on."""
    send(programs, "nobodys")
    send(programs, "anothers", expires=datetime.now(UTC) - timedelta(hours=1))

    eventually(lambda: worker.log_since_start().count("is configured here") == 2, within=15, what="both to be told of")
    eventually(lambda: undone(broker) == 0, within=15, what="both to be done with")
    told = [json.loads(line) for line in worker.log_since_start().splitlines() if "is configured here" in line]
    assert {(line["clock"], line["level"]) for line in told} == {("nobodys", "WARNING"), ("anothers", "WARNING")}
    assert all("another installation" in line["message"] and "traceback" not in line for line in told)
    assert len(told) == 2
    assert worker.running


def test_heartbeats_go_on_after_the_brokers_outage(
    programs: Programs, worker: ChildProcess, beat: ChildProcess, steady: Topic, broker: ValkeyServer
) -> None:
    """Worker and beat outlive a broker that is killed and comes back empty, and heartbeats go on."""
    eventually(lambda: beat.log_since_start().count("Sending due task") > 1, within=20)
    broker.kill()
    eventually(lambda: "Connection refused" in beat.log_since_start(), within=20)
    broker.start()
    broker.wait_ready()
    steady.read()
    before = max(map(len, steady.records.values()))

    eventually(lambda: steady.at_least(before + 3), within=60, what="heartbeats after the outage")
    assert worker.running
    assert beat.running


def test_both_end_when_told(programs: Programs, worker: ChildProcess, beat: ChildProcess) -> None:
    """SIGTERM ends a working worker and beat within 5 s."""
    assert seconds_to_end(beat) < 5
    assert seconds_to_end(worker) < 5
