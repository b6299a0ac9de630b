"""Reads records of an internal topic's partition by offset. Does not decode them."""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from clocksvc.clock.log_record import TYPE_HEADER, LogEntry, Message
from clocksvc.kafka.client import PAUSE_S, SlicedDeadline, describe_error, error_of
from clocksvc.kafka.internal_topic import InternalTopic
from clocksvc.kafka.log_consumers import ConsumerClient, LogConsumers, SharedConsumer

T = TypeVar("T")

_NOT_READABLE = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTO_OFFSET_RESET}


class Ends(NamedTuple):
    """The offsets of a partition: the first one, the last stable offset, and the high watermark."""

    low: int
    stable: int
    high: int


class Reader:
    """Reads one partition. One thread at a time uses it.

    Every method with a deadline blocks until the deadline at most. It raises `topic.unavailable` at the deadline if
    brokers do not answer, and at once if this user lacks permission to read the topic.

    Args:
        consumers: other readers may use them at the same time.
    """

    def __init__(self, topic: InternalTopic, consumers: LogConsumers) -> None:
        self._topic = topic
        self._consumers = consumers
        self._acls = topic.acls("Read")

    def stable_bounds(self, deadline: SlicedDeadline) -> tuple[int, int]:
        """Ask the partition's leader for the low watermark and the last stable offset."""
        with self._consumers.offsets.using(self._topic) as client:
            return self._stable_bounds(client, self._consumers.offsets, deadline)

    def ends(self, deadline: SlicedDeadline) -> Ends:
        """Ask the partition's leader for all ends: first for those of `stable_bounds`, then for the high watermark."""
        low, stable = self.stable_bounds(deadline)
        with self._consumers.records.using(self._topic) as client:
            # The response to a fetch at the last stable offset contains the high watermark.
            self._fetch(client, stable, stable, deadline, log_entry)
            _, high = client.consumer.get_watermark_offsets(self._position(), cached=True)
        return Ends(low, stable, max(stable, high))

    def read(self, start: int, end: int, deadline: SlicedDeadline, convert: Callable[[KafkaMessage], T]) -> list[T]:
        """Return all committed records from offset `start` to before offset `end`, converted.

        Waits while another reader of these consumers reads. `end` must not be above the last stable offset.
        """
        if start >= end:
            return []
        with self._consumers.records.using(self._topic) as client:
            return self._fetch(client, start, end, deadline, convert)

    def offset_at(self, timestamp_ms: int, deadline: SlicedDeadline) -> int | None:
        """Return the first offset with this timestamp or a later one; None if there is none.

        It can be the offset of a marker or of an aborted record.
        """

        def ask(client: ConsumerClient, timeout_s: float) -> int | None:
            (found,) = client.consumer.offsets_for_times([self._position(timestamp_ms)], timeout=timeout_s)
            if found.error is not None:
                raise KafkaException(found.error)
            return found.offset if found.offset >= 0 else None

        offsets = self._consumers.offsets
        with offsets.using(self._topic) as client:
            return self._ask(client, offsets, deadline, ask, "can't find an offset by time in")

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`, and deliver the client's log lines."""
        with self._consumers.offsets.using(self._topic) as client:
            client.pause(seconds)

    def _stable_bounds(
        self, client: ConsumerClient, shared: SharedConsumer, deadline: SlicedDeadline
    ) -> tuple[int, int]:
        def ask(client: ConsumerClient, timeout_s: float) -> tuple[int, int]:
            low, stable = client.consumer.get_watermark_offsets(self._position(), timeout=timeout_s, cached=False)
            return low, stable

        client.pause(0)
        return self._ask(client, shared, deadline, ask, "can't read the end offset of")

    def _ask(
        self,
        client: ConsumerClient,
        shared: SharedConsumer,
        deadline: SlicedDeadline,
        ask: Callable[[ConsumerClient, float], T],
        what: str,
    ) -> T:
        """Ask the partition's leader, again and again until the deadline. `what` begins the text of the error."""
        failure = None
        for slice_s in deadline:
            try:
                return ask(client, slice_s / 2)
            except KafkaException as raised:
                failure = raised
                if not self._recover(client, slice_s):
                    break
        raise self._no_offset(client, shared, what, failure)

    def _fetch(
        self,
        client: ConsumerClient,
        start: int,
        end: int,
        deadline: SlicedDeadline,
        convert: Callable[[KafkaMessage], T],
    ) -> list[T]:
        if not any(client.reading.acquire(timeout=slice_s) for slice_s in deadline):
            raise self._topic.unavailable(f"the {self._topic} can't be read: reads of other logs took too long")
        try:
            if self._consumers.records is not self._consumers.offsets:
                # This consumer must find the partition's leader, too: a fetch from a broker that has failed never ends.
                self._stable_bounds(client, self._consumers.records, deadline)
            return self._read_assigned(client, start, end, deadline, convert)
        finally:
            client.reading.release()

    def _read_assigned(
        self,
        client: ConsumerClient,
        start: int,
        end: int,
        deadline: SlicedDeadline,
        convert: Callable[[KafkaMessage], T],
    ) -> list[T]:
        consumer, topic, partition = client.consumer, self._topic.name, self._topic.partition
        found: list[T] = []
        failure = None
        try:
            consumer.assign([self._position(start)])
            for slice_s in deadline:
                polled = consumer.poll(slice_s)
                if polled is None:
                    continue
                error, offset = polled.error(), cast(int, polled.offset())
                at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
                if (error is None or at_end) and (polled.partition() != partition or polled.topic() != topic):
                    continue  # left over from the previous read
                if error is None and offset < end:
                    found.append(convert(polled))
                if error is not None and not at_end:
                    failure = KafkaException(error)
                    if error.code() in _NOT_READABLE:
                        break
                elif offset >= (end if error is not None else end - 1):
                    return found
        except KafkaException as raised:
            failure = raised
        finally:
            consumer.unassign()
        if _is_unanswered(failure):
            self._consumers.records.replace(client)
        why = describe_error(failure, self._acls)
        raise self._topic.unavailable(f"the {self._topic} can't be read to its end: {why}") from failure

    def _position(self, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._topic.name, self._topic.partition, offset)

    def _recover(self, client: ConsumerClient, slice_s: float) -> bool:
        """Find the partition's leader. Without this, an idle client asks the former leader, which may never answer.

        Returns False if this user lacks permission for the topic. Then another attempt before the deadline is useless.
        """
        client.pause(min(PAUSE_S, slice_s))
        with suppress(KafkaException):
            topic = client.consumer.list_topics(self._topic.name, timeout=slice_s / 4).topics.get(self._topic.name)
            error = None if topic is None else topic.error
            return error is None or error.code() != KafkaError.TOPIC_AUTHORIZATION_FAILED
        return True

    def _no_offset(
        self, client: ConsumerClient, shared: SharedConsumer, what: str, failure: KafkaException | None
    ) -> Exception:
        """Return the error of a failed request for an offset.

        Prefers the error in the topic's metadata, because the consumer's own error does not contain the cause.
        """
        if _is_unanswered(failure):
            shared.replace(client)
        try:
            listed = client.consumer.list_topics(self._topic.name, timeout=PAUSE_S).topics[self._topic.name].error
        except KafkaException:
            listed = None
        why = describe_error(failure if listed is None else KafkaException(listed), self._acls)
        error = self._topic.unavailable(f"{what} the {self._topic}: {why}")
        error.__cause__ = failure
        return error


def _is_unanswered(failure: KafkaException | None) -> bool:
    """True if a request failed in the client; False if a broker answered it with an error."""
    return failure is None or error_of(failure).code() < 0


def log_entry(polled: KafkaMessage) -> LogEntry:
    """Return a polled record as a LogEntry."""
    return LogEntry(cast(int, polled.offset()), message_of(polled))


def message_of(polled: KafkaMessage) -> Message:
    """Return a polled record as a Message."""
    headers = cast("list[tuple[str, bytes | None]]", polled.headers() or [])
    types = [value for name, value in headers if name == TYPE_HEADER and value is not None]
    return Message(polled.key(), polled.value(), types[-1].decode(errors="replace") if types else None)
