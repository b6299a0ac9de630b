"""A member of a consumer group with confluent-kafka: see `interfaces.consumer_group`."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from clocksvc.clock.partition import Partition
from clocksvc.errors import ConsumerFailed, InvalidValue
from clocksvc.interfaces.consumer_group import ConsumedRecord, GroupListener
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.client import (
    NOT_AUTHORIZED,
    UNKNOWN_TOPIC,
    ClientLog,
    client_settings,
    error_of,
    explain_missing_acl,
)
from clocksvc.runtime.repeated_lines import RepeatedLines

_logger = logging.getLogger("clocksvc.consumer")

_AFTER_FLUSH = "the consumer commits an offset after its record is flushed"
_FORBIDDEN: Mapping[str, str] = MappingProxyType(
    {
        "bootstrap.servers": "use the argument bootstrap_servers",
        "metadata.broker.list": "use the argument bootstrap_servers",
        "group.id": "use the argument group",
        "enable.auto.commit": _AFTER_FLUSH,
        "auto.commit.enable": _AFTER_FLUSH,
        "auto.commit.interval.ms": _AFTER_FLUSH,
        "enable.auto.offset.store": _AFTER_FLUSH,
        "on_commit": "the consumer needs the outcome of each commit",
        "error_cb": "the consumer logs errors, and ends if it can't continue",
        "logger": "the log lines of librdkafka go to the logger clocksvc.kafka",
        "allow.auto.create.topics": "a missing topic is logged as an error and is not created",
        "default.topic.config": "give each setting by its own name",
        "test.mock.num.brokers": "the consumer needs a real Kafka",
    }
)
CLOSE_TIMEOUT_S = 5.0
_SKIPS = frozenset({"latest", "largest", "end"})
_IGNORED = frozenset({KafkaError._PARTITION_EOF})
_PERMANENT = NOT_AUTHORIZED | UNKNOWN_TOPIC


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check the librdkafka settings of a user.

    Raises:
        InvalidValue: a setting would break a promise of the consumer.
    """
    for name, value in settings.items():
        if name in _FORBIDDEN:
            raise InvalidValue(f"settings[{name!r}]", value, f"can't be set: {_FORBIDDEN[name]}")
    reset = settings.get("auto.offset.reset")
    if str(reset).lower() in _SKIPS:
        wanted = (
            "records would be skipped, for example those that are in a new partition before it is assigned. Use "
            "earliest or error. To begin a new group at the end of the topic: kafka-consumer-groups.sh --reset-offsets "
            "--to-latest"
        )
        raise InvalidValue("settings['auto.offset.reset']", reset, wanted)


class KafkaConsumerGroup:
    """A member of one group. Creating it opens no connection.

    Args:
        bootstrap_servers: addresses of brokers, separated by commas.
        group: the consumer group.
        settings: librdkafka settings of the user.

    Raises:
        InvalidValue: a setting can't be set, or librdkafka does not accept it.
    """

    def __init__(self, bootstrap_servers: str, group: str, settings: Mapping[str, Any]) -> None:
        check_settings(settings)
        self._acls = {"Group": f"Read on group {group}"}
        self._repeated_lines, self._time = RepeatedLines(_logger), SystemTime()
        self._fatal: KafkaError | None = None
        self._listener: GroupListener
        self._removed: set[Partition] = set()
        own = client_settings(
            {"auto.offset.reset": "earliest", "fetch.queue.backoff.ms": "5", **settings},
            bootstrap_servers=bootstrap_servers,
            group_id=group,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
        )
        try:
            self._consumer = Consumer(
                {**own, "on_commit": self._on_commit, "error_cb": self._on_error}, logger=ClientLog()
            )
        except KafkaException as raised:
            raise InvalidValue("settings", dict(settings), error_of(raised).str()) from None

    def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        self._listener = listener
        # The callbacks assign nothing themselves. The client then does it, as the protocol of the group needs it.
        self._consumer.subscribe(
            list(topics),
            on_assign=self._on_assign,
            on_revoke=lambda _, partitions: self._remove(listener.revoked, partitions),
            on_lost=lambda _, partitions: self._remove(listener.lost, partitions),
        )

    def consume(self, count: int, timeout_s: float) -> Sequence[ConsumedRecord]:
        # With a timeout, librdkafka waits until there are `count` records. So only the first one is awaited.
        messages = self._consumer.consume(count, 0)
        if not messages and timeout_s > 0:
            messages = self._consumer.consume(1, timeout_s)
            if messages and count > 1:
                self._removed.clear()
                more = self._consumer.consume(count - 1, 0)
                # A partition can be removed and assigned again meanwhile. Its records then come again, in their order.
                kept = [one for one in messages if (one.topic(), one.partition()) not in self._removed]
                messages = kept + more
        if self._fatal is not None:
            raise ConsumerFailed(f"the Kafka client can't continue: {self._fatal.str()}")
        # A KafkaError can't be compared with None by ==, which `count` and `in` use.
        records = [message for message in messages if message.error() is None]
        if len(records) < len(messages):
            for message in messages:
                if message.error() is not None:
                    self._log_error(message)
        return records

    def commit(self, offsets: Mapping[Partition, int], *, wait: bool) -> None:
        wanted = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        try:
            if not wait:
                self._consumer.commit(offsets=wanted, asynchronous=True)
                return
            answer = self._consumer.commit(offsets=wanted, asynchronous=False)
        except (KafkaException, RuntimeError) as raised:
            reason = error_of(raised).str() if isinstance(raised, KafkaException) else str(raised)
            self._listener.commit_failed(offsets, explain_missing_acl(reason, self._acls))
        else:
            self._on_commit(None, answer)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause(_to_kafka(partitions))

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume(_to_kafka(partitions))

    def close(self) -> None:
        # Without an answer, librdkafka waits for a commit for as long as the session lasts, and can't be interrupted.
        errors: list[BaseException] = []

        def close() -> None:
            try:
                self._consumer.close()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=close, name="clocksvc-leave-group", daemon=True)
        thread.start()
        thread.join(CLOSE_TIMEOUT_S)
        if thread.is_alive():
            _logger.warning("Kafka does not answer, so this consumer ends without leaving its group")
        if errors:
            raise errors[0]

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # librdkafka remembers that a partition was paused in an earlier assignment.
        consumer.resume(partitions)
        self._listener.assigned(_from_kafka(partitions))

    def _remove(self, callback: Callable[[Sequence[Partition]], None], partitions: list[TopicPartition]) -> None:
        removed = _from_kafka(partitions)
        self._removed.update(removed)
        callback(removed)

    def _on_commit(self, error: KafkaError | None, answer: Sequence[TopicPartition]) -> None:
        committed: dict[Partition, int] = {}
        failed: dict[Partition, int] = {}
        reason = ""
        for item in answer:
            own = error or item.error
            (committed if own is None else failed)[Partition(item.topic, item.partition)] = item.offset
            if own is not None:
                reason = explain_missing_acl(own.str(), self._acls)
        if committed:
            self._listener.committed(committed)
        if failed:
            self._listener.commit_failed(failed, reason)

    def _on_error(self, error: KafkaError) -> None:
        # Must not raise, because an unrelated call would then raise it.
        if error.fatal():
            self._fatal = error
        _logger.debug("kafka client error", extra={"detail": str(error)})

    def _log_error(self, message: Any) -> None:
        error, topic, number = message.error(), message.topic(), message.partition()
        if error.code() in _IGNORED:
            return
        if error.fatal():
            raise ConsumerFailed(f"the Kafka client can't continue: {error.str()}")
        level = logging.ERROR if error.code() in _PERMANENT else logging.WARNING
        text = explain_missing_acl(error.str(), {**self._acls, "Topic": f"Read on topic {topic}"})
        whole_topic = number is None or error.code() in _PERMANENT  # librdkafka names partition 0 then
        where = f" of topic {topic}" if whole_topic else f" of {topic}:{number}"
        state = (error.code(), topic, number)
        self._repeated_lines.log(
            self._time.monotonic(), level, state, "records%s can't be read: %s", where if topic else "", text
        )


def _from_kafka(partitions: Sequence[TopicPartition]) -> list[Partition]:
    return [Partition(item.topic, item.partition) for item in partitions]


def _to_kafka(partitions: Sequence[Partition]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic, number in partitions]
