"""Reads the metadata of the watched topics from Kafka, and writes heartbeats to them. Does not create topics."""

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.interfaces.topics import ClusterMetadata, TimestampType
from clocksvc.kafka.admin import Admin, Cluster, config_values
from clocksvc.kafka.client import NO_ANSWER, NOT_AUTHORIZED, UNKNOWN_TOPIC, SlicedDeadline, describe_error, error_code
from clocksvc.kafka.heartbeats import HeartbeatProducer
from clocksvc.kafka.timestamp_types import SharedTimestampTypes

K = TypeVar("K")

REQUEST_TIMEOUT_S = 2.0
_MARGIN_S = 0.5
"""librdkafka ends each request after its timeout. Within this additional time, all requests have ended."""
_ZERO_ID = str(Uuid(0, 0))


class KafkaTopics:
    """Implements Topics: the watched topics of one Kafka cluster. The clients connect at the first call.

    Args:
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
    """

    def __init__(self, settings: Mapping[str, str], time: Time | None = None) -> None:
        self._settings = settings
        self._time = time or SystemTime()
        self._lock = threading.Lock()
        self._admin: Admin | None = None
        self._heartbeats = HeartbeatProducer(settings, self._time)
        self._types = SharedTimestampTypes(self._read_timestamp_types, self._time)

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        wanted = TopicCollection(list(topics))
        # The cluster is read each time, because the cluster at an address can change. Both requests run in parallel.
        clusters: list[Cluster | MetadataUnavailable] = []

        def read_cluster(admin: Admin) -> None:
            try:
                deadline = SlicedDeadline(self._time, REQUEST_TIMEOUT_S)
                clusters.append(admin.cluster(min(topics, default=None), deadline))
            except MetadataUnavailable as error:
                self._forget(admin)
                clusters.append(error)

        admin, futures = self._ask(
            lambda client: client.describe_topics(wanted, request_timeout=REQUEST_TIMEOUT_S) if topics else {},
            meanwhile=read_cluster,
        )
        (cluster,) = clusters
        if isinstance(cluster, MetadataUnavailable):
            raise cluster
        found: dict[str, TopicMetadata] = {}
        failures: dict[str, str] = {}
        for name, future in futures.items():
            raised, code = future.exception(0), error_code(future)
            if code in UNKNOWN_TOPIC:
                continue
            if isinstance(raised, KafkaException) and code not in NO_ANSWER:
                failures[name] = describe_error(raised, {"Topic": f"Describe on topic {name}"})
            else:
                topic = admin.result(future, f"Kafka does not describe topic {name!r}")
                found[name] = TopicMetadata(topic_id(topic.topic_id), len(topic.partitions))
        return ClusterMetadata(cluster.id, found, failures)

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        return self._types.get(topics)

    def put_heartbeats(
        self,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
        timeout_s: float,
    ) -> Mapping[Partition, str | None]:
        return self._heartbeats.put(partitions, timestamp_ms, key, payload, timeout_s)

    def close(self) -> None:
        with self._lock:
            self._admin = None
        self._heartbeats.close()

    def _read_timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        admin, futures = self._ask(lambda client: client.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S))
        found = {resource.name: _timestamp_type(admin, resource.name, future) for resource, future in futures.items()}
        return {name: timestamp_type for name, timestamp_type in found.items() if timestamp_type}

    def _ask(
        self,
        request: Callable[[AdminClient], Mapping[K, "Future[Any]"]],
        meanwhile: Callable[[Admin], None] = lambda admin: None,
    ) -> tuple[Admin, dict[K, "Future[Any]"]]:
        with self._lock:
            if self._admin is None:
                self._admin = Admin(self._settings, MetadataUnavailable)
            admin = self._admin
        deadline = SlicedDeadline(self._time, REQUEST_TIMEOUT_S + _MARGIN_S)
        futures = admin.ask(request, deadline, partial(meanwhile, admin))
        if any(error_code(future) in NO_ANSWER for future in futures.values()):
            self._forget(admin)
        return admin, futures

    def _forget(self, admin: Admin) -> None:
        """Use a new client for the next request.

        An AdminClient sends requests to the controller that it knows. If this controller is down, the client waits for
        it, although other brokers would answer. A new client finds the new controller.
        """
        with self._lock:
            if self._admin is admin:
                self._admin = None


def topic_id(uuid: Uuid) -> str:
    """Return a topic's id as text; "" for the zero id of a broker that gives no topic ids."""
    text = str(uuid)
    return "" if text == _ZERO_ID else text


def _timestamp_type(admin: Admin, name: str, future: "Future[Any]") -> TimestampType | None:
    """Return the topic's timestamp type.

    None if the topic does not exist, the user may not read its settings, or the broker does not list this setting.
    """
    if error_code(future) in UNKNOWN_TOPIC | NOT_AUTHORIZED:
        return None
    config = admin.result(future, f"Kafka does not describe the settings of topic {name!r}")
    value = config_values(config).get("message.timestamp.type")
    return None if value is None else TimestampType(value)
