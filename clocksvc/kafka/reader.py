"""Reads records of an internal topic's partition by offset. Does not decode them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from clocksvc.clock.log_record import TYPE_HEADER, LogEntry, Message
from clocksvc.kafka.client import PAUSE_S, ClientLog, SlicedDeadline, client_settings, describe_error, translate_errors
from clocksvc.kafka.internal_topic import InternalTopic

T = TypeVar("T")

_NOT_READABLE = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTO_OFFSET_RESET}


class Ends(NamedTuple):
    """The offsets of a partition: the first one, the last stable offset, and the high watermark."""

    low: int
    stable: int
    high: int


class Reader:
    """Reads one partition with a consumer that does not join a group and reads committed records only.

    Every method with a deadline blocks until the deadline at most. It raises `topic.unavailable` at the deadline if
    brokers do not answer, and at once if this user lacks permission to read the topic.
    """

    def __init__(self, topic: InternalTopic, settings: Mapping[str, str]) -> None:
        self._topic = topic
        self._acls = topic.acls("Read")
        fixed = client_settings(
            settings,
            group_id="clocksvc",
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            # Each read ends at the end of the topic. There a broker would wait for more records, for this time.
            fetch_wait_max_ms=0,
            check_crcs=True,
        )
        with translate_errors(topic.unavailable, f"a consumer of the {topic} can't be created"):
            self._consumer = Consumer(fixed, logger=ClientLog())

    def stable_bounds(self, deadline: SlicedDeadline) -> tuple[int, int]:
        """Ask the partition's leader for the low watermark and the last stable offset."""
        failure = None
        for slice_s in deadline:
            try:
                low, stable = self._consumer.get_watermark_offsets(self._position(), timeout=slice_s / 2, cached=False)
                return low, stable
            except KafkaException as raised:
                failure = raised
                if not self._recover(slice_s):
                    break
        raise self._failure("can't read the end offset of", failure)

    def ends(self, deadline: SlicedDeadline) -> Ends:
        """Ask the partition's leader for all ends: first for those of `stable_bounds`, then for the high watermark."""
        low, stable = self.stable_bounds(deadline)
        # The answer to a fetch at the last stable offset contains the high watermark.
        self._fetch(stable, stable, deadline, log_entry)
        _, high = self._consumer.get_watermark_offsets(self._position(), cached=True)
        return Ends(low, stable, max(stable, high))

    def read(self, start: int, end: int, deadline: SlicedDeadline, convert: Callable[[KafkaMessage], T]) -> list[T]:
        """Return all committed records from offset `start` to before offset `end`, converted.

        `end` must not be above the last stable offset.
        """
        return self._fetch(start, end, deadline, convert) if start < end else []

    def offset_at(self, timestamp_ms: int, deadline: SlicedDeadline) -> int | None:
        """Return the first offset with this timestamp or a later one; None if there is none.

        It can be the offset of a marker or of an aborted record.
        """
        failure: KafkaException | None = None
        for slice_s in deadline:
            try:
                (found,) = self._consumer.offsets_for_times([self._position(timestamp_ms)], timeout=slice_s / 2)
                if found.error is None:
                    return found.offset if found.offset >= 0 else None
                failure = KafkaException(found.error)
            except KafkaException as raised:
                failure = raised
            if not self._recover(slice_s):
                break
        raise self._failure("can't find an offset by time in", failure)

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`, and deliver the client's log lines."""
        self._consumer.poll(seconds)

    def close(self) -> None:
        self._consumer.close()

    def _fetch(self, start: int, end: int, deadline: SlicedDeadline, convert: Callable[[KafkaMessage], T]) -> list[T]:
        found: list[T] = []
        failure = None
        self._consumer.assign([self._position(start)])
        try:
            for slice_s in deadline:
                polled = self._consumer.poll(slice_s)
                if polled is None:
                    continue
                error, offset = polled.error(), cast(int, polled.offset())
                if error is None and offset < end:
                    found.append(convert(polled))
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    failure = KafkaException(error)
                    if error.code() in _NOT_READABLE:
                        break
                elif offset >= (end if error is not None else end - 1):
                    return found
        except KafkaException as raised:
            failure = raised
        finally:
            self._consumer.unassign()
        why = describe_error(failure, self._acls)
        raise self._topic.unavailable(f"the {self._topic} can't be read to its end: {why}") from failure

    def _position(self, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._topic.name, self._topic.partition, offset)

    def _recover(self, slice_s: float) -> bool:
        """Find the partition's leader. Without this, an idle client asks the former leader, which may never answer.

        Returns False if this user lacks permission for the topic. Then another attempt before the deadline is useless.
        """
        self.pause(min(PAUSE_S, slice_s))
        with suppress(KafkaException):
            topic = self._consumer.list_topics(self._topic.name, timeout=slice_s / 4).topics.get(self._topic.name)
            error = None if topic is None else topic.error
            return error is None or error.code() != KafkaError.TOPIC_AUTHORIZATION_FAILED
        return True

    def _failure(self, what: str, failure: KafkaException | None) -> Exception:
        """Return the error of a failed request.

        Prefers the error in the topic's metadata, because the consumer's own error does not contain the cause.
        """
        try:
            listed = self._consumer.list_topics(self._topic.name, timeout=PAUSE_S).topics[self._topic.name].error
        except KafkaException:
            listed = None
        why = describe_error(failure if listed is None else KafkaException(listed), self._acls)
        error = self._topic.unavailable(f"{what} the {self._topic}: {why}")
        error.__cause__ = failure
        return error


def log_entry(polled: KafkaMessage) -> LogEntry:
    """Return a polled record as a LogEntry."""
    return LogEntry(cast(int, polled.offset()), message_of(polled))


def message_of(polled: KafkaMessage) -> Message:
    """Return a polled record as a Message."""
    headers = cast("list[tuple[str, bytes | None]]", polled.headers() or [])
    types = [value for name, value in headers if name == TYPE_HEADER and value is not None]
    return Message(polled.key(), polled.value(), types[-1].decode(errors="replace") if types else None)
