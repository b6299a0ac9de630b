"""Writes changes of an outbox to the topic of a clock's schedules."""

from collections.abc import Mapping

from clocksvc.clock.log_record import Message
from clocksvc.errors import Fenced, InvalidValue, SchedulesUnavailable
from clocksvc.interfaces.schedule_topics import SchedulesSpec, partition_of
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.kafka.client import SlicedDeadline, outbox_id
from clocksvc.kafka.internal_topic import InternalTopic
from clocksvc.kafka.writer import Writer

TIMEOUT_S = 10.0


class _AllPartitions(InternalTopic):
    """The topic in error messages."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


class KafkaOutboxTopic:
    """Implements OutboxTopic. Not thread-safe.

    The topic is written by one producer for all partitions. Its transactional id has the topic's name, so a relay
    fences all other relays of the same clock.

    Args:
        topics: for the topic's number of partitions. It is closed with this object.
        settings: librdkafka settings from the configuration.
        timeout_s: how long one call waits for brokers.
    """

    def __init__(
        self,
        spec: SchedulesSpec,
        topics: Topics,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._spec, self._topics, self._settings = spec, topics, settings
        self._time, self._timeout_s = time, timeout_s
        self._topic = _AllPartitions(spec.topic, "topic of schedules", SchedulesUnavailable, -1)
        self._writer: Writer | None = None

    def fence(self) -> None:
        self._discard_writer()
        self._check_partitions()
        writer = Writer(self._topic, outbox_id(self._spec.topic), self._settings, self._timeout_s)
        writer.fence(self._deadline())
        self._writer = writer

    def write(self, records: Mapping[str, bytes | None]) -> None:
        if self._writer is None:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        messages = []
        for schedule_id, value in records.items():
            key = schedule_id.encode()
            messages.append((partition_of(key, self._spec.partitions), Message(key, value, None)))
        try:
            self._writer.append_to_partitions(messages, self._deadline())
        except BaseException:
            self._discard_writer()
            raise

    def close(self) -> None:
        self._discard_writer()
        self._topics.close()

    def _check_partitions(self) -> None:
        cluster = self._topics.describe([self._spec.topic])
        failure = cluster.failures.get(self._spec.topic, "it does not exist; `clocksvc scheduler` creates it")
        found = cluster.topics.get(self._spec.topic)
        if found is None:
            raise SchedulesUnavailable(f"Kafka does not describe the {self._topic}: {failure}")
        if found.partitions != self._spec.partitions:
            field = f"clocks.{self._spec.clock}.schedules.partitions"
            raise InvalidValue(
                field, self._spec.partitions, f"wanted {found.partitions}, as topic {self._spec.topic!r} has"
            )

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()

    def _deadline(self) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s)
