"""Tasks in a real Kafka topic, as a taskbroker finds them there."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from sentry_protos.taskbroker.v1.taskbroker_pb2 import TaskActivation

from clocksvc.clock.tick import Tick
from clocksvc.dev.ports import free_ports
from clocksvc.errors import InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.task_routes import PlatformTask
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.taskbroker import (
    CHECK_EVERY_S,
    TaskbrokerQueue,
)
from clocksvc.kafka.topics import KafkaTopics
from tests.system.installation import (
    create_topic,
    wall_ms,
)

pytestmark = pytest.mark.servers

BEGIN_MS = 1_795_348_800_000


class Leaping(SystemTime):
    """The computer's time, which a test can set forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass
class Bed:
    """A broker of tasks for one topic."""

    bootstrap: str
    topic: str
    time: Leaping

    def broker(
        self, replicas: int | None = None, bootstrap: str | None = None, timeout_s: float = 6.0
    ) -> TaskbrokerQueue:
        """One with an entry `e`."""
        settings = {"bootstrap.servers": bootstrap or self.bootstrap}
        counts: Mapping[str, int] = {} if replicas is None else {self.topic: replicas}
        tasks = {"e": PlatformTask(self.topic, "shop", "ingest", "shop.close", 10)}
        return TaskbrokerQueue(tasks, counts, KafkaTopics(settings), settings, self.time, timeout_s)

    def records(self, count: int) -> list[Message]:
        """So many records, in no order across partitions; asserts that there is none more."""
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
def bed(bootstrap: str, key_prefix: str) -> Bed:
    """A topic of six partitions."""
    create_topic(bootstrap, key_prefix, 6, "CreateTime")
    return Bed(bootstrap, key_prefix, Leaping())


def sending(minute: int) -> DueTask:
    at_ms = BEGIN_MS + minute * 60_000
    return DueTask("checkins", "tasks", "e", at_ms, Tick("checkins", at_ms, at_ms - 60_000, 60_000, at_ms + 1))


def test_a_record_is_an_activation_without_a_key(bed: Bed) -> None:
    """The published class reads each; all are there when `send` has returned; they spread over the partitions."""
    broker, before_ms = bed.broker(replicas=3), wall_ms()
    sent = [sending(minute) for minute in range(40)]
    for one in sent:
        broker.send(one)

    records = bed.records(40)

    found = [TaskActivation.FromString(record.value() or b"") for record in records]
    assert {one.id for one in found} == {one.id.replace("-", "") for one in sent}
    assert {(one.application, one.namespace, one.taskname) for one in found} == {("shop", "ingest", "shop.close")}
    assert all(before_ms <= one.received_at.ToMilliseconds() <= wall_ms() for one in found)
    assert {record.key() for record in records} == {None}
    assert len({record.partition() for record in records}) > 1


@pytest.mark.parametrize("replicas", [None, 1, 2, 3, 6])
def test_partitions_that_can_be_shared_evenly_are_fine(bed: Bed, replicas: int | None) -> None:
    """Nothing said is one taskbroker."""
    bed.broker(replicas).send(sending(0))

    bed.records(1)


@pytest.mark.parametrize("replicas", [4, 5, 12])
def test_partitions_that_can_not_be_shared_evenly_take_nothing(bed: Bed, replicas: int) -> None:
    """Nothing is lost: the same task can be sent once that is put right."""
    broker = bed.broker(replicas)
    with pytest.raises(TaskQueueUnavailable) as raised:
        broker.send(sending(0))
    assert str(raised.value) == (
        f"topic {bed.topic!r} has 6 partitions, which {replicas} taskbrokers can't share evenly: "
        f"wanted a multiple of taskbroker.replicas.{bed.topic}"
    )
    bed.records(0)


def test_partitions_that_are_added_are_seen(bed: Bed) -> None:
    """Within a minute, and at once where they were wrong."""
    broker = bed.broker(3)
    broker.send(sending(0))
    admin = AdminClient({"bootstrap.servers": bed.bootstrap})
    admin.create_partitions([NewPartitions(bed.topic, 8)])[bed.topic].result(20)
    bed.time.ahead_s += CHECK_EVERY_S
    with pytest.raises(TaskQueueUnavailable, match="has 8 partitions"):
        broker.send(sending(1))
    admin.create_partitions([NewPartitions(bed.topic, 9)])[bed.topic].result(20)

    broker.send(sending(1))

    bed.records(2)


def test_a_topic_that_is_not_there_is_not_made(bed: Bed) -> None:
    """What is missing is said."""
    missing = Bed(bed.bootstrap, f"{bed.topic}-missing", bed.time)
    with pytest.raises(TaskQueueUnavailable, match=r"does not exist: create it, with a multiple of 3 partitions"):
        missing.broker(3).send(sending(0))

    assert missing.topic not in AdminClient({"bootstrap.servers": bed.bootstrap}).list_topics(timeout=20).topics


def test_what_is_too_large_is_refused_for_good(bed: Bed) -> None:
    """It must not hold others up."""
    settings = {"bootstrap.servers": bed.bootstrap, "message.max.bytes": "1000"}
    task = PlatformTask(bed.topic, "shop", "ingest", "x" * 2000, 10)
    broker = TaskbrokerQueue({"e": task}, {}, KafkaTopics(settings), settings, bed.time)

    with pytest.raises(InvalidValue, match="wanted what the topic accepts"):
        broker.send(sending(0))


def test_a_kafka_out_of_reach_is_unavailable(bed: Bed) -> None:
    """The dispatcher retries."""
    with pytest.raises(TaskQueueUnavailable, match="does not answer"):
        bed.broker(bootstrap=f"127.0.0.1:{free_ports(1)[0]}", timeout_s=1.0).send(sending(0))
