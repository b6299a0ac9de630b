"""Sends due tasks to Sentry's task platform. It writes them to the Kafka topics that the taskbrokers read.

The value of a record is a serialized `TaskActivation`. Records have no key, so that tasks are distributed over the
topic's partitions.
"""

import uuid
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Producer

from clocksvc.errors import InvalidValue, MetadataUnavailable, SettingsError, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.task_routes import OnExhaustion, PlatformTask, unshareable_partitions
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.kafka.client import ClientLog, client_settings, error_of, explain_missing_acl

try:
    import msgpack
    from sentry_protos.taskbroker.v1.taskbroker_pb2 import (
        ON_ATTEMPTS_EXCEEDED_DEADLETTER,
        ON_ATTEMPTS_EXCEEDED_DISCARD,
        RetryState,
        TaskActivation,
    )
except ModuleNotFoundError as error:
    raise SettingsError(
        [
            f"namespaces: a `topic` needs the package {error.name}. Install the extra 'taskbroker': "
            "pip install 'clocksvc[taskbroker]'"
        ]
    ) from error

TIMEOUT_S = 6.0
CHECK_EVERY_S = 60.0
_MARGIN_S = 2.0
"""librdkafka ends a delivery after its timeout. Within this additional time, its delivery report has arrived."""
_ON_ATTEMPTS_EXCEEDED = {
    OnExhaustion.DISCARD: ON_ATTEMPTS_EXCEEDED_DISCARD,
    OnExhaustion.DEAD_LETTER: ON_ATTEMPTS_EXCEEDED_DEADLETTER,
}
_NOT_RETRIABLE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD}


class TaskbrokerQueue:
    """Implements TaskQueue. Only one thread may use an object. It connects when the first task is sent.

    Args:
        tasks: the task to send for each schedule, by the schedule's name.
        replicas: how many taskbrokers share the partitions of a topic, by the topic's name. The default is 1.
        topics: for the number of partitions of a topic.
        settings: librdkafka settings from the configuration.
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

    def send(self, task: DueTask) -> None:
        target = self._tasks[task.schedule]
        self._check_partitions(target.topic)
        value = encode(target, task, self._time.now_ms())
        deliveries: list[KafkaError | None] = []
        try:
            producer = self._open_producer()
            producer.produce(target.topic, value, on_delivery=lambda error, _: deliveries.append(error))
            until = self._time.monotonic() + self._timeout_s + _MARGIN_S
            while not deliveries and self._time.monotonic() < until:
                producer.poll(until - self._time.monotonic())
        except KafkaException as raised:
            raise _translate(target, error_of(raised), "") from raised
        except BufferError as raised:
            raise TaskQueueUnavailable(f"the task can't be sent to topic {target.topic!r}: {raised}") from raised
        error = deliveries[0] if deliveries else KafkaError(KafkaError._TIMED_OUT)
        if error is not None:
            raise _translate(target, error, self._log.last)

    def _check_partitions(self, topic: str) -> None:
        """Check that the topic's number of partitions is a multiple of its number of taskbrokers.

        The check is repeated once a minute, because partitions can be added to the topic at any time.

        Raises:
            TaskQueueUnavailable: it is not a multiple, the topic does not exist, or Kafka does not answer.
        """
        now = self._time.monotonic()
        if topic in self._checked and now < self._checked[topic] + CHECK_EVERY_S:
            return
        try:
            cluster = self._topics.describe([topic])
        except MetadataUnavailable as error:
            raise TaskQueueUnavailable(str(error)) from error
        if topic in cluster.failures:
            raise TaskQueueUnavailable(f"Kafka does not describe topic {topic!r}: {cluster.failures[topic]}")
        metadata = cluster.topics.get(topic)
        partitions = None if metadata is None else metadata.partitions
        reason = unshareable_partitions(topic, partitions, self._replicas.get(topic, 1))
        if reason is not None:
            raise TaskQueueUnavailable(reason)
        self._checked[topic] = now

    def _open_producer(self) -> Producer:
        if self._producer is None:
            # Not idempotent, because an idempotent producer can fail permanently. Duplicates do no harm: they have the
            # same task id.
            fixed = client_settings(
                self._settings, acks="all", linger_ms=0, message_timeout_ms=int(self._timeout_s * 1000)
            )
            self._producer = Producer(fixed, logger=self._log)
        self._log.last = ""
        return self._producer


def encode(target: PlatformTask, task: DueTask, now_ms: int) -> bytes:
    """Return the serialized `TaskActivation` of a task. The task's only positional argument is the tick.

    The arguments are MessagePack in `parameters_bytes`. The field `parameters` (JSON) is not set: it is deprecated, and
    a message may have only one of the two fields.

    The retry state is what the platform's own client writes for a task with the same options. A worker's `retry_task()`
    compares `attempts` with `max_attempts`. A taskbroker reads `at_most_once` when an execution does not end before its
    deadline: without it, the task is delivered again. It reads `on_attempts_exceeded` when a task has failed.

    Args:
        now_ms: the current time. The task expires `expires_s` after it.
    """
    arguments = {"args": [task.tick.to_wire()], "kwargs": dict(target.arguments)}
    retry_state = RetryState(
        attempts=0,
        max_attempts=target.max_attempts,
        on_attempts_exceeded=_ON_ATTEMPTS_EXCEEDED[target.on_exhaustion],
        at_most_once=True if target.at_most_once else None,
    )
    activation = TaskActivation(
        id=uuid.UUID(task.id).hex,
        application=target.application,
        namespace=target.namespace,
        taskname=target.name,
        parameters_bytes=msgpack.packb(arguments),
        headers=task.headers,
        retry_state=retry_state,
        processing_deadline_duration=target.processing_deadline_s,
        expires=target.expires_s,
    )
    activation.received_at.FromMilliseconds(now_ms)
    message: bytes = activation.SerializeToString(deterministic=True)
    return message


def _translate(target: PlatformTask, error: KafkaError, log_line: str) -> TaskQueueUnavailable | InvalidValue:
    if error.code() in _NOT_RETRIABLE:
        return InvalidValue(f"task {target.name!r}", target.topic, f"the topic rejects the record: {error.str()}")
    why = log_line if log_line and error.code() == KafkaError._MSG_TIMED_OUT else error.str()
    acls = {"Topic": f"Write on topic {target.topic}"}
    return TaskQueueUnavailable(f"the task can't be sent to topic {target.topic!r}: {explain_missing_acl(why, acls)}")
