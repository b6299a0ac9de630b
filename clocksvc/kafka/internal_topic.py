"""Creates the topics that clocksvc itself writes, and checks their settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from clocksvc.errors import Unavailable
from clocksvc.kafka.admin import Admin, config_values
from clocksvc.kafka.client import PAUSE_S, UNKNOWN_TOPIC, SlicedDeadline, error_code
from clocksvc.kafka.topic_settings import REPLICATION, DescribedTopic, WantedTopic

ALL_PARTITIONS = -1


@dataclass(frozen=True, slots=True)
class InternalTopic:
    """One partition of a topic that clocksvc writes. `str` gives the topic's name in error messages.

    Attributes:
        kind: what error messages call the topic, such as `tick log`.
        partition: the number of the partition, such as that of the log. ALL_PARTITIONS: only for `ensure_topic`.
        unavailable: the class of error that is raised when the topic can't be read or written.
    """

    name: str
    kind: str
    unavailable: type[Unavailable]
    partition: int = ALL_PARTITIONS

    def __str__(self) -> str:
        partition = "" if self.partition == ALL_PARTITIONS else f" (partition {self.partition})"
        return f"{self.kind} {self.name!r}{partition}"

    def acls(self, operations: str) -> dict[str, str]:
        """Return the permissions that a request needs, in the form for `explain_missing_acl`."""
        return {"Topic": f"{operations} on topic {self.name}"}


def ensure_topic(
    topic: InternalTopic, wanted: WantedTopic, settings: Mapping[str, str], timeout_s: float, deadline: SlicedDeadline
) -> None:
    """Create the topic if it does not exist, wait until brokers list it, and check its settings.

    Args:
        timeout_s: how long one request may take.
        deadline: when the call ends, with all its requests.

    Raises:
        The error of `wanted.raise_if_unsafe`.
        `topic.unavailable`: Kafka does not answer, or a request is not authorized.
    """
    with Admin(settings, topic.unavailable) as admin:
        requests = _Requests(admin, topic, timeout_s, deadline)
        wanted.raise_if_unsafe(requests.describe() or requests.create(wanted))


class _Requests:
    """Sends requests about one topic, with a common deadline."""

    def __init__(self, admin: Admin, topic: InternalTopic, timeout_s: float, deadline: SlicedDeadline) -> None:
        self._admin, self._topic, self._timeout_s, self._deadline = admin, topic, timeout_s, deadline

    def describe(self) -> DescribedTopic | None:
        """Return the topic as brokers describe it; None if the topic does not exist."""
        names = TopicCollection([self._topic.name])
        topic = self._describe(
            "Read and Write", lambda client: client.describe_topics(names, request_timeout=self._timeout_s)
        )
        resource = ConfigResource(ResourceType.TOPIC, self._topic.name)
        config = topic and self._describe(
            "DescribeConfigs", lambda client: client.describe_configs([resource], request_timeout=self._timeout_s)
        )
        if topic is None or config is None:
            return None
        replication = min((len(partition.replicas) for partition in topic.partitions), default=0)
        values = config_values(config)
        return DescribedTopic(self._topic.name, len(topic.partitions), replication, self._brokers(), values)

    def create(self, wanted: WantedTopic) -> DescribedTopic:
        """Create the topic, unless another process has just created it. Wait until brokers list it, and return it."""
        brokers = self._brokers()
        config = dict(wanted.config(brokers))
        new = NewTopic(self._topic.name, wanted.partitions, min(brokers, REPLICATION), config=config)
        (future,) = self._admin.ask(
            lambda client: client.create_topics([new], request_timeout=self._timeout_s), self._deadline
        ).values()
        if error_code(future) != KafkaError.TOPIC_ALREADY_EXISTS:
            self._admin.result(future, f"the {self._topic} can't be created", self._topic.acls("Create"))
        for slice_s in self._deadline:
            described = self.describe()
            if described is not None:
                return described
            self._admin.pause(min(PAUSE_S, slice_s))
        raise self._topic.unavailable(f"the {self._topic} was created, but brokers do not list it yet")

    def _brokers(self) -> int:
        return len(self._admin.cluster(self._topic.name, self._deadline).brokers)

    def _describe(self, operations: str, request: Callable[[AdminClient], Mapping[Any, Any]]) -> Any:
        (future,) = self._admin.ask(request, self._deadline).values()
        if error_code(future) in UNKNOWN_TOPIC:
            return None
        return self._admin.result(future, f"Kafka does not describe the {self._topic}", self._topic.acls(operations))
