"""Due tasks go to Sentry's task platform: as a record of the Kafka topic that a pool's taskbrokers read.

A record's value is the serialised activation; it has no key, so that tasks spread over the topic's partitions. What a
record says is the business of `activation`.
"""

from collections.abc import Mapping
from typing import cast

from confluent_kafka import KafkaError, KafkaException, Producer

from clocksvc.errors import InvalidValue, MetadataUnavailable, TaskQueueUnavailable
from clocksvc.interfaces.platform_task import PlatformTask
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
    explain_missing_acl,
)
from clocksvc.kafka.taskbroker_message import encode

TIMEOUT_S = 6.0
CHECK_EVERY_S = 60.0
_LONGER_S = 2.0
"""The client ends a delivery that takes too long by itself; so much later nothing more is to be heard of it."""
_REFUSED_FOR_GOOD = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD}


class TaskbrokerQueue:
    """A Broker. Only one thread may use it; makes its client with the first task.

    Args:
        tasks: what to send, by the entry's name.
        replicas: how many taskbrokers share a topic's partitions; one where nothing is said.
        topics: whom to ask for partitions.
        settings: librdkafka's, as the user set them.
    """

    def __init__(
        self,
        tasks: Mapping[str, PlatformTask],
        replicas: Mapping[str, int],
        topics: Topics,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._tasks, self._replicas, self._topics = tasks, replicas, topics
        self._settings, self._time, self._timeout_s = settings, time, timeout_s
        self._checked: dict[str, float] = {}
        self._log = ClientLog()
        self._producer: Producer | None = None

    def send(self, sending: DueTask) -> None:
        task = self._tasks[sending.entry]
        self._check(task.topic)
        value = encode(task, sending, self._time.now_ms())
        outcome: list[KafkaError | None] = []
        try:
            producer = self._producing()
            producer.produce(task.topic, value, on_delivery=lambda error, _: outcome.append(error))
            until = self._time.monotonic() + self._timeout_s + _LONGER_S
            while not outcome and self._time.monotonic() < until:
                producer.poll(until - self._time.monotonic())
        except KafkaException as raised:
            raise _refusal(task, cast(KafkaError, raised.args[0]), "") from raised
        except BufferError as raised:
            raise TaskQueueUnavailable(f"topic {task.topic!r} takes no task: {raised}") from raised
        error = outcome[0] if outcome else KafkaError(KafkaError._TIMED_OUT)
        if error is not None:
            raise _refusal(task, error, self._log.last)

    def _check(self, topic: str) -> None:
        """Now and then whether the topic's partitions can be shared out evenly: they can be added to at any time."""
        now = self._time.monotonic()
        if topic in self._checked and now < self._checked[topic] + CHECK_EVERY_S:
            return
        try:
            shape = self._topics.describe([topic]).topics.get(topic)
        except MetadataUnavailable as error:
            raise TaskQueueUnavailable(str(error)) from error
        replicas = self._replicas.get(topic, 1)
        if shape is None:
            raise TaskQueueUnavailable(
                f"topic {topic!r} is not there: create it, with a multiple of {replicas} partitions "
                f"(taskbroker.replicas.{topic})"
            )
        if shape.partitions % replicas:
            raise TaskQueueUnavailable(
                f"topic {topic!r} has {shape.partitions} partitions, which {replicas} taskbrokers can't share evenly: "
                f"wanted a multiple of taskbroker.replicas.{topic}"
            )
        self._checked[topic] = now

    def _producing(self) -> Producer:
        if self._producer is None:
            # Not idempotent: a double is told by its id anyway, and such a producer can break for good.
            ours = client_settings(
                self._settings, acks="all", linger_ms=0, message_timeout_ms=int(self._timeout_s * 1000)
            )
            self._producer = Producer(ours, logger=self._log)
        self._log.last = ""
        return self._producer


def _refusal(task: PlatformTask, error: KafkaError, told: str) -> TaskQueueUnavailable | InvalidValue:
    if error.code() in _REFUSED_FOR_GOOD:
        return InvalidValue(f"task {task.name!r}", task.topic, f"wanted what the topic takes: {error.str()}")
    why = told if told and error.code() == KafkaError._MSG_TIMED_OUT else error.str()
    rights = {"Topic": f"Write on topic {task.topic}"}
    return TaskQueueUnavailable(f"topic {task.topic!r} takes no task: {explain_missing_acl(why, rights)}")
