"""Reads facts about a Kafka cluster for `clocksvc check`. Does not write records, join groups or create topics."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from difflib import get_close_matches
from typing import Any, Self, TypeVar, cast

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from clocksvc.clock.log_record import TYPE_HEADER, Message
from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.admin import Admin, config_values
from clocksvc.kafka.client import (
    NOT_AUTHORIZED,
    UNKNOWN_TOPIC,
    ClientLog,
    SlicedDeadline,
    client_settings,
    describe_error,
    error_code,
    translate_errors,
)
from clocksvc.kafka.cluster_facts import ClusterFacts, GroupFacts, LogRecord, TopicFacts
from clocksvc.kafka.topics import topic_id

K = TypeVar("K")
T = TypeVar("T")

REQUEST_TIMEOUT_S = 4.0
_MARGIN_S = 1.0
FETCH_BYTES = 256 * 1024
_RETRY_PAUSE_S = 0.2

_COORDINATOR_MOVES = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,
}
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_LOG_APPEND_TIME = 2
"""confluent_kafka's number of the timestamp type LogAppendTime."""


class KafkaInspector:
    """Describes one cluster. Use an object as a context manager, and only once.

    Every method blocks for a few seconds at most. Every method raises MetadataUnavailable if Kafka does not answer or
    the request is not authorized. The message contains Kafka's reason.
    """

    def __init__(self, settings: Mapping[str, str], time: Time) -> None:
        self._settings = settings
        self._time = time
        self._admin = Admin(settings, MetadataUnavailable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()

    def cluster(self) -> ClusterFacts:
        """Return the cluster's id, number of brokers and version."""
        described = self._result(
            lambda client: {None: client.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)},
            "Kafka does not describe the cluster",
        )
        broker = ConfigResource(ResourceType.BROKER, str(described.nodes[0].id))
        protocol = self._config(broker).get("inter.broker.protocol.version")
        return ClusterFacts(described.cluster_id, len(described.nodes), protocol)

    def topic(self, name: str) -> TopicFacts | None:
        """Return the facts about one topic; None if the topic does not exist."""
        names = TopicCollection([name])
        future = self._ask(
            lambda client: client.describe_topics(
                names, include_authorized_operations=True, request_timeout=REQUEST_TIMEOUT_S
            )
        )
        if error_code(future) in UNKNOWN_TOPIC:
            return None
        acls = {"Topic": f"Describe on topic {name}"}
        described: Any = self._admin.result(future, f"Kafka does not describe topic {name!r}", acls)
        config = self._config(ConfigResource(ResourceType.TOPIC, name))
        timestamp_type = config.get("message.timestamp.type")
        operations = described.authorized_operations
        return TopicFacts(
            partitions=len(described.partitions),
            id=topic_id(described.topic_id),
            timestamp_type=None if timestamp_type is None else TimestampType(timestamp_type),
            after_max_ms=_number(config, "message.timestamp.after.max.ms"),
            retention_ms=_number(config, "retention.ms"),
            cleanup_policy=config.get("cleanup.policy"),
            min_compaction_lag_ms=_number(config, "min.compaction.lag.ms"),
            max_message_bytes=_number(config, "max.message.bytes"),
            replication=min((len(one.replicas) for one in described.partitions), default=1),
            min_insync=_number(config, "min.insync.replicas"),
            retention_bytes=_number(config, "retention.bytes"),
            allowed=frozenset(operation.name for operation in operations) if operations else None,
        )

    def why_not_creatable(self, name: str) -> str | None:
        """Return the reason why this user may not create the topic; None if the user may. Does not create the topic."""
        new = NewTopic(name, 1)
        future = self._ask(
            lambda client: client.create_topics([new], validate_only=True, request_timeout=REQUEST_TIMEOUT_S)
        )
        if error_code(future) not in NOT_AUTHORIZED:
            return None
        raised = cast(KafkaException, future.exception(0))
        return describe_error(raised, {"Topic": f"Create on topic {name}"})

    def group(self, name: str) -> GroupFacts | None:
        """Return the facts about one consumer group; None if this user may not describe the group."""
        state, members, assigned = "DEAD", 0, frozenset[Partition]()
        future = self._ask_coordinator(
            lambda client: client.describe_consumer_groups([name], request_timeout=REQUEST_TIMEOUT_S)
        )
        code = error_code(future)
        if code in NOT_AUTHORIZED:
            return None
        if code != KafkaError.GROUP_ID_NOT_FOUND:
            described = self._admin.result(future, f"Kafka does not describe group {name!r}")
            state, members = described.state.name, len(described.members)
            assigned = frozenset(
                _partition(one) for member in described.members for one in member.assignment.topic_partitions
            )
        found = GroupFacts(state, members, assigned, self._committed(name))
        return found if found.known else GroupFacts(state, similar=self._similar_groups(name))

    def sample(self, partitions: Collection[Partition], newest: int, timeout_s: float) -> dict[Partition, list[int]]:
        """Return the timestamps (ms) of each partition's newest records, in order of offset; -1 for no timestamp.

        Args:
            newest: how many records of each partition are read.
            timeout_s: when this time is over, the timestamps that were read until then are returned.
        """
        timestamps: dict[Partition, list[int]] = {partition: [] for partition in partitions}
        for message in self._read_newest(partitions, newest, timeout_s):
            timestamps[_partition(message)].append(message.timestamp()[1])
        return timestamps

    def tick_log(self, topic: str, logs: Collection[int], newest: int, timeout_s: float) -> list[LogRecord]:
        """Return the committed records at the newest offsets of some logs, in order of offset within a log.

        Args:
            newest: how many offsets of each log are read. Transaction markers have offsets, too.
            timeout_s: when this time is over, the records that were read until then are returned.
        """
        partitions = [Partition(topic, log) for log in logs]
        return [_log_record(message) for message in self._read_newest(partitions, newest, timeout_s)]

    def _committed(self, group: str) -> dict[Partition, int]:
        wanted = [ConsumerGroupTopicPartitions(group)]
        future = self._ask_coordinator(
            lambda client: client.list_consumer_group_offsets(wanted, request_timeout=REQUEST_TIMEOUT_S)
        )
        if error_code(future) == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        found = self._admin.result(future, f"Kafka does not list the offsets of group {group!r}")
        return {_partition(one): one.offset for one in found.topic_partitions if one.offset >= 0}

    def _similar_groups(self, name: str) -> tuple[str, ...]:
        listed = self._result(
            lambda client: {None: client.list_consumer_groups(request_timeout=REQUEST_TIMEOUT_S)},
            "Kafka does not list its groups",
        )
        names = [group.group_id for group in listed.valid or []]
        return tuple(get_close_matches(name, names, n=3, cutoff=0.6))

    def _offsets(self, partitions: Collection[Partition], which: Any) -> dict[Partition, int]:
        if not partitions:
            return {}
        wanted = {TopicPartition(partition.topic, partition.number): which for partition in partitions}
        futures = self._ask_all(lambda client: client.list_offsets(wanted, request_timeout=REQUEST_TIMEOUT_S))
        return {
            _partition(one): self._admin.result(
                future,
                f"Kafka does not list the offsets of topic {one.topic!r}",
                {"Topic": f"Read on topic {one.topic}"},
            ).offset
            for one, future in futures.items()
        }

    def _read_newest(self, partitions: Collection[Partition], newest: int, timeout_s: float) -> list[Any]:
        """Return the records at the newest offsets of each partition, in order of offset within a partition."""
        ends = self._offsets(partitions, _LATEST)
        starts = self._offsets(partitions, _EARLIEST)
        begins = {p: max(starts.get(p, 0), end - newest) for p, end in ends.items() if end > starts.get(p, 0)}
        return self._read(begins, timeout_s)

    def _read(self, begins: Mapping[Partition, int], timeout_s: float) -> list[Any]:
        """Return all records from these offsets to the partitions' ends, or those that were read before the timeout."""
        if not begins:
            return []
        deadline = self._time.monotonic() + timeout_s
        with translate_errors(MetadataUnavailable, "a consumer can't be created"):
            consumer = Consumer(
                client_settings(
                    self._settings,
                    group_id="clocksvc-check",  # librdkafka requires it; the consumer does not join or commit
                    enable_auto_commit=False,
                    enable_partition_eof=True,
                    isolation_level="read_committed",
                    fetch_message_max_bytes=FETCH_BYTES,
                ),
                logger=ClientLog(),
            )
        try:
            consumer.assign([TopicPartition(p.topic, p.number, offset) for p, offset in begins.items()])
            return self._read_to_ends(consumer, len(begins), deadline)
        finally:
            consumer.close()

    def _read_to_ends(self, consumer: Any, partitions: int, deadline: float) -> list[Any]:
        messages: list[Any] = []
        ended: set[Partition] = set()
        while len(ended) < partitions and (left_s := deadline - self._time.monotonic()) > 0:
            for message in consumer.consume(500, timeout=min(left_s, 0.2)):
                if message.error() is None:
                    messages.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(_partition(message))
        return messages

    def _config(self, resource: ConfigResource) -> dict[str, str]:
        """Return the settings of a broker or topic; {} if this user may not read them."""
        try:
            entries = self._result(
                lambda client: client.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S),
                "Kafka does not describe settings",
            )
        except MetadataUnavailable:
            return {}
        return config_values(entries)

    def _result(self, request: Callable[[AdminClient], Mapping[Any, "Future[T]"]], failure: str) -> T:
        return self._admin.result(self._ask(request), failure)

    def _ask(self, request: Callable[[AdminClient], Mapping[Any, "Future[T]"]]) -> "Future[T]":
        """Send a single request, and return its finished future."""
        (future,) = self._ask_all(request).values()
        return future

    def _ask_all(self, request: Callable[[AdminClient], Mapping[K, "Future[T]"]]) -> dict[K, "Future[T]"]:
        return self._admin.ask(request, SlicedDeadline(self._time, REQUEST_TIMEOUT_S + _MARGIN_S))

    def _ask_coordinator(self, request: Callable[[AdminClient], Mapping[Any, "Future[T]"]]) -> "Future[T]":
        """Do the same as `_ask`, with retries while the group's coordinator changes or starts, as in a new cluster."""
        deadline = self._time.monotonic() + REQUEST_TIMEOUT_S
        future = self._ask(request)
        while error_code(future) in _COORDINATOR_MOVES and self._time.monotonic() <= deadline:
            self._admin.pause(_RETRY_PAUSE_S)
            future = self._ask(request)
        return future


def _partition(one: Any) -> Partition:
    topic, number = one.topic, one.partition
    return Partition(topic() if callable(topic) else topic, number() if callable(number) else number)


def _log_record(message: Any) -> LogRecord:
    timestamp_type, timestamp_ms = message.timestamp()
    record_type = dict(message.headers() or []).get(TYPE_HEADER)
    return LogRecord(
        message.partition(),
        timestamp_ms if timestamp_type == _LOG_APPEND_TIME else None,
        Message(message.key(), message.value(), None if record_type is None else record_type.decode(errors="replace")),
    )


def _number(config: Mapping[str, str], name: str) -> int | None:
    value = config.get(name)
    return None if value is None else int(value)
