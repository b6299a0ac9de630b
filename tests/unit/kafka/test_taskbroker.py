"""Tasks in a real Kafka topic, as a taskbroker reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from sentry_protos.taskbroker.v1.taskbroker_pb2 import TaskActivation

from clocksvc.clock.tick import Tick
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.task_routes import PlatformTask
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.taskbroker import CHECK_EVERY_S, TaskbrokerProducer, TaskbrokerQueue
from clocksvc.kafka.topics import KafkaTopics
from tests.system.installation import create_topic, wall_ms
from tests.waiting import eventually

pytestmark = pytest.mark.servers

BEGIN_MS = 1_795_348_800_000


class AdjustableTime(SystemTime):
    """The system's time, which a test can set forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass
class TaskTopic:
    """A topic for tasks, and task queues that send to it."""

    bootstrap: str
    topic: str
    time: AdjustableTime

    def queue(
        self, replicas: int | None = None, bootstrap: str | None = None, timeout_s: float = 6.0
    ) -> TaskbrokerQueue:
        """A task queue for the task `e`."""
        settings = {"bootstrap.servers": bootstrap or self.bootstrap}
        counts: Mapping[str, int] = {} if replicas is None else {self.topic: replicas}
        tasks = {"e": PlatformTask(self.topic, "shop", "ingest", "shop.close", 10)}
        producer = TaskbrokerProducer(counts, KafkaTopics(settings), settings, self.time, timeout_s)
        return TaskbrokerQueue(tasks, producer, self.time)

    def records(self, count: int) -> list[Message]:
        """All records of the topic, in no order across partitions; asserts that there are `count`."""
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": "taskbroker", "enable.partition.eof": True}
        )
        partitions = consumer.list_topics(self.topic, 10).topics[self.topic].partitions
        consumer.assign([TopicPartition(self.topic, number, 0) for number in partitions])
        found, ends = [], 0
        while ends < len(partitions):
            record = consumer.poll(20)
            assert record is not None
            if record.error() is None:
                found.append(record)
            else:
                ends += 1
        consumer.close()
        assert len(found) == count
        return found


@pytest.fixture
def task_topic(bootstrap: str, key_prefix: str) -> TaskTopic:
    """A topic of six partitions."""
    create_topic(bootstrap, key_prefix, 6, "CreateTime")
    return TaskTopic(bootstrap, key_prefix, AdjustableTime())


def due_task(minute: int) -> DueTask:
    at_ms = BEGIN_MS + minute * 60_000
    return DueTask(
        "clocksvc", "checkins", "tasks", "e", at_ms, Tick("checkins", at_ms, at_ms - 60_000, 60_000, at_ms + 1)
    )


def test_a_record_is_an_activation_without_a_key(task_topic: TaskTopic) -> None:
    """The published class reads each. `send` returns after the delivery. Tasks spread over the partitions."""
    queue, before_ms = task_topic.queue(replicas=3), wall_ms()
    sent = [due_task(minute) for minute in range(40)]
    for one in sent:
        queue.send(one)

    records = task_topic.records(40)

    found = [TaskActivation.FromString(record.value() or b"") for record in records]
    assert {one.id for one in found} == {one.id.replace("-", "") for one in sent}
    assert {(one.application, one.namespace, one.taskname) for one in found} == {("shop", "ingest", "shop.close")}
    assert all(before_ms <= one.received_at.ToMilliseconds() <= wall_ms() for one in found)
    assert {record.key() for record in records} == {None}
    assert len({record.partition() for record in records}) > 1


@pytest.mark.parametrize("replicas", [None, 1, 2, 3, 6])
def test_partitions_that_can_be_shared_evenly_are_accepted(task_topic: TaskTopic, replicas: int | None) -> None:
    """Without a setting, one taskbroker reads the topic."""
    task_topic.queue(replicas).send(due_task(0))

    task_topic.records(1)


@pytest.mark.parametrize("replicas", [4, 5, 12])
def test_partitions_that_can_not_be_shared_evenly_are_an_error(task_topic: TaskTopic, replicas: int) -> None:
    """No task is lost: it can be sent after the number of partitions is corrected."""
    queue = task_topic.queue(replicas)
    with pytest.raises(TaskQueueUnavailable) as raised:
        queue.send(due_task(0))
    assert str(raised.value) == (
        f"topic {task_topic.topic!r} has 6 partitions, which {replicas} taskbrokers can't share evenly: "
        f"wanted a multiple of {replicas} (taskbroker.replicas.{task_topic.topic})"
    )
    task_topic.records(0)


def test_partitions_that_are_added_are_seen(task_topic: TaskTopic) -> None:
    """Within a minute, and at once if the number was wrong."""
    queue = task_topic.queue(3)
    queue.send(due_task(0))
    admin = AdminClient({"bootstrap.servers": task_topic.bootstrap})

    def grow(partitions: int) -> None:
        """Returns when the broker's metadata has the partitions, which can be later than the controller's answer."""
        admin.create_partitions([NewPartitions(task_topic.topic, partitions)])[task_topic.topic].result(20)
        eventually(
            lambda: (
                len(admin.list_topics(task_topic.topic, timeout=20).topics[task_topic.topic].partitions) == partitions
            ),
            what=f"{partitions} partitions",
        )

    grow(8)
    task_topic.time.ahead_s += CHECK_EVERY_S
    with pytest.raises(TaskQueueUnavailable, match="has 8 partitions"):
        queue.send(due_task(1))
    grow(9)

    queue.send(due_task(1))

    task_topic.records(2)


def test_a_missing_topic_is_not_created(task_topic: TaskTopic) -> None:
    """The error says what to create."""
    missing = TaskTopic(task_topic.bootstrap, f"{task_topic.topic}-missing", task_topic.time)
    with pytest.raises(TaskQueueUnavailable, match="its number of partitions must be a multiple of 3"):
        missing.queue(3).send(due_task(0))

    assert missing.topic not in AdminClient({"bootstrap.servers": task_topic.bootstrap}).list_topics(timeout=20).topics


def test_a_task_that_is_too_large_is_not_retried(task_topic: TaskTopic) -> None:
    """It must not delay others."""
    settings = {"bootstrap.servers": task_topic.bootstrap, "message.max.bytes": "1000"}
    task = PlatformTask(task_topic.topic, "shop", "ingest", "x" * 2000, 10)
    producer = TaskbrokerProducer({}, KafkaTopics(settings), settings, task_topic.time)
    queue = TaskbrokerQueue({"e": task}, producer, task_topic.time)

    with pytest.raises(InvalidValue, match="the topic rejects the record"):
        queue.send(due_task(0))


def test_an_unreachable_kafka_is_unavailable(task_topic: TaskTopic) -> None:
    """The dispatcher tries again."""
    with pytest.raises(TaskQueueUnavailable, match="does not answer"):
        task_topic.queue(bootstrap=f"127.0.0.1:{free_ports(1)[0]}", timeout_s=1.0).send(due_task(0))
