"""Sends due tasks to Sentry's task platform. It writes them to the Kafka topics that the taskbrokers read.

The value of a record is a serialized `TaskActivation`. Records have no key, so that tasks are distributed over the
topic's partitions.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from clocksvc.errors import InvalidValue, MetadataUnavailable, SettingsError, TaskQueueUnavailable
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.due_sink import Rejected
from clocksvc.interfaces.task_queue import ID_HEADER, TASK_HEADER, DueTask
from clocksvc.interfaces.task_routes import OnExhaustion, PlatformTask, unshareable_partitions
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.kafka.client import ClientLog, SlicedDeadline, client_settings, error_of, explain_missing_acl

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


class TaskbrokerProducer:
    """Writes messages to the topics of the task platform. Only one thread may use an object.

    It connects when the first message is sent.

    Args:
        replicas: how many taskbrokers share the partitions of a topic, by the topic's name. The default is 1.
        topics: for the number of partitions of a topic.
        settings: librdkafka settings from the configuration.
    """

    def __init__(
        self,
        replicas: Mapping[str, int],
        topics: Topics,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._replicas, self._topics = replicas, topics
        self._settings, self._time, self._timeout_s = settings, time, timeout_s
        self._checked: dict[str, float] = {}
        self._log = ClientLog()
        self._producer: Producer | None = None

    def send(
        self, messages: Sequence[tuple[PlatformTask, bytes]], keep_alive: KeepAlive = lambda: None
    ) -> dict[int, InvalidValue]:
        """Write messages, and wait until Kafka has acknowledged them.

        Returns:
            Why a message was rejected, by its index. The others are in their topics.

        Raises:
            TaskQueueUnavailable: some of the messages may not be in their topics.
        """
        for topic in dict.fromkeys(target.topic for target, _ in messages):
            self._check_partitions(topic)
        outcomes: dict[int, KafkaError | None] = {}
        deadline = SlicedDeadline(self._time, self._timeout_s + _MARGIN_S, keep_alive)
        at = 0
        try:
            producer = self._open_producer()
            for at, (target, value) in enumerate(messages):
                self._produce(producer, target.topic, value, at, outcomes, deadline)
            for slice_s in deadline:
                if len(outcomes) == len(messages):
                    break
                producer.poll(slice_s)
        except KafkaException as raised:
            raise _translate(messages[at][0], error_of(raised), "") from raised
        return self._rejected(messages, outcomes)

    def _produce(
        self,
        producer: Producer,
        topic: str,
        value: bytes,
        index: int,
        outcomes: dict[int, KafkaError | None],
        deadline: SlicedDeadline,
    ) -> None:
        for slice_s in deadline:
            try:
                producer.produce(topic, value, on_delivery=lambda error, _: outcomes.__setitem__(index, error))
                return
            except BufferError:
                producer.poll(slice_s)
            except KafkaException as raised:
                if error_of(raised).code() not in _NOT_RETRIABLE:
                    raise
                outcomes[index] = error_of(raised)
                return

    def _rejected(
        self, messages: Sequence[tuple[PlatformTask, bytes]], outcomes: Mapping[int, KafkaError | None]
    ) -> dict[int, InvalidValue]:
        rejected = {}
        for index, (target, _) in enumerate(messages):
            error = outcomes.get(index, KafkaError(KafkaError._TIMED_OUT))
            if error is None:
                continue
            translated = _translate(target, error, self._log.last)
            if isinstance(translated, TaskQueueUnavailable):
                raise translated
            rejected[index] = translated
        return rejected

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


class TaskbrokerQueue:
    """Implements TaskQueue. Only one thread may use an object.

    Args:
        tasks: the task to send for each schedule, by the schedule's name.
    """

    def __init__(self, tasks: Mapping[str, PlatformTask], producer: TaskbrokerProducer, time: Time) -> None:
        self._tasks, self._producer, self._time = tasks, producer, time

    def send(self, task: DueTask) -> None:
        target = self._tasks[task.schedule]
        for rejection in self._producer.send([(target, encode(target, task, self._time.now_ms()))]).values():
            raise rejection


class TaskbrokerDueSink:
    """Implements DueSink. Only one thread may use an object.

    Args:
        task_of: returns the task of the platform for the task of a schedule; None if it is not routed to a topic.
    """

    def __init__(self, task_of: Callable[[str], PlatformTask | None], producer: TaskbrokerProducer, time: Time) -> None:
        self._task_of, self._producer, self._time = task_of, producer, time

    def send(self, records: Sequence[DueLogRecord], keep_alive: KeepAlive) -> list[Rejected]:
        now_ms = self._time.now_ms()
        messages, sent, rejected = [], [], []
        for record in records:
            headers = {name: value.decode() for name, value in record.headers}
            target = self._task_of(headers[TASK_HEADER])
            if target is None:
                problem = f"task {headers[TASK_HEADER]!r} has no namespace with a `topic` for the task platform"
                rejected.append(Rejected(record, problem))
                continue
            try:
                payload = json.loads(record.value)
                message = _activation(target, headers[ID_HEADER], headers, [payload], now_ms)
            except (OverflowError, ValueError, RecursionError) as error:
                rejected.append(Rejected(record, f"the payload can't be encoded as MessagePack: {error}"))
                continue
            messages.append((target, message))
            sent.append(record)
        found = self._producer.send(messages, keep_alive)
        return [*rejected, *(Rejected(sent[index], str(error)) for index, error in found.items())]


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
    return _activation(target, task.id, task.headers, [task.tick.to_wire()], now_ms)


def _activation(
    target: PlatformTask, task_id: str, headers: Mapping[str, str], positional: list[object], now_ms: int
) -> bytes:
    arguments = {"args": positional, "kwargs": dict(target.arguments)}
    retry_state = RetryState(
        attempts=0,
        max_attempts=target.max_attempts,
        on_attempts_exceeded=_ON_ATTEMPTS_EXCEEDED[target.on_exhaustion],
        at_most_once=True if target.at_most_once else None,
    )
    activation = TaskActivation(
        id=uuid.UUID(task_id).hex,
        application=target.application,
        namespace=target.namespace,
        taskname=target.name,
        parameters_bytes=msgpack.packb(arguments),
        headers=dict(headers),
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
