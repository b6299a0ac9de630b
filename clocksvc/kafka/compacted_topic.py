"""Reads a compacted topic from Kafka for a table: without a consumer group, and committed records only."""

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from clocksvc.errors import MetadataUnavailable, TableUnavailable
from clocksvc.interfaces.compacted_topic import CleanupSettings, OffsetBounds, Polled, TableRecord, TopicInspection
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.kafka.admin import Admin, config_values
from clocksvc.kafka.client import (
    NOT_AUTHORIZED,
    ClientLog,
    SlicedDeadline,
    client_settings,
    describe_error,
    error_code,
    translate_errors,
)
from clocksvc.kafka.topics import KafkaTopics

REQUEST_TIMEOUT_S = 2.0
_MARGIN_S = 0.5
BATCH = 10_000
OUT_OF_RANGE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
_TUNING = {
    # With librdkafka's default of 1 s, a client that reads faster than it fetches sleeps most of the time.
    "fetch.queue.backoff.ms": "5",
    # Records wait in this buffer while the table applies others. 16 MB are enough for the full speed.
    "queued.max.messages.kbytes": "16384",
}
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class KafkaCompactedTopic:
    """Implements CompactedTopic. Creating it does not wait for a broker.

    Args:
        topic: the topic's name.
        settings: librdkafka settings.
        time: the clock for deadlines.

    Raises:
        TableUnavailable: librdkafka rejects the settings.
    """

    def __init__(self, topic: str, settings: Mapping[str, str], time: Time | None = None) -> None:
        self._topic, self._settings, self._time = topic, settings, time or SystemTime()
        self._acls = {"Topic": f"Read on topic {topic}"}
        self._topics = KafkaTopics(settings, self._time)
        self._lock = threading.Lock()
        self._admin: Admin | None = None
        fixed = client_settings(
            _TUNING | dict(settings),
            # librdkafka requires a group. A consumer that never subscribes and never commits does not join it.
            group_id="clocksvc",
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            fetch_wait_max_ms=100,
        )
        with translate_errors(TableUnavailable, f"a consumer of topic {topic!r} can't be created"):
            self._consumer = Consumer(fixed, logger=ClientLog())

    def inspect(self, partitions: Collection[int] | None) -> TopicInspection | None:
        try:
            cluster = self._topics.describe([self._topic])
        except MetadataUnavailable as error:
            raise TableUnavailable(str(error)) from error
        if failure := cluster.failures.get(self._topic):
            raise TableUnavailable(f"Kafka does not describe topic {self._topic!r}: {failure}")
        if (topic := cluster.topics.get(self._topic)) is None:
            return None
        wanted = range(topic.partitions) if partitions is None else partitions
        existing = sorted(number for number in wanted if number < topic.partitions)
        bounds, failures = self._bounds(existing) if existing else ({}, {})
        return TopicInspection(topic.id, topic.partitions, bounds, failures)

    def cleanup_settings(self) -> CleanupSettings:
        resource = ConfigResource(ResourceType.TOPIC, self._topic)
        admin, futures = self._ask(
            lambda client: client.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)
        )
        (future,) = futures.values()
        if error_code(future) in NOT_AUTHORIZED:
            return CleanupSettings()
        config = config_values(admin.result(future, f"Kafka does not describe the settings of topic {self._topic!r}"))
        retention = config.get("delete.retention.ms")
        return CleanupSettings(config.get("cleanup.policy"), None if retention is None else int(retention))

    def start(self, offsets: Mapping[int, int]) -> None:
        self.stop([partition for partition in offsets if partition in self._assigned()])
        with translate_errors(TableUnavailable, f"topic {self._topic!r} can't be read"):
            self._consumer.incremental_assign(
                [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
            )

    def stop(self, partitions: Collection[int]) -> None:
        if partitions:
            with translate_errors(TableUnavailable, f"topic {self._topic!r} can't be read"):
                self._consumer.incremental_unassign([TopicPartition(self._topic, number) for number in partitions])

    def poll(self, timeout_s: float) -> Polled:
        with translate_errors(TableUnavailable, f"topic {self._topic!r} can't be read", self._acls):
            # `consume` waits until it has all messages that it was asked for, or until the timeout.
            messages = self._consumer.consume(1, timeout_s)
            if messages:
                messages += self._consumer.consume(BATCH - 1, 0)
        events = [message for message in messages if message.error() is not None]
        if not events:
            return Polled(cast("list[TableRecord]", messages))
        ends: dict[int, int] = {}
        out_of_range: dict[int, str] = {}
        failures: dict[int, str] = {}
        for event in events:
            error, partition = cast(KafkaError, event.error()), cast(int, event.partition())
            if event.topic() != self._topic:
                continue  # such as a missing permission for the group, which is not used
            if error.code() == KafkaError._PARTITION_EOF:
                ends[partition] = cast(int, event.offset())
            elif error.code() in OUT_OF_RANGE:
                out_of_range[partition] = describe_error(KafkaException(error))
            else:
                failures[partition] = describe_error(KafkaException(error), self._acls)
        records = [message for message in messages if message.error() is None]
        return Polled(cast("list[TableRecord]", records), ends, out_of_range, failures)

    def close(self) -> None:
        self._consumer.close()
        self._topics.close()
        with self._lock:
            self._admin = None

    def _assigned(self) -> set[int]:
        return {assigned.partition for assigned in self._consumer.assignment()}

    def _bounds(self, partitions: Collection[int]) -> tuple[dict[int, OffsetBounds], dict[int, str]]:
        failures: dict[int, str] = {}
        begins = self._offsets(partitions, _EARLIEST, failures)
        ends = self._offsets(partitions, _LATEST, failures)
        if len(failures) == len(partitions):
            raise TableUnavailable(f"Kafka does not list the offsets of topic {self._topic!r}: {failures.popitem()[1]}")
        return {one: OffsetBounds(begins[one], ends[one]) for one in partitions if one not in failures}, failures

    def _offsets(self, partitions: Collection[int], spec: Any, failures: dict[int, str]) -> dict[int, int]:
        asked = {TopicPartition(self._topic, number): spec for number in partitions}
        # Uncommitted, because acknowledged records can be behind an open transaction.
        level = IsolationLevel.READ_UNCOMMITTED
        _, futures = self._ask(
            lambda client: client.list_offsets(asked, isolation_level=level, request_timeout=REQUEST_TIMEOUT_S)
        )
        offsets: dict[int, int] = {}
        for one, future in futures.items():
            if isinstance(raised := future.exception(0), KafkaException):
                failures[one.partition] = describe_error(raised, self._acls)
            else:
                offsets[one.partition] = future.result(0).offset
        return offsets

    def _ask(
        self, request: Callable[[AdminClient], Mapping[Any, "Future[Any]"]]
    ) -> "tuple[Admin, dict[Any, Future[Any]]]":
        with self._lock:
            if self._admin is None:
                self._admin = Admin(self._settings, TableUnavailable)
            admin = self._admin
        futures = admin.ask(request, SlicedDeadline(self._time, REQUEST_TIMEOUT_S + _MARGIN_S))
        if any(future.exception(0) for future in futures.values()):
            # A new client reads the metadata again. This one may not know added partitions, or wait for a dead broker.
            with self._lock:
                self._admin = None
        return admin, futures
