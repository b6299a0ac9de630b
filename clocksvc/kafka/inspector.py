"""Reads facts about a Kafka cluster for `clocksvc check`. Does not write records, join groups or create topics."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from typing import Any, Self, TypeVar, cast

from confluent_kafka import (
    OFFSET_INVALID,
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
from clocksvc.kafka.admin import Admin, Cluster, config_values
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
from clocksvc.kafka.cluster_facts import ClusterFacts, Described, GroupFacts, LogRecord, Sample, TopicFacts
from clocksvc.kafka.group_kinds import why_unordered
from clocksvc.kafka.topics import topic_id

K = TypeVar("K")
T = TypeVar("T")

REQUEST_TIMEOUT_S = 4.0
_MARGIN_S = 1.0
FETCH_BYTES = 256 * 1024
_RETRY_PAUSE_S = 0.2
_MAX_COMPARED = 20
_BATCH_SIZE = 250
"""The largest number of topics or groups in one request. A broker answers it well within `REQUEST_TIMEOUT_S`."""

_COORDINATOR_MOVES = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,
}
_LEADER_MOVES = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
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
        cluster = self._admin.cluster(None, SlicedDeadline(self._time, REQUEST_TIMEOUT_S))
        protocol = self._broker_settings(cluster).get("inter.broker.protocol.version")
        return ClusterFacts(cluster.id, len(cluster.brokers), protocol)

    def broker_settings(self) -> Mapping[str, str]:
        """Return the settings of one broker by name. Empty if this user may not read them."""
        return self._broker_settings(self._admin.cluster(None, SlicedDeadline(self._time, REQUEST_TIMEOUT_S)))

    def topic(self, name: str) -> TopicFacts | None:
        """Return the facts about one topic; None if the topic does not exist."""
        described = self.topics([name])
        if name in described.failures:
            raise MetadataUnavailable(described.failures[name])
        return described.found.get(name)

    def topics(self, names: Collection[str]) -> Described[TopicFacts]:
        """Return the facts about some topics. Sends one request for them and one for their settings, in batches."""
        found: dict[str, TopicFacts] = {}
        failures: dict[str, str] = {}
        for batch in _batches(names):
            topics = self._topics(batch, failures)
            configs = self._configs(ConfigResource(ResourceType.TOPIC, name) for name in topics)
            found |= {name: _topic_facts(topic, configs.get(name, {})) for name, topic in topics.items()}
        return Described(found, failures)

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

    def group_names(self) -> list[str]:
        """Return the names of the consumer groups that this user may describe. Groups of other kinds are not listed."""
        listed = self._result(
            lambda client: {None: client.list_consumer_groups(request_timeout=REQUEST_TIMEOUT_S)},
            "Kafka does not list its groups",
        )
        return [group.group_id for group in listed.valid or []]

    def groups(self, names: Collection[str]) -> Described[GroupFacts]:
        """Return the facts about some consumer groups. All requests of a batch are sent at the same time.

        Similar names are found for the first `_MAX_COMPARED` groups that do not exist.
        """
        found: dict[str, GroupFacts] = {}
        failures: dict[str, str] = {}
        for batch in _batches(names):
            found |= self._groups(batch, failures)
        unknown = [name for name, facts in found.items() if not facts.known][:_MAX_COMPARED]
        if unknown:
            existing = self.group_names()
            found |= {
                name: replace(found[name], similar=_similar(name, existing), unordered=self._is_unordered(name))
                for name in unknown
            }
        return Described(found, failures)

    def _is_unordered(self, group: str) -> bool:
        return why_unordered(self._admin.group_state(group, REQUEST_TIMEOUT_S)) != ""

    def sample(self, partitions: Collection[Partition], newest: int, timeout_s: float) -> Sample:
        """Return the timestamps (ms) of each partition's newest records.

        Args:
            newest: how many records of each partition are read.
            timeout_s: when this time is over, the timestamps that were read until then are returned.
        """
        begins, failures = self._newest_offsets(partitions, newest)
        readable = [partition for partition in partitions if partition.topic not in failures]
        timestamps: dict[Partition, list[int]] = {partition: [] for partition in readable}
        for message in self._read(begins, timeout_s):
            timestamps[_partition(message)].append(message.timestamp()[1])
        return Sample(timestamps, failures)

    def tick_log(self, topic: str, logs: Collection[int], newest: int, timeout_s: float) -> list[LogRecord]:
        """Return the committed records at the newest offsets of some logs, in order of offset within a log.

        Args:
            newest: how many offsets of each log are read. Transaction markers have offsets, too.
            timeout_s: when this time is over, the records that were read until then are returned.
        """
        begins, failures = self._newest_offsets([Partition(topic, log) for log in logs], newest)
        if failures:
            raise MetadataUnavailable(failures[topic])
        return [_log_record(message) for message in self._read(begins, timeout_s)]

    def _topics(self, names: Collection[str], failures: dict[str, str]) -> dict[str, Any]:
        """Return librdkafka's description of each topic that exists. Add the other topics' reasons to `failures`."""
        futures = self._ask_all(
            lambda client: client.describe_topics(
                TopicCollection(list(names)), include_authorized_operations=True, request_timeout=REQUEST_TIMEOUT_S
            )
        )
        found: dict[str, Any] = {}
        for name, future in futures.items():
            if error_code(future) in UNKNOWN_TOPIC:
                continue
            acls = {"Topic": f"Describe on topic {name}"}
            try:
                found[name] = self._admin.result(future, f"Kafka does not describe topic {name!r}", acls)
            except MetadataUnavailable as error:
                failures[name] = str(error)
        return found

    def _groups(self, names: Collection[str], failures: dict[str, str]) -> dict[str, GroupFacts]:
        """Return the facts about each group that this user may describe, without `similar`."""
        described = self._ask_coordinators(
            names,
            lambda client, some: client.describe_consumer_groups(some, request_timeout=REQUEST_TIMEOUT_S),
        )
        offsets = self._ask_coordinators(
            [name for name, future in described.items() if error_code(future) not in NOT_AUTHORIZED],
            lambda client, some: {
                name: future
                for one in some
                for name, future in client.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(one)], request_timeout=REQUEST_TIMEOUT_S
                ).items()
            },
        )
        found: dict[str, GroupFacts] = {}
        for name in offsets:
            try:
                state, members, assigned = self._members(name, described[name])
                found[name] = GroupFacts(state, members, assigned, self._committed(name, offsets[name]))
            except MetadataUnavailable as error:
                failures[name] = str(error)
        return found

    def _members(self, group: str, future: "Future[Any]") -> tuple[str, int, frozenset[Partition]]:
        """Return a group's state, the number of its members, and the partitions that are assigned to them."""
        if error_code(future) == KafkaError.GROUP_ID_NOT_FOUND:
            return "DEAD", 0, frozenset()
        described = self._admin.result(future, f"Kafka does not describe group {group!r}")
        assigned = frozenset(
            _partition(one) for member in described.members for one in member.assignment.topic_partitions
        )
        return described.state.name, len(described.members), assigned

    def _committed(self, group: str, future: "Future[Any]") -> dict[Partition, int]:
        if error_code(future) == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        found = self._admin.result(future, f"Kafka does not list the offsets of group {group!r}")
        return {_partition(one): one.offset for one in found.topic_partitions if one.offset >= 0}

    def _newest_offsets(
        self, partitions: Collection[Partition], newest: int
    ) -> tuple[dict[Partition, int], dict[str, str]]:
        """Return the first of the newest offsets of each partition that has records, and the failures by topic."""
        failures: dict[str, str] = {}
        ends = self._offsets(partitions, _LATEST, failures)
        starts = self._offsets(ends, _EARLIEST, failures)
        begins = {p: max(start, ends[p] - newest) for p, start in starts.items() if ends[p] > start}
        return {p: begin for p, begin in begins.items() if p.topic not in failures}, failures

    def _offsets(self, partitions: Collection[Partition], which: Any, failures: dict[str, str]) -> dict[Partition, int]:
        found: dict[Partition, int] = {}
        if not partitions:
            return found
        wanted = {TopicPartition(partition.topic, partition.number): which for partition in partitions}
        deadline = self._time.monotonic() + REQUEST_TIMEOUT_S
        futures: dict[TopicPartition, Future[Any]] = {}
        while wanted:
            some = wanted
            futures |= self._ask_all(
                lambda client, some=some: client.list_offsets(some, request_timeout=REQUEST_TIMEOUT_S)  # type: ignore[misc]
            )
            wanted = {one: which for one in some if error_code(futures[one]) in _LEADER_MOVES}
            if not wanted or self._time.monotonic() > deadline:
                break
            self._admin.pause(_RETRY_PAUSE_S)
        for one, future in futures.items():
            failure, acls = f"Kafka does not list the offsets of topic {one.topic!r}", f"Read on topic {one.topic}"
            try:
                offset = self._admin.result(future, failure, {"Topic": acls}).offset
            except MetadataUnavailable as error:
                failures[one.topic] = str(error)
                continue
            if offset == OFFSET_INVALID:  # librdkafka's result if there is no answer in time
                failures[one.topic] = f"{failure}: no answer"
            else:
                found[_partition(one)] = offset
        return found

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

    def _broker_settings(self, cluster: Cluster) -> Mapping[str, str]:
        broker = ConfigResource(ResourceType.BROKER, str(cluster.brokers[0]))
        return self._configs([broker]).get(broker.name, {})

    def _configs(self, resources: Iterable[ConfigResource]) -> dict[str, dict[str, str]]:
        """Return the settings of brokers or topics by name. Absent if this user may not read them."""
        wanted = list(resources)
        if not wanted:
            return {}
        try:
            futures = self._ask_all(lambda client: client.describe_configs(wanted, request_timeout=REQUEST_TIMEOUT_S))
        except MetadataUnavailable:
            return {}
        return {
            resource.name: config_values(future.result(0))
            for resource, future in futures.items()
            if future.exception(0) is None
        }

    def _result(self, request: Callable[[AdminClient], Mapping[Any, "Future[T]"]], failure: str) -> T:
        return self._admin.result(self._ask(request), failure)

    def _ask(self, request: Callable[[AdminClient], Mapping[Any, "Future[T]"]]) -> "Future[T]":
        """Send a single request, and return its finished future."""
        (future,) = self._ask_all(request).values()
        return future

    def _ask_all(self, request: Callable[[AdminClient], Mapping[K, "Future[T]"]]) -> dict[K, "Future[T]"]:
        return self._admin.ask(request, SlicedDeadline(self._time, REQUEST_TIMEOUT_S + _MARGIN_S))

    def _ask_coordinators(
        self, groups: Collection[str], request: Callable[[AdminClient, list[str]], Mapping[str, "Future[Any]"]]
    ) -> dict[str, "Future[Any]"]:
        """Ask about groups, with retries while a group's coordinator changes or starts, as in a new cluster."""
        deadline = self._time.monotonic() + REQUEST_TIMEOUT_S
        futures: dict[str, Future[Any]] = {}
        open_groups = list(groups)
        while open_groups:
            some = open_groups
            futures |= self._ask_all(lambda client, some=some: request(client, some))  # type: ignore[misc]
            open_groups = [one for one in some if error_code(futures[one]) in _COORDINATOR_MOVES]
            if self._time.monotonic() > deadline:
                break
            if open_groups:
                self._admin.pause(_RETRY_PAUSE_S)
        return futures


def _batches(names: Collection[str]) -> Iterator[list[str]]:
    """Yield the names, each once, in lists of `_BATCH_SIZE`."""
    left = iter(dict.fromkeys(names))
    while batch := list(islice(left, _BATCH_SIZE)):
        yield batch


def _similar(name: str, existing: Sequence[str]) -> tuple[str, ...]:
    return tuple(get_close_matches(name, existing, n=3, cutoff=0.6))


def _topic_facts(described: Any, config: Mapping[str, str]) -> TopicFacts:
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
