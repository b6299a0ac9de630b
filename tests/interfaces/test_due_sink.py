"""The behaviour of the sinks of due schedules: Celery over a real broker, the task platform over a real Kafka.

What happens without a broker is in test_task_queue.py, which sends in the same way.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest
from celery import Celery
from confluent_kafka import Consumer, TopicPartition
from sentry_protos.taskbroker.v1.taskbroker_pb2 import TaskActivation

from clocksvc.celery.due_sink import CeleryDueSink
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.due_sink import DueSink
from clocksvc.interfaces.task_routes import PlatformTask, Routes
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.taskbroker import TaskbrokerDueSink, TaskbrokerProducer
from clocksvc.kafka.topics import KafkaTopics
from tests.system.installation import create_topic

pytestmark = pytest.mark.servers

CHECK, ELSEWHERE = "uptime.check", "billing.close"
"""Two tasks. The second one is not routed to the sink."""


@dataclass(frozen=True)
class Received:
    """One task as a worker receives it."""

    task: str
    id: str
    headers: dict[str, str]
    arguments: list[Any]


@dataclass(frozen=True)
class Implementation:
    """A sink, and all tasks that its broker has."""

    sink: DueSink
    received: Callable[[], list[Received]]


def over_celery(url: str, name: str) -> Implementation:
    routes = Routes({"uptime": name, "billing": "a-topic"}, platform={"billing"})

    app = Celery("clocksvc", broker=url, set_as_current=False)
    app.conf.update(task_publish_retry=False, broker_transport_options={"max_retries": 1, "interval_step": 0.0})

    def received() -> list[Received]:
        found = []
        with Celery("worker", broker=url).connection_for_read() as connection:
            queue = connection.SimpleQueue(name)
            for _ in range(queue.qsize()):
                message = queue.get(timeout=10)
                own = {key: value for key, value in message.headers.items() if key.startswith("clocksvc-")}
                positional, named, _embedded = message.payload
                assert named == {}
                found.append(Received(message.headers["task"], message.headers["id"], own, positional))
            queue.close()
        return found

    return Implementation(CeleryDueSink(app, routes), received)


def over_kafka(bootstrap: str, topic: str) -> Implementation:
    create_topic(bootstrap, topic, 1, "CreateTime")

    def received() -> list[Received]:
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "worker"})
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
        consumer.assign([TopicPartition(topic, 0, 0)])
        records = consumer.consume(end, 20) if end else []
        consumer.close()
        found = []
        for one in [TaskActivation.FromString(record.value() or b"") for record in records]:
            arguments = msgpack.unpackb(one.parameters_bytes)
            assert arguments["kwargs"] == {}
            found.append(Received(one.taskname, str(uuid.UUID(one.id)), dict(one.headers), arguments["args"]))
        return found

    settings, time = {"bootstrap.servers": bootstrap}, SystemTime()
    producer = TaskbrokerProducer({}, KafkaTopics(settings), settings, time)
    tasks = {CHECK: PlatformTask(topic, "shop", "uptime", CHECK, 10)}
    return Implementation(TaskbrokerDueSink(tasks.get, producer, time), received)


@pytest.fixture(params=["celery", "kafka"])
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """Each sink."""
    value = request.getfixturevalue
    if request.param == "celery":
        return over_celery(value("redis_url"), value("key_prefix"))
    return over_kafka(value("bootstrap"), value("key_prefix"))


def due(number: int, payload: object = None, task: str = CHECK) -> DueLogRecord:
    """A due record."""
    headers = {
        "clocksvc-id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
        "clocksvc-schedule": f"monitor-{number}",
        "clocksvc-task": task,
        "clocksvc-clock": "checkins",
        "clocksvc-due": "2026-11-22T12:00:00Z",
        "clocksvc-tick": "2026-11-22T12:00:00Z",
    }
    encoded = [(name, value.encode()) for name, value in headers.items()]
    return DueLogRecord(f"monitor-{number}".encode(), json.dumps(payload).encode(), encoded)


def nothing() -> None:
    """No keep-alive."""


def test_a_task_has_id_headers_and_payload(implementation: Implementation) -> None:
    """When `send` has returned, the broker has it. The payload is the only argument."""
    record = due(1, {"url": "https://example.org/ü", "limits": [1, 2.5, None, True]})

    assert implementation.sink.send([record], nothing) == []

    headers = {name: value.decode() for name, value in record.headers}
    assert implementation.received() == [Received(CHECK, headers["clocksvc-id"], headers, [json.loads(record.value)])]


def test_tasks_keep_their_order(implementation: Implementation) -> None:
    """In one queue, or in one partition. A repeated task has the same id."""
    records = [due(number) for number in range(120)]
    kept_alive: list[None] = []

    implementation.sink.send(records, lambda: kept_alive.append(None))
    implementation.sink.send(records[:1], nothing)

    assert [one.headers["clocksvc-schedule"] for one in implementation.received()] == [
        *(f"monitor-{number}" for number in range(120)),
        "monitor-0",
    ]


def test_a_task_without_a_route_is_rejected(implementation: Implementation) -> None:
    """The others are sent."""
    records = [due(1), due(2, task=ELSEWHERE), due(3)]

    (rejected,) = implementation.sink.send(records, nothing)

    assert rejected.record == records[1]
    assert ELSEWHERE in rejected.problem
    assert [one.headers["clocksvc-schedule"] for one in implementation.received()] == ["monitor-1", "monitor-3"]


@pytest.mark.parametrize("payload", [b"1" * 5_000, b"[" * 990 + b"]" * 990], ids=["digits", "nested"])
def test_a_payload_that_python_can_not_decode_is_rejected(implementation: Implementation, payload: bytes) -> None:
    """Another program can have written it. The partition must not stop at it."""
    records = [due(1), due(2)._replace(value=payload), due(3)]

    (rejected,) = implementation.sink.send(records, nothing)

    assert rejected.record == records[1]
    assert [one.headers["clocksvc-schedule"] for one in implementation.received()] == ["monitor-1", "monitor-3"]


def test_numbers_that_the_platform_can_not_have_are_rejected(bootstrap: str, key_prefix: str) -> None:
    """MessagePack has no larger integers. JSON has."""
    implementation = over_kafka(bootstrap, key_prefix)

    (rejected,) = implementation.sink.send([due(1, 2**70), due(2)], nothing)

    assert rejected.record == due(1, 2**70)
    assert [one.headers["clocksvc-schedule"] for one in implementation.received()] == ["monitor-2"]


def test_a_record_that_the_platforms_topic_rejects(bootstrap: str, key_prefix: str) -> None:
    """The others of its batch are sent."""
    settings = {"bootstrap.servers": bootstrap, "message.max.bytes": "10000"}
    implementation = over_kafka(bootstrap, key_prefix)
    producer = TaskbrokerProducer({}, KafkaTopics(settings), settings, SystemTime())
    tasks = {CHECK: PlatformTask(key_prefix, "shop", "uptime", CHECK, 10)}

    (rejected,) = TaskbrokerDueSink(tasks.get, producer, SystemTime()).send(
        [due(1), due(2, "x" * 20_000), due(3)], nothing
    )

    assert rejected.record.key == b"monitor-2"
    assert [one.headers["clocksvc-schedule"] for one in implementation.received()] == ["monitor-1", "monitor-3"]
