"""Sends records to a dead-letter topic, with the headers of Kafka Streams (KIP-1034): see `interfaces.dead_letters`."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, Producer

from clocksvc.errors import InvalidValue
from clocksvc.interfaces.consumer_group import ConsumedRecord
from clocksvc.interfaces.dead_letters import Cause, Delivery
from clocksvc.kafka.client import (
    NOT_AUTHORIZED,
    UNKNOWN_TOPIC,
    ClientLog,
    client_settings,
    error_of,
    explain_missing_acl,
)

_PREFIX = "__streams.errors."
_MAX_CHARACTERS = 8_000
"""A longer text of a header is cut, so that the record does not exceed the topic's limit only because of its cause."""
_MESSAGE_TIMEOUT_MS = 30_000
_CONSUMER_ONLY = (
    "auto.",
    "check.crcs",
    "enable.partition.eof",
    "fetch.",
    "group.",
    "heartbeat.",
    "isolation.",
    "max.partition.",
    "max.poll.",
    "partition.assignment.",
    "queued.",
    "session.",
)
"""The beginnings of settings that a producer does not have."""


class KafkaDeadLetters:
    """A producer for one dead-letter topic. Creating it opens no connection.

    Args:
        bootstrap_servers: addresses of brokers, separated by commas.
        topic: the dead-letter topic. It is not created.
        settings: librdkafka settings of the user. Those of consumers are left out.

    Raises:
        InvalidValue: librdkafka does not accept a setting.
    """

    def __init__(self, bootstrap_servers: str, topic: str, settings: Mapping[str, Any]) -> None:
        self._topic = topic
        self._acls = {"Topic": f"Write on topic {topic}"}
        self._deliveries: list[Delivery] = []
        self._unanswered = 0
        shared = {name: value for name, value in settings.items() if not name.startswith(_CONSUMER_ONLY)}
        own = client_settings(
            shared,
            bootstrap_servers=bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            message_timeout_ms=_MESSAGE_TIMEOUT_MS,
        )
        try:
            self._producer = Producer(own, logger=ClientLog())
        except KafkaException as raised:
            raise InvalidValue("settings", dict(settings), error_of(raised).str()) from None

    def check(self, timeout_s: float) -> None:
        """Check that the topic exists. Blocks for up to `timeout_s`. If the brokers do not answer, nothing is checked.

        Raises:
            InvalidValue: the topic does not exist, or the Kafka user has no permission for it.
        """
        try:
            error = self._producer.list_topics(self._topic, timeout_s).topics[self._topic].error
        except KafkaException:
            return
        if error is not None and error.code() in NOT_AUTHORIZED | UNKNOWN_TOPIC:
            reason = explain_missing_acl(error.str(), self._acls)
            raise InvalidValue("dead_letters", self._topic, f"wanted a topic that exists ({reason})")

    def send(self, letter_id: int, record: ConsumedRecord, cause: Cause) -> None:
        timestamp_type, timestamp_ms = record.timestamp()
        self._unanswered += 1
        try:
            self._producer.produce(
                self._topic,
                record.value(),
                record.key(),
                headers=[*(record.headers() or ()), *_error_headers(record, cause)],
                timestamp=0 if timestamp_type == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
                on_delivery=lambda error, _: self._on_delivery(letter_id, error),
            )
        except KafkaException as raised:
            self._on_delivery(letter_id, error_of(raised))
        except BufferError as raised:
            self._answered(letter_id, str(raised))

    def deliveries(self) -> Sequence[Delivery]:
        if self._unanswered:
            self._producer.poll(0.0)
        found, self._deliveries = self._deliveries, []
        return found

    def close(self) -> None:
        self._producer.flush(0.0)
        self._producer.purge(blocking=False)

    def _on_delivery(self, letter_id: int, error: KafkaError | None) -> None:
        self._answered(letter_id, None if error is None else explain_missing_acl(error.str(), self._acls))

    def _answered(self, letter_id: int, failure: str | None) -> None:
        self._unanswered -= 1
        self._deliveries.append(Delivery(letter_id, failure))


def _error_headers(record: ConsumedRecord, cause: Cause) -> list[tuple[str, bytes]]:
    texts = {
        "exception": cause.exception,
        "message": cause.message,
        "stacktrace": cause.stacktrace,
        "topic": record.topic(),
        "partition": str(record.partition()),
        "offset": str(record.offset()),
    }
    return [(_PREFIX + name, _encode(text)) for name, text in texts.items()]


def _encode(text: str) -> bytes:
    # The end of a stack trace has the cause.
    return text[-_MAX_CHARACTERS:].encode(errors="backslashreplace")
