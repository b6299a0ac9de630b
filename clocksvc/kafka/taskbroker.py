"""Sends due tasks to Sentry's task platform, as records of the Kafka topics that its taskbrokers read.

A record's value is a serialized `TaskActivation`. It has no key, so that tasks spread over the topic's partitions.
"""

import uuid
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Producer

from clocksvc.errors import InvalidValue, MetadataUnavailable, SettingsError, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.task_routes import PlatformTask
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.kafka.client import ClientLog, client_settings, error_of, explain_missing_acl

try:
    import msgpack
    from sentry_protos.taskbroker.v1.taskbroker_pb2 import ON_ATTEMPTS_EXCEEDED_DISCARD, RetryState, TaskActivation
except ModuleNotFoundError as error:
    raise SettingsError(
        [
            f"namespaces: a `topic` needs {error.name}, which the extra 'taskbroker' brings: "
            "pip install 'clocksvc[taskbroker]'"
        ]
    ) from error

TIMEOUT_S = 6.0
CHECK_EVERY_S = 60.0
_MARGIN_S = 2.0
"""librdkafka ends a delivery after its timeout; this much later at the latest its report has arrived."""
_NOT_RETRIABLE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD}


class TaskbrokerQueue:
    """A TaskQueue. Only one thread may use it. Connects with the first task.

    Args:
        tasks: what to send, by the schedule's name.
        replicas: how many taskbrokers share the partitions of a topic; one unless given.
        topics: answers how many partitions a topic has.
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
            raise TaskQueueUnavailable(f"topic {target.topic!r} accepts no task: {raised}") from raised
        error = deliveries[0] if deliveries else KafkaError(KafkaError._TIMED_OUT)
        if error is not None:
            raise _translate(target, error, self._log.last)

    def _check_partitions(self, topic: str) -> None:
        """Check, once a minute, that taskbrokers can share the topic's partitions evenly: partitions can be added."""
        now = self._time.monotonic()
        if topic in self._checked and now < self._checked[topic] + CHECK_EVERY_S:
            return
        try:
            metadata = self._topics.describe([topic]).topics.get(topic)
        except MetadataUnavailable as error:
            raise TaskQueueUnavailable(str(error)) from error
        replicas = self._replicas.get(topic, 1)
        if metadata is None:
            raise TaskQueueUnavailable(
                f"topic {topic!r} does not exist: create it, with a multiple of {replicas} partitions "
                f"(taskbroker.replicas.{topic})"
            )
        if metadata.partitions % replicas:
            raise TaskQueueUnavailable(
                f"topic {topic!r} has {metadata.partitions} partitions, which {replicas} taskbrokers can't share "
                f"evenly: wanted a multiple of taskbroker.replicas.{topic}"
            )
        self._checked[topic] = now

    def _open_producer(self) -> Producer:
        if self._producer is None:
            # Not idempotent: duplicates have the same task id anyway, and an idempotent producer can fail for good.
            fixed = client_settings(
                self._settings, acks="all", linger_ms=0, message_timeout_ms=int(self._timeout_s * 1000)
            )
            self._producer = Producer(fixed, logger=self._log)
        self._log.last = ""
        return self._producer


def encode(target: PlatformTask, task: DueTask, now_ms: int) -> bytes:
    """The serialized message: the task, with the tick as its only argument.

    The arguments are MessagePack in `parameters_bytes`. The JSON in `parameters` is deprecated, the two exclude each
    other, and the platform's workers read the former first. The message allows one attempt: a task that needs retries
    configures them in the worker.

    Args:
        now_ms: the time from which `expires_s` counts.
    """
    arguments = {"args": [task.tick.to_wire()], "kwargs": {}}
    activation = TaskActivation(
        id=uuid.UUID(task.id).hex,
        application=target.application,
        namespace=target.namespace,
        taskname=target.name,
        parameters_bytes=msgpack.packb(arguments),
        headers=task.headers,
        retry_state=RetryState(attempts=0, max_attempts=1, on_attempts_exceeded=ON_ATTEMPTS_EXCEEDED_DISCARD),
        processing_deadline_duration=target.processing_deadline_s,
        expires=target.expires_s,
    )
    activation.received_at.FromMilliseconds(now_ms)
    message: bytes = activation.SerializeToString(deterministic=True)
    return message


def _translate(target: PlatformTask, error: KafkaError, log_line: str) -> TaskQueueUnavailable | InvalidValue:
    if error.code() in _NOT_RETRIABLE:
        return InvalidValue(f"task {target.name!r}", target.topic, f"wanted what the topic accepts: {error.str()}")
    why = log_line if log_line and error.code() == KafkaError._MSG_TIMED_OUT else error.str()
    acls = {"Topic": f"Write on topic {target.topic}"}
    return TaskQueueUnavailable(f"topic {target.topic!r} accepts no task: {explain_missing_acl(why, acls)}")
