"""A producer of records of schedules, for programs that write a clock's topic themselves."""

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clocksvc.errors import InvalidValue, SchedulesUnavailable
from clocksvc.kafka.client import (
    UNKNOWN_TOPIC,
    ClientLog,
    client_settings,
    describe_error,
    error_of,
    explain_missing_acl,
    translate_errors,
)

OnDelivery = Callable[[int, str | None], None]
"""Called with the offset of a record; or with -1 and the reason if it is not known to be in the topic."""

_FULL_QUEUE_POLL_S = 0.05


class ScheduleProducer:
    """A producer for one topic. All replicas in sync must have a record before it counts as written.

    The records of one partition keep their order, also if requests are repeated. Creating it opens no connection.
    Thread-safe: callbacks are called in the thread that calls `poll`.

    Args:
        topic: the topic's name. It is not created.
        settings: librdkafka settings of the user.
        timeout_s: a record that is not acknowledged within this time counts as failed.

    Raises:
        InvalidValue: librdkafka does not accept a setting.
    """

    def __init__(self, topic: str, settings: Mapping[str, Any], timeout_s: float) -> None:
        self._topic = topic
        self._acls = {"Topic": f"Write on topic {topic}"}
        own = client_settings(
            settings,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            message_timeout_ms=max(1, int(timeout_s * 1000)),
        )
        try:
            self._producer = Producer(own, logger=ClientLog())
        except KafkaException as raised:
            raise InvalidValue("kafka", sorted(settings), error_of(raised).str()) from None

    def partitions(self, timeout_s: float) -> int:
        """Return the topic's number of partitions. Blocks for up to `timeout_s`.

        Raises:
            SchedulesUnavailable: the brokers do not answer, or the topic does not exist.
        """
        acls = {"Topic": f"Describe on topic {self._topic}"}
        with translate_errors(SchedulesUnavailable, f"topic {self._topic!r} can't be described", acls):
            found = self._producer.list_topics(self._topic, timeout_s).topics[self._topic]
        if found.error is None and found.partitions:
            return len(found.partitions)
        if found.error is None or found.error.code() in UNKNOWN_TOPIC:
            raise SchedulesUnavailable(
                f"topic {self._topic!r} does not exist: `clocksvc scheduler` creates it for a clock with schedules"
            )
        raise SchedulesUnavailable(
            f"topic {self._topic!r} can't be described: {explain_missing_acl(found.error.str(), acls)}"
        )

    def send(self, key: bytes, value: bytes | None, partition: int, on_delivery: OnDelivery) -> None:
        """Send one record. Blocks while librdkafka's queue is full, which ends when records are delivered or fail."""
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    value,
                    key,
                    partition=partition,
                    on_delivery=lambda error, record: self._delivered(error, record, on_delivery),
                )
                return
            except KafkaException as raised:
                on_delivery(-1, describe_error(raised, self._acls))
                return
            except BufferError:
                self._producer.poll(_FULL_QUEUE_POLL_S)

    def poll(self, timeout_s: float) -> None:
        """Wait for up to `timeout_s` until records are delivered, and call their callbacks."""
        self._producer.poll(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Wait for up to `timeout_s` until all records are delivered, and drop the others."""
        self._producer.flush(timeout_s)
        self._producer.purge(blocking=False)

    def _delivered(self, error: KafkaError | None, record: Message, on_delivery: OnDelivery) -> None:
        if error is None:
            on_delivery(record.offset() or 0, None)
        else:
            on_delivery(-1, explain_missing_acl(error.str(), self._acls))
