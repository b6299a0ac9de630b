"""Reads a Kafka cluster's facts for `clocksvc check`. It writes nothing, joins no group and creates no topic."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from difflib import get_close_matches
from typing import Any, Self, TypeVar

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

from clocksvc.clock.log_record import TYPE_HEADER
from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.cluster_facts import (
    ClusterFacts,
    GroupFacts,
    NewestRecord,
    TopicFacts,
)
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
)

T = TypeVar("T")

ASK_S = 4.0
NEWEST_OFFSETS = 20
"""How far back a log's newest record is looked for: transactions' markers take offsets too."""

FETCH_BYTES = 256 * 1024
PAUSE_S = 0.2

_UNKNOWN_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
_DENIED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)
_MOVING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,
)
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_APPENDED = 2
"""confluent_kafka's number for a record that the broker stamped."""


class KafkaInspector:
    """One cluster, looked at from outside: a context manager, for one look. Every call blocks for a few seconds at most
    and raises MetadataUnavailable with Kafka's own words when it does not answer.

    Leaving it drops the client here and now. With a question still open its own thread could be the one that collects
    it as garbage, and librdkafka aborts the process when that happens.
    """

    def __init__(self, settings: Mapping[str, str], time: Time) -> None:
        self._settings = settings
        self._time = time
        self._last_error = ""
        try:
            ours: dict[str, Any] = {**client_settings(settings), "error_cb": self._note_error}
            self._admin = AdminClient(ours, logger=ClientLog())
        except KafkaException as error:
            raise MetadataUnavailable(f"kafka: librdkafka refuses the settings: {_words(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._admin

    def cluster(self) -> ClusterFacts:
        """Which cluster it is."""
        described = self._result(self._admin.describe_cluster(request_timeout=ASK_S))
        broker = ConfigResource(ResourceType.BROKER, str(described.nodes[0].id))
        protocol: str | None = None
        try:
            protocol = self._config(broker).get("inter.broker.protocol.version")
        except MetadataUnavailable:  # no right to read a broker's settings: then its version is not known
            protocol = None
        return ClusterFacts(described.cluster_id, len(described.nodes), protocol)

    def topic(self, name: str) -> TopicFacts | None:
        """One topic; None where Kafka does not list it. Settings that it does not tell are None."""
        asked = self._admin.describe_topics(
            TopicCollection([name]), include_authorized_operations=True, request_timeout=ASK_S
        )
        try:
            described = self._answer(asked[name])
        except KafkaException as error:
            if error.args[0].code() in _UNKNOWN_TOPIC:
                return None
            raise MetadataUnavailable(_words(error)) from error
        try:
            config = self._config(ConfigResource(ResourceType.TOPIC, name))
        except MetadataUnavailable:  # no right to read a topic's settings
            config = {}
        stamps = config.get("message.timestamp.type")
        return TopicFacts(
            partitions=len(described.partitions),
            timestamp_type=None if stamps is None else TimestampType(stamps),
            after_max_ms=_number(config, "message.timestamp.after.max.ms"),
            retention_ms=_number(config, "retention.ms"),
            cleanup_policy=config.get("cleanup.policy"),
            min_compaction_lag_ms=_number(config, "min.compaction.lag.ms"),
            replication=min((len(one.replicas) for one in described.partitions), default=1),
            min_insync=_number(config, "min.insync.replicas"),
            allowed=None if not described.authorized_operations else _names(described.authorized_operations),
        )

    def refusal_to_create(self, name: str) -> str | None:
        """Why this user may not create a topic, in Kafka's words; None where it may. Nothing is created."""
        new = NewTopic(name, 1)
        try:
            self._answer(self._admin.create_topics([new], validate_only=True, request_timeout=ASK_S)[name])
        except KafkaException as error:
            return _words(error) if error.args[0].code() in _DENIED else None
        return None

    def group(self, name: str) -> GroupFacts | None:
        """One consumer group: its members, what they have, and its offsets; None where this user may not look at it."""
        state, members, assigned = "DEAD", 0, set()
        try:
            described = self._of_coordinator(
                lambda: self._admin.describe_consumer_groups([name], request_timeout=ASK_S)[name]
            )
            state, members = described.state.name, len(described.members)
            assigned = {_partition(one) for member in described.members for one in member.assignment.topic_partitions}
        except KafkaException as error:
            if error.args[0].code() in _DENIED:
                return None
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise MetadataUnavailable(_words(error)) from error
        found = GroupFacts(state, members, frozenset(assigned), self._committed(name))
        return found if found.known else GroupFacts(state, similar=self._similar_groups(name))

    def sample(self, partitions: Collection[Partition], newest: int, deadline_s: float) -> dict[Partition, list[int]]:
        """The timestamps (ms, -1 for none) of each partition's newest records, in order of offset.

        Args:
            newest: at most so many records a partition.
            deadline_s: after so many seconds what was read by then is enough.
        """
        ends = self._offsets(partitions, _LATEST)
        starts = self._offsets(partitions, _EARLIEST)
        begins = {p: max(starts.get(p, 0), end - newest) for p, end in ends.items() if end > starts.get(p, 0)}
        read: dict[Partition, list[int]] = {partition: [] for partition in partitions}
        for message in self._read(begins, self._time.monotonic() + deadline_s):
            read[_partition(message)].append(message.timestamp()[1])
        return read

    def newest(self, topic: str, deadline_s: float) -> NewestRecord | None:
        """The newest committed record of a topic's partition 0; None where none is found near its end."""
        partition = Partition(topic, 0)
        end = self._offsets([partition], _LATEST).get(partition, 0)
        start = self._offsets([partition], _EARLIEST).get(partition, 0)
        begin = max(start, end - NEWEST_OFFSETS)
        messages = self._read({partition: begin} if end > begin else {}, self._time.monotonic() + deadline_s)
        if not messages:
            return None
        last = messages[-1]
        kind, stamp_ms = last.timestamp()
        headers = dict(last.headers() or [])
        record_type = headers.get(TYPE_HEADER)
        return NewestRecord(
            stamp_ms if kind == _APPENDED else None,
            last.key(),
            last.value(),
            None if record_type is None else record_type.decode(errors="replace"),
        )

    def _committed(self, group: str) -> dict[Partition, int]:
        wanted = [ConsumerGroupTopicPartitions(group)]
        try:
            found = self._of_coordinator(
                lambda: self._admin.list_consumer_group_offsets(wanted, request_timeout=ASK_S)[group]
            )
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return {}
            raise MetadataUnavailable(_words(error)) from error
        return {_partition(one): one.offset for one in found.topic_partitions if one.offset >= 0}

    def _similar_groups(self, name: str) -> tuple[str, ...]:
        listed = self._result(self._admin.list_consumer_groups(request_timeout=ASK_S))
        names = [group.group_id for group in listed.valid or []]
        return tuple(get_close_matches(name, names, n=3, cutoff=0.6))

    def _offsets(self, partitions: Collection[Partition], which: Any) -> dict[Partition, int]:
        if not partitions:
            return {}
        wanted = {TopicPartition(partition.topic, partition.number): which for partition in partitions}
        asked = self._admin.list_offsets(wanted, request_timeout=ASK_S)
        return {_partition(one): self._result(future).offset for one, future in asked.items()}

    def _read(self, begins: Mapping[Partition, int], deadline: float) -> list[Any]:
        """Every record from these offsets to the partitions' ends, or what was read by the deadline."""
        if not begins:
            return []
        consumer = Consumer(
            client_settings(
                self._settings,
                group_id="clocksvc-check",  # librdkafka wants one; nothing is joined or committed
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
        entries = self._result(self._admin.describe_configs([resource], request_timeout=ASK_S)[resource])
        return {name: entry.value for name, entry in entries.items() if entry.value is not None}

    def _result(self, future: "Future[T]") -> T:
        try:
            return self._answer(future)
        except KafkaException as error:
            raise MetadataUnavailable(_words(error)) from error

    def _of_coordinator(self, ask: Callable[[], "Future[T]"]) -> T:
        """Asked again while the group's coordinator moves, or starts: on a new cluster it has just been made."""
        deadline = self._time.monotonic() + ASK_S
        while True:
            try:
                return self._answer(ask())
            except KafkaException as error:
                if error.args[0].code() not in _MOVING or self._time.monotonic() > deadline:
                    raise
                self._admin.poll(PAUSE_S)

    def _answer(self, future: "Future[T]") -> T:
        try:
            return future.result(ASK_S + 1.0)
        except FutureTimeoutError as error:
            raise self._no_answer() from error
        except KafkaException as error:
            if error.args[0].code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                raise self._no_answer() from error
            raise

    def _no_answer(self) -> MetadataUnavailable:
        self._admin.poll(0.1)  # serves the callback that tells why
        reason = f": {self._last_error}" if self._last_error else ""
        return MetadataUnavailable(f"Kafka does not answer at {self._settings['bootstrap.servers']}{reason}")

    def _note_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last_error = error.str()


def _partition(one: Any) -> Partition:
    topic, number = one.topic, one.partition
    return Partition(topic() if callable(topic) else topic, number() if callable(number) else number)


def _names(operations: Collection[Any]) -> frozenset[str]:
    return frozenset(operation.name for operation in operations)


def _number(config: Mapping[str, str], name: str) -> int | None:
    value = config.get(name)
    return None if value is None else int(value)


def _words(error: KafkaException) -> str:
    text: str = error.args[0].str()
    return f"{text.strip()} ({error.args[0].name()})"
