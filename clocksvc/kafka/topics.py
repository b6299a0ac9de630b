"""The watched topics in Kafka. What librdkafka raises is translated here; nothing here makes a topic."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.time import (
    SystemTime,
    Time,
)
from clocksvc.interfaces.topics import (
    HEARTBEAT_HEADER,
    ClusterMetadata,
    TimestampType,
)
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
    explain_missing_acl,
)

T = TypeVar("T")

ASK_TIMEOUT_S = 2.0

_POLL_S = 0.05
_FIRST_BACK_OFF_S = 0.1
_LONGEST_BACK_OFF_S = 1.0
_GIVE_UP_MS = 30_000
"""A heartbeat that did not get through is of no use to anyone later: the next one is newer."""
_GIVE_UP_UNKNOWN_MS = 2_000

_ABSENT = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION}
_NO_ANSWER = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
_NOT_AUTHORIZED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_NOT_KNOWN_YET = {
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._QUEUE_FULL,
}


class KafkaTopics:
    """The watched topics of one cluster: a Topics.

    Args:
        settings: librdkafka's, as the user set them.
        time: for deadlines.
    """

    def __init__(self, settings: Mapping[str, str], time: Time | None = None) -> None:
        self._settings = settings
        self._time = time or SystemTime()
        self._lock = threading.Lock()
        self._log = ClientLog()
        self._admin: AdminClient | None = None
        self._producer: Producer | None = None

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        wanted = TopicCollection(list(topics))

        def ask(admin: AdminClient) -> dict[str | None, Future[Any]]:
            # Both questions at once, and the cluster each time: nothing tells when an address leads to another one.
            asked: dict[str | None, Future[Any]] = {None: admin.describe_cluster(request_timeout=ASK_TIMEOUT_S)}
            asked.update(admin.describe_topics(wanted, request_timeout=ASK_TIMEOUT_S))
            return asked

        answers = self._ask(ask)
        with self._translated():
            cluster_id = answers.pop(None).result(0).cluster_id
            found = {name: _shape(name, answer) for name, answer in answers.items() if name is not None}
        return ClusterMetadata(cluster_id, {name: shape for name, shape in found.items() if shape})

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        answers = self._ask(lambda admin: admin.describe_configs(resources, request_timeout=ASK_TIMEOUT_S))
        with self._translated():
            found = {resource.name: _timestamp_type(answer) for resource, answer in answers.items()}
        return {name: kind for name, kind in found.items() if kind}

    def put_heartbeats(
        self,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
        timeout_s: float,
    ) -> Mapping[Partition, str | None]:
        deadline = self._time.monotonic() + timeout_s
        try:
            a_round = _HeartbeatBatch(self._producing(), partitions, timestamp_ms, key, payload)
        except KafkaException as raised:
            return dict.fromkeys(partitions, _words(raised))
        back_off_s = _FIRST_BACK_OFF_S
        a_round.put()
        next_put = self._time.monotonic() + back_off_s
        while a_round.open and (now := self._time.monotonic()) < deadline:
            if a_round.again and now >= next_put:
                self._learn_anew({partition.topic for partition in a_round.again}, min(deadline - now, ASK_TIMEOUT_S))
                a_round.put()
                back_off_s = min(2 * back_off_s, _LONGEST_BACK_OFF_S)
                next_put = self._time.monotonic() + back_off_s
            a_round.poll(min(_POLL_S, deadline - now))
        return a_round.outcomes()

    def close(self) -> None:
        with self._lock:
            producer, self._producer, self._admin = self._producer, None, None
        if producer is not None:
            producer.purge(blocking=False)

    def _ask(self, ask: Callable[[AdminClient], dict[T, Future[Any]]]) -> dict[T, Future[Any]]:
        """Ask, and wait for every answer, failed ones too.

        No question stays open: else the client's own thread could be the one that collects it as garbage one day, and
        librdkafka aborts the process when that happens. Its time-outs end each question.
        """
        with self._lock, self._translated():
            if self._admin is None:
                self._admin = AdminClient(client_settings(self._settings), logger=self._log)
            admin = self._admin
            admin.poll(0)
            self._log.last = ""
            answers = ask(admin)
        asked = wait(answers.values(), ASK_TIMEOUT_S + 0.5)
        admin.poll(0)  # serves the client's log, which tells of a refused certificate or password
        if not asked.not_done and any(_unanswered(one) for one in asked.done):
            self._forget(admin)
        return answers

    def _forget(self, admin: AdminClient) -> None:
        """The next question goes by a new client: this one asks the broker that it took for the controller, and where
        that is gone it waits for it, whoever else answers."""
        with self._lock:
            if self._admin is admin:
                self._admin = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as raised:
            why = self._log.last if _code(raised) in _NO_ANSWER and self._log.last else _words(raised)
            raise MetadataUnavailable(f"Kafka does not answer a question about topics: {why}") from raised
        except TimeoutError:
            raise MetadataUnavailable from None

    def _producing(self) -> Producer:
        with self._lock:
            if self._producer is None:
                ours = client_settings(
                    self._settings,
                    acks="all",
                    linger_ms=5,
                    message_timeout_ms=_GIVE_UP_MS,
                    topic_metadata_propagation_max_ms=_GIVE_UP_UNKNOWN_MS,
                )
                self._producer = Producer(ours, logger=ClientLog())
            return self._producer

    def _learn_anew(self, topics: Collection[str], timeout_s: float) -> None:
        """Have the producer ask for partitions it does not know: by itself it asks every five minutes."""
        for topic in topics:
            try:
                self._producing().list_topics(topic, timeout=timeout_s)
            except KafkaException:
                return


class _HeartbeatBatch:
    """One heartbeat into each partition: what is on its way, what has to be tried again, what became of the rest."""

    def __init__(
        self,
        producer: Producer,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
    ) -> None:
        self._producer = producer
        self._timestamp_ms, self._key, self._payload = timestamp_ms, key, payload
        self._done: dict[Partition, str | None] = {}
        self.in_flight: set[Partition] = set()
        self.again: dict[Partition, str] = dict.fromkeys(partitions, "not tried")

    @property
    def open(self) -> bool:
        """There is something to wait for."""
        return bool(self.in_flight or self.again)

    def put(self) -> None:
        """Send what has to be tried again, or for the first time."""
        waiting, self.again = self.again, {}
        for partition in waiting:
            self._put(partition)
            self._producer.poll(0)

    def poll(self, seconds: float) -> None:
        """Wait for deliveries."""
        self._producer.poll(seconds)

    def outcomes(self) -> dict[Partition, str | None]:
        """For each partition None, or why not."""
        return self._done | self.again | dict.fromkeys(self.in_flight, "no answer in time")

    def _put(self, partition: Partition) -> None:
        self.in_flight.add(partition)
        try:
            self._producer.produce(
                partition.topic,
                self._payload,
                self._key,
                partition=partition.number,
                timestamp=self._timestamp_ms,
                headers={HEARTBEAT_HEADER: b"1"},
                on_delivery=lambda error, _: self._delivered(partition, error),
            )
        except KafkaException as raised:
            self._delivered(partition, cast(KafkaError, raised.args[0]))
        except BufferError as raised:
            self.in_flight.discard(partition)
            self.again[partition] = str(raised)

    def _delivered(self, partition: Partition, error: KafkaError | None) -> None:
        self.in_flight.discard(partition)
        if error is not None and error.code() in _NOT_KNOWN_YET:
            self.again[partition] = error.str()
        else:
            rights = {"Topic": f"Write on topic {partition.topic}"}
            self._done[partition] = None if error is None else explain_missing_acl(error.str(), rights)


def _shape(name: str, answer: "Future[Any]") -> TopicMetadata | None:
    try:
        topic = answer.result(0)
    except KafkaException as raised:
        if _code(raised) in _ABSENT:
            return None
        if _code(raised) in _NOT_AUTHORIZED:
            why = explain_missing_acl(_words(raised), {"Topic": f"Describe on topic {name}"})
            raise MetadataUnavailable(f"Kafka does not describe topic {name!r}: {why}") from raised
        raise
    return TopicMetadata(str(topic.topic_id), len(topic.partitions))


def _unanswered(answer: "Future[Any]") -> bool:
    raised = answer.exception(0)
    return isinstance(raised, KafkaException) and _code(raised) in _NO_ANSWER


def _timestamp_type(answer: "Future[Any]") -> TimestampType | None:
    try:
        config = answer.result(0)
    except KafkaException as raised:
        if _code(raised) in _ABSENT | _NOT_AUTHORIZED:
            return None
        raise
    return TimestampType(config["message.timestamp.type"].value)


def _code(raised: KafkaException) -> int:
    return cast(KafkaError, raised.args[0]).code()


def _words(raised: KafkaException) -> str:
    return cast(KafkaError, raised.args[0]).str()
