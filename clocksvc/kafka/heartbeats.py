"""Writes heartbeat records to partitions of the watched topics, and waits for their delivery."""

import threading
from collections.abc import Collection, Mapping

from confluent_kafka import KafkaError, KafkaException, Producer

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import HEARTBEAT_HEADER
from clocksvc.kafka.client import ClientLog, client_settings, describe_error, error_of, explain_missing_acl
from clocksvc.runtime.backoff import FRESH_PARTITION, Backoff

_POLL_S = 0.05
_METADATA_TIMEOUT_S = 2.0
_MESSAGE_TIMEOUT_MS = 30_000
"""A heartbeat that is not delivered within this time is dropped. The next heartbeat replaces it."""
_UNKNOWN_TOPIC_TIMEOUT_MS = 2_000

_RETRIABLE = {
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._QUEUE_FULL,
}


class HeartbeatProducer:
    """A producer of heartbeats. Safe to use from several threads. Connects at the first call of `put`."""

    def __init__(self, settings: Mapping[str, str], time: Time) -> None:
        self._settings, self._time = settings, time
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def put(
        self,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
        timeout_s: float,
    ) -> Mapping[Partition, str | None]:
        """See `Topics.put_heartbeats`."""
        deadline = self._time.monotonic() + timeout_s
        try:
            producer = self._open_producer()
        except KafkaException as raised:
            return dict.fromkeys(partitions, describe_error(raised))
        batch = _HeartbeatBatch(producer, partitions, timestamp_ms, key, payload)
        backoff = Backoff(FRESH_PARTITION)
        batch.send()
        next_send = self._time.monotonic() + backoff.next()
        while batch.is_open and (now := self._time.monotonic()) < deadline:
            if batch.unsent and now >= next_send:
                topics = {partition.topic for partition in batch.unsent}
                _refresh_metadata(producer, topics, min(deadline - now, _METADATA_TIMEOUT_S))
                batch.send()
                next_send = self._time.monotonic() + backoff.next()
            producer.poll(min(_POLL_S, deadline - now))
        return batch.outcomes()

    def close(self) -> None:
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(blocking=False)

    def _open_producer(self) -> Producer:
        with self._lock:
            if self._producer is None:
                fixed = client_settings(
                    self._settings,
                    acks="all",
                    linger_ms=5,
                    message_timeout_ms=_MESSAGE_TIMEOUT_MS,
                    topic_metadata_propagation_max_ms=_UNKNOWN_TOPIC_TIMEOUT_MS,
                )
                self._producer = Producer(fixed, logger=ClientLog())
            return self._producer


def _refresh_metadata(producer: Producer, topics: Collection[str], timeout_s: float) -> None:
    """Read the topics' metadata now, to find new partitions. librdkafka itself reads it only every five minutes."""
    for topic in topics:
        try:
            producer.list_topics(topic, timeout=timeout_s)
        except KafkaException:
            return


class _HeartbeatBatch:
    """Sends one heartbeat to each partition, and collects the results.

    Attributes:
        unsent: the partitions whose heartbeat must be sent, or sent again. The value is the reason why the heartbeat is
            not delivered yet.
    """

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
        self._outcomes: dict[Partition, str | None] = {}
        self._in_flight: set[Partition] = set()
        self.unsent: dict[Partition, str] = dict.fromkeys(partitions, "not sent")

    @property
    def is_open(self) -> bool:
        """True while a heartbeat is in flight or unsent."""
        return bool(self._in_flight or self.unsent)

    def send(self) -> None:
        """Send the unsent heartbeats."""
        unsent, self.unsent = self.unsent, {}
        for partition in unsent:
            self._send(partition)
            self._producer.poll(0)

    def outcomes(self) -> dict[Partition, str | None]:
        """Return for each partition None if its heartbeat was delivered, else the reason why not."""
        return self._outcomes | self.unsent | dict.fromkeys(self._in_flight, "no answer in time")

    def _send(self, partition: Partition) -> None:
        self._in_flight.add(partition)
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
            self._delivered(partition, error_of(raised))
        except BufferError as raised:
            self._in_flight.discard(partition)
            self.unsent[partition] = str(raised)

    def _delivered(self, partition: Partition, error: KafkaError | None) -> None:
        self._in_flight.discard(partition)
        if error is not None and error.code() in _RETRIABLE:
            self.unsent[partition] = error.str()
        else:
            acls = {"Topic": f"Write on topic {partition.topic}"}
            self._outcomes[partition] = None if error is None else explain_missing_acl(error.str(), acls)
