"""clocksvc's worker and beat with a real broker and Kafka: heartbeats arrive on time, and both programs stop."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from clocksvc.celery.application import build
from clocksvc.clock.logs import log_of
from clocksvc.dev.child_process import ChildProcess
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.time import SystemTime
from clocksvc.interfaces.topics import HEARTBEAT_HEADER
from clocksvc.metrics.exposition import Metrics
from clocksvc.service.bootstrap import open_store, open_store_server
from clocksvc.service.clock_view import ClockView
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.tick_feed import TickFeed
from tests.system.beat.heartbeat_programs import HeartbeatPrograms, Topic, clock, seconds_to_end
from tests.system.installation import create_topic
from tests.waiting import eventually

pytestmark = pytest.mark.path


@pytest.fixture(scope="module")
def broker() -> Iterator[ValkeyServer]:
    """A Valkey for this module: the queue's name is fixed."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def prefix() -> str:
    """The prefix of this module's topics and keys."""
    return f"celery-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def programs(
    tmp_path_factory: pytest.TempPathFactory, bootstrap: str, broker: ValkeyServer, prefix: str
) -> Iterator[HeartbeatPrograms]:
    """Clocks: `steady` has a heartbeat each second, `manual` and `missing` one a day, `quiet` none.

    The topic of `missing` does not exist.
    """
    create_topic(bootstrap, f"{prefix}-steady", 3, "CreateTime")
    create_topic(bootstrap, f"{prefix}-manual", 2, "CreateTime")
    opened = HeartbeatPrograms(
        directory=Path(tmp_path_factory.mktemp("celery")),
        bootstrap=bootstrap,
        redis_url=broker.url,
        prefix=prefix,
        clocks={
            "steady": clock(f"{prefix}-steady", interval="1s", every="1s"),
            "manual": clock(f"{prefix}-manual", interval="1d", every="1d"),
            "missing": clock(f"{prefix}-missing", interval="1d", every="1d"),
            "quiet": clock(f"{prefix}-quiet", interval="1s", every=None),
        },
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def worker(programs: HeartbeatPrograms) -> ChildProcess:
    """The worker of this module."""
    return programs.worker()


@pytest.fixture
def beat(programs: HeartbeatPrograms) -> Iterator[ChildProcess]:
    """A beat for one test."""
    child = programs.beat()
    yield child
    child.stop()


@pytest.fixture
def steady(bootstrap: str, prefix: str) -> Iterator[Topic]:
    """The topic with a heartbeat each second."""
    topic = Topic(bootstrap, f"{prefix}-steady", 3)
    yield topic
    topic.close()


def counters(programs: HeartbeatPrograms, name: str) -> Counters:
    """The counters of a clock in the store."""
    settings = programs.settings()
    store = open_store(settings, settings.clock_specs()[name])
    try:
        return store.counters()
    finally:
        store.close()


def send(programs: HeartbeatPrograms, name: str, age_s: float = 0.0, expires: datetime | None = None) -> None:
    """Enqueue a task by hand that was due `age_s` ago."""
    due_seconds = SystemTime().now_ms() / 1000 - age_s
    with build(programs.settings()) as app:
        app.send_task("clocksvc.heartbeat", args=(name, due_seconds), expires=expires)


def queued(broker: ValkeyServer, queue: str) -> list[dict[str, object]]:
    """The messages in a queue."""
    with redis.Redis.from_url(broker.url) as client:
        return [json.loads(message) for message in client.lrange(queue, 0, -1)]


def test_beat_writes_to_one_queue_and_no_file(
    programs: HeartbeatPrograms, broker: ValkeyServer, beat: ChildProcess
) -> None:
    """Beat's messages are in the queue `clocksvc` alone, as JSON with an expiry; beat writes nothing to disk."""
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


def test_heartbeats_arrive_in_every_partition_on_time(
    programs: HeartbeatPrograms, worker: ChildProcess, beat: ChildProcess, steady: Topic
) -> None:
    """Every partition gets one record with the header just after each second; the store counts them."""
    eventually(lambda: steady.at_least(4), within=20, what="four heartbeats in every partition")

    for records in steady.records.values():
        assert {tuple(header[0] for header in message.headers() or []) for message in records} == {(HEARTBEAT_HEADER,)}
        stamps = [message.timestamp()[1] for message in records]
        assert all(stamp % 1_000 < 800 for stamp in stamps)
        assert len({stamp // 1_000 for stamp in stamps}) == len(stamps)
    counted = counters(programs, "steady")
    assert counted.heartbeats["delivered"] >= 12
    assert counted.heartbeat_success_ms is not None


def test_the_leaders_metrics_include_the_workers_heartbeats(programs: HeartbeatPrograms, worker: ChildProcess) -> None:
    """Heartbeats that a worker sent are in the metrics of the leader's process."""
    send(programs, "steady")
    settings = programs.settings()
    spec = settings.clock_specs()["steady"]
    store = open_store(settings, spec)
    metrics = Metrics(["steady"])
    view = ClockView(spec, store, TickFeed("steady", store, SystemTime()), SystemTime())
    metrics.watch(ClockViews({"steady": view}, open_store_server(settings).clock_reads()))
    metrics.leading(log_of("steady"), True)

    def value(series: str) -> float:
        return float(metrics.render()[0].decode().split(f"\n{series} ", 1)[1].split("\n", 1)[0])

    eventually(lambda: value('clocksvc_heartbeats_total{clock="steady",outcome="delivered"}') > 0)
    success = value('clocksvc_heartbeat_last_success_timestamp_seconds{clock="steady"}')
    assert 0 <= SystemTime().now_ms() / 1000 - success < 60
    store.close()


def test_expired_rounds_are_counted_and_send_nothing(
    programs: HeartbeatPrograms, worker: ChildProcess, bootstrap: str, prefix: str
) -> None:
    """Both if Celery drops the expired message, and if the round itself is too old."""
    send(programs, "manual", age_s=90_000)
    send(programs, "manual", age_s=90_000, expires=datetime.now(UTC) - timedelta(hours=1))
    send(programs, "manual")

    expected = {"expired": 2, "delivered": 2}
    eventually(lambda: dict(counters(programs, "manual").heartbeats) == expected, within=15)
    topic = Topic(bootstrap, f"{prefix}-manual", 2)
    eventually(lambda: topic.at_least(1))
    assert [len(records) for records in topic.records.values()] == [1, 1]
    topic.close()


def test_a_failed_round_is_retried(
    programs: HeartbeatPrograms, worker: ChildProcess, bootstrap: str, prefix: str
) -> None:
    """A message for a missing topic is retried within its TTL, until the topic exists."""
    send(programs, "missing")
    eventually(lambda: counters(programs, "missing").heartbeats.get("failed", 0) >= 2, within=20)
    assert counters(programs, "missing").heartbeat_success_ms is None

    create_topic(bootstrap, f"{prefix}-missing", 1, "CreateTime")
    eventually(lambda: counters(programs, "missing").heartbeats.get("delivered", 0) == 1, within=30)


def unfinished(broker: ValkeyServer) -> int:
    """The number of messages in the queue and in the worker, including tasks that wait for a retry."""
    with redis.Redis.from_url(broker.url) as client:
        return int(client.llen("clocksvc")) + int(client.hlen("unacked"))


def test_a_message_for_an_unknown_clock_is_dropped(
    programs: HeartbeatPrograms, worker: ChildProcess, broker: ValkeyServer
) -> None:
    """Expired or not, it causes one warning with the clock's name and the probable cause; it is not retried."""
    send(programs, "unknown")
    send(programs, "foreign", expires=datetime.now(UTC) - timedelta(hours=1))

    eventually(lambda: worker.log_since_start().count("heartbeat lost: ") == 2, within=15, what="both warnings")
    eventually(lambda: unfinished(broker) == 0, within=15, what="both tasks to be finished")
    logged = [json.loads(line) for line in worker.log_since_start().splitlines() if "heartbeat lost: " in line]
    assert {(line["clock"], line["level"]) for line in logged} == {("unknown", "WARNING"), ("foreign", "WARNING")}
    assert all("Another installation" in line["message"] and "traceback" not in line for line in logged)
    assert len(logged) == 2
    assert worker.running


def test_heartbeats_continue_after_an_outage_of_the_broker(
    programs: HeartbeatPrograms, worker: ChildProcess, beat: ChildProcess, steady: Topic, broker: ValkeyServer
) -> None:
    """The broker is killed and comes back empty; worker and beat keep running."""
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


def test_sigterm_ends_both_programs(programs: HeartbeatPrograms, worker: ChildProcess, beat: ChildProcess) -> None:
    """Within 5 s, while they are busy."""
    assert seconds_to_end(beat) < 5
    assert seconds_to_end(worker) < 5
