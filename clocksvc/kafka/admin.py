"""The log's topic: what it looks like, and its creation."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.tick_log_topic import (
    REPLICATION,
    TickLogTopic,
    wanted_config,
)
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
)
from clocksvc.kafka.deadline import (
    REST_S,
    SlicedDeadline,
)
from clocksvc.kafka.errors import (
    error_of,
    translated,
)

T = TypeVar("T")


class Admin:
    """The log's topic: what it looks like, and its creation, with `config` of the number of brokers. A context manager,
    for one use.

    Leaving it drops the client here and now. With a question still open its own thread could be the one that collects
    it as garbage (from the traceback of whoever gave up), and librdkafka aborts the process when that happens.
    """

    def __init__(
        self,
        topic: str,
        settings: Mapping[str, str],
        timeout_s: float,
        patience: SlicedDeadline,
        config: Callable[[int], Mapping[str, str]] = wanted_config,
    ) -> None:
        self._topic, self._timeout_s, self._patience, self._config = topic, timeout_s, patience, config
        self._log = ClientLog()
        with translated("Kafka can't be asked about the tick log"):
            self._client = AdminClient(client_settings(settings), logger=self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._client

    def describe(self) -> TickLogTopic | None:
        named, resource = TopicCollection([self._topic]), ConfigResource(ResourceType.TOPIC, self._topic)
        topic = self._known("Read and Write", lambda: self._client.describe_topics(named, **self._timeout()))
        config = topic and self._known(
            "DescribeConfigs", lambda: self._client.describe_configs([resource], **self._timeout())
        )
        if topic is None or config is None:
            return None
        return TickLogTopic(
            topic=self._topic,
            partitions=len(topic.partitions),
            # What a broker does not tell is taken as Kafka's own default.
            cleanup_policy=_setting(config, "cleanup.policy", "delete"),
            timestamp_type=_setting(config, "message.timestamp.type", "CreateTime"),
            min_compaction_lag_ms=int(_setting(config, "min.compaction.lag.ms", "0")),
            replication=min((len(partition.replicas) for partition in topic.partitions), default=0),
            min_insync=int(_setting(config, "min.insync.replicas", "1")),
            brokers=self._brokers(),
        )

    def create(self) -> TickLogTopic:
        """Make the topic, or find that somebody else did, and wait until it is known."""
        brokers = self._brokers()
        new = NewTopic(self._topic, 1, min(brokers, REPLICATION), config=dict(self._config(brokers)))
        with translated(f"the tick log {self._topic!r} can't be created", self._right("Create")):
            try:
                self._answer(self._client.create_topics([new], **self._timeout())[self._topic])
            except KafkaException as raised:
                if error_of(raised).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        for slice_s in self._patience:
            shape = self.describe()
            if shape is not None:
                return shape
            self._client.poll(min(REST_S, slice_s))
        raise TickLogUnavailable(f"the tick log {self._topic!r} was created and is not known yet")

    def _brokers(self) -> int:
        with translated("Kafka does not say how many brokers there are"):
            return len(self._answer(self._client.describe_cluster(**self._timeout())).nodes)

    def _known(self, right: str, ask: Callable[[], Mapping[Any, Future[Any]]]) -> Any:
        """The answer about the one topic that was asked about; None where Kafka does not list it."""
        with translated(f"Kafka does not describe the tick log {self._topic!r}", self._right(right)):
            try:
                (future,) = ask().values()
                return self._answer(future)
            except KafkaException as raised:
                if error_of(raised).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise

    def _answer(self, future: "Future[T]") -> T:
        for slice_s in self._patience:
            with suppress(TimeoutError):
                return future.result(slice_s)
        self._client.poll(0)  # serves the client's log, which tells of a refused certificate or password
        raise TickLogUnavailable("Kafka does not answer" + (f": {self._log.last}" if self._log.last else ""))

    def _right(self, operations: str) -> dict[str, str]:
        return {"Topic": f"{operations} on topic {self._topic}"}

    def _timeout(self) -> dict[str, float]:
        return {"request_timeout": self._timeout_s}


def _setting(config: Mapping[str, Any], name: str, default: str) -> str:
    entry = config.get(name)
    return default if entry is None or entry.value is None else str(entry.value)
