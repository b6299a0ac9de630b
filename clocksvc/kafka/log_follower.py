"""Follows logs of the tick log in Kafka with one consumer, which joins no group."""

from collections.abc import Mapping
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from clocksvc.clock.log_record import LogEntry
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.log_follower import FollowedEntries
from clocksvc.kafka.client import ClientLog, client_settings, describe_error, translate_errors
from clocksvc.kafka.compacted_topic import OUT_OF_RANGE
from clocksvc.kafka.reader import message_of

BATCH = 500


class KafkaLogFollower:
    """Implements LogFollower. Creating it does not wait for a broker.

    Args:
        topic: the topic of the tick log.
        settings: librdkafka settings from the configuration.

    Raises:
        TickLogUnavailable: librdkafka rejects the settings.
    """

    def __init__(self, topic: str, settings: Mapping[str, str]) -> None:
        self._topic = topic
        self._failed = f"the tick log {topic!r} can't be followed"
        self._acls = {"Topic": f"Read on topic {topic}"}
        self._followed: set[int] = set()
        fixed = client_settings(
            settings,
            # librdkafka requires a group. A consumer that never subscribes and never commits does not join it.
            group_id="clocksvc",
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="error",
            fetch_wait_max_ms=100,
        )
        with translate_errors(TickLogUnavailable, self._failed):
            self._consumer = Consumer(fixed, logger=ClientLog())

    def start(self, log: int, offset: int) -> None:
        with translate_errors(TickLogUnavailable, self._failed):
            self._consumer.incremental_assign([TopicPartition(self._topic, log, offset)])
        self._followed.add(log)

    def stop(self, log: int) -> None:
        if log in self._followed:
            with translate_errors(TickLogUnavailable, self._failed):
                self._consumer.incremental_unassign([TopicPartition(self._topic, log)])
            self._followed.discard(log)

    def poll(self, timeout_s: float) -> FollowedEntries:
        with translate_errors(TickLogUnavailable, self._failed, self._acls):
            messages = self._consumer.consume(1, timeout_s)
            if messages:
                messages += self._consumer.consume(BATCH - 1, 0)
        entries: list[tuple[int, LogEntry]] = []
        lost: dict[int, str] = {}
        failures: dict[int, str] = {}
        for message in messages:
            error, log = message.error(), cast(int, message.partition())
            if log not in self._followed:
                continue  # read before `stop`, or an error that belongs to no log
            if error is None:
                entries.append((log, LogEntry(cast(int, message.offset()), message_of(message))))
            elif error.code() in OUT_OF_RANGE:
                lost[log] = describe_error(KafkaException(error))
            elif error.code() != KafkaError._PARTITION_EOF:
                failures[log] = describe_error(KafkaException(error), self._acls)
        for log in lost:
            self.stop(log)
        return FollowedEntries(entries, lost, failures)

    def close(self) -> None:
        self._consumer.close()
