"""The behaviour of all task queues: in memory, Celery over a real broker, the task platform over a real Kafka."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from celery import Celery
from confluent_kafka import Consumer, TopicPartition
from sentry_protos.taskbroker.v1.taskbroker_pb2 import TaskActivation

from clocksvc.celery.task_queue import CeleryTaskQueue, RoutingTaskQueue, TaskMessage, tick_arguments
from clocksvc.clock.tick import Tick
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import (
    CLOCK_HEADER,
    DUE_HEADER,
    ID_HEADER,
    TICK_HEADER,
    TRACE_HEADER,
    DueTask,
    TaskQueue,
)
from clocksvc.interfaces.task_routes import PlatformTask
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.taskbroker import TaskbrokerProducer, TaskbrokerQueue
from clocksvc.kafka.topics import KafkaTopics
from tests.system.installation import create_topic
from tests.unit.jobs.dispatcher_fixture import RecordingTaskQueue

CLOSE, BAD = "close", "bad"
"""Two schedules; the tasks of the second one can't be sent."""
BEGIN_MS = 1_795_348_800_000


@dataclass(frozen=True)
class Received:
    """One task as a worker receives it."""

    id: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Implementation:
    """A task queue, the same one with a broker that does not answer, and all tasks that the broker has."""

    queue: TaskQueue
    unreachable: TaskQueue
    received: Callable[[], list[Received]]


def in_memory() -> Implementation:
    queue = RecordingTaskQueue(rejecting={BAD})
    return Implementation(
        queue,
        RecordingTaskQueue(failing=100),
        lambda: [Received(task.id, task.headers) for task in queue.tasks],
    )


def celery_queue(url: str, name: str) -> CeleryTaskQueue:
    """A queue of the app `shop`; the argument of `bad` can't be encoded."""
    app = Celery("shop", broker=url)
    app.conf.update(task_default_queue=name, broker_transport_options={"max_retries": 1, "interval_step": 0.0})
    retry = {"retry": False}
    return CeleryTaskQueue(
        app,
        {
            CLOSE: TaskMessage("shop.close", tick_arguments, retry),
            BAD: TaskMessage("shop.bad", lambda tick: ((object(),), {}), retry),
        },
    )


def over_celery(url: str, name: str) -> Implementation:
    def received() -> list[Received]:
        found = []
        with Celery("worker", broker=url).connection_for_read() as connection:
            queue = connection.SimpleQueue(name)
            for _ in range(queue.qsize()):
                message = queue.get(timeout=10)
                ours = (ID_HEADER, CLOCK_HEADER, DUE_HEADER, TICK_HEADER, TRACE_HEADER)
                headers = {key: message.headers[key] for key in ours if key in message.headers}
                found.append(Received(message.headers["id"], headers))
            queue.close()
        return found

    nowhere = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    return Implementation(celery_queue(url, name), celery_queue(nowhere, name), received)


def over_kafka(bootstrap: str, topic: str) -> Implementation:
    create_topic(bootstrap, topic, 1, "CreateTime")
    tasks = {
        CLOSE: PlatformTask(topic, "shop", "ingest", "shop.close", 10),
        BAD: PlatformTask(topic, "shop", "ingest", "x" * 2_000_000, 10),
    }

    def queue(servers: str, timeout_s: float) -> TaskbrokerQueue:
        settings = {"bootstrap.servers": servers}
        producer = TaskbrokerProducer({}, KafkaTopics(settings), settings, SystemTime(), timeout_s)
        return TaskbrokerQueue(tasks, producer, SystemTime())

    def received() -> list[Received]:
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "worker"})
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
        consumer.assign([TopicPartition(topic, 0, 0)])
        records = consumer.consume(end, 20) if end else []
        consumer.close()
        found = [TaskActivation.FromString(record.value() or b"") for record in records]
        return [Received(_uuid(one.id), dict(one.headers)) for one in found]

    return Implementation(queue(bootstrap, 6.0), queue(f"127.0.0.1:{free_ports(1)[0]}", 1.0), received)


def _uuid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.servers) for name in ("celery", "kafka"))])
def direct(request: pytest.FixtureRequest) -> Implementation:
    """Each task queue that sends tasks itself."""
    value = request.getfixturevalue
    if request.param == "memory":
        return in_memory()
    if request.param == "celery":
        return over_celery(value("redis_url"), value("key_prefix"))
    return over_kafka(value("bootstrap"), value("key_prefix"))


@pytest.fixture(params=["direct", "routed"])
def implementation(request: pytest.FixtureRequest, direct: Implementation) -> Implementation:
    """Each of them, and each behind a RoutingTaskQueue."""
    if request.param == "direct":
        return direct
    return Implementation(_routed(direct.queue), _routed(direct.unreachable), direct.received)


def _routed(queue: TaskQueue) -> TaskQueue:
    return RoutingTaskQueue({CLOSE: queue, BAD: queue})


def due_task(minute: int, schedule: str = CLOSE) -> DueTask:
    at_ms = BEGIN_MS + minute * 60_000
    return DueTask(
        "clocksvc", "checkins", "tasks", schedule, at_ms - 1_000, Tick("checkins", at_ms, at_ms - 60_000, 60_000, at_ms)
    )


def test_a_task_arrives_with_id_and_headers(implementation: Implementation) -> None:
    """When `send` has returned, the broker has it: once, with the clock, the due time and the tick."""
    task = due_task(0)

    implementation.queue.send(task)

    assert implementation.received() == [
        Received(
            task.id,
            {
                ID_HEADER: task.id,
                CLOCK_HEADER: "checkins",
                DUE_HEADER: "2026-11-22T11:59:59Z",
                TICK_HEADER: "2026-11-22T12:00:00Z",
            },
        )
    ]


def test_a_task_arrives_with_the_trace_context_of_its_tick(implementation: Implementation) -> None:
    """As a header of W3C Trace Context, if it is traced."""
    task = replace(due_task(0), traced=True)

    implementation.queue.send(task)

    (received,) = implementation.received()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", received.headers[TRACE_HEADER])
    assert received.headers == task.headers


def test_tasks_keep_their_order(implementation: Implementation) -> None:
    """In one queue, or in one partition."""
    tasks = [due_task(minute) for minute in range(5)]
    for task in tasks:
        implementation.queue.send(task)

    assert [one.id for one in implementation.received()] == [task.id for task in tasks]


def test_a_repeated_task_has_the_same_id(implementation: Implementation) -> None:
    """So that workers recognize the duplicate."""
    implementation.queue.send(due_task(0))
    implementation.queue.send(due_task(0))

    first, second = implementation.received()
    assert first == second


def test_a_task_that_can_not_be_sent_is_rejected(implementation: Implementation) -> None:
    """It would be rejected again. Later tasks are accepted."""
    with pytest.raises(InvalidValue):
        implementation.queue.send(due_task(0, BAD))

    implementation.queue.send(due_task(1))

    assert [one.id for one in implementation.received()] == [due_task(1).id]


def test_a_broker_that_does_not_answer_is_an_error(implementation: Implementation) -> None:
    """The task can be sent again later."""
    for _ in range(2):
        with pytest.raises(TaskQueueUnavailable):
            implementation.unreachable.send(due_task(0))
