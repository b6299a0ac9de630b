"""Reads records of an internal topic by offset. Does not decode them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from clocksvc.clock.log_record import TYPE_HEADER, Message
from clocksvc.kafka.client import PAUSE_S, ClientLog, SlicedDeadline, client_settings, describe_error, translate_errors
from clocksvc.kafka.internal_topic import InternalTopic

_NOT_READABLE = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTO_OFFSET_RESET}


class Reader:
    """Reads one topic with two consumers, one for each isolation level. The consumers do not join a group.

    Every method with a deadline blocks until the deadline at most. It raises `topic.unavailable` if brokers do not
    answer or the topic can't be read.
    """

    def __init__(self, topic: InternalTopic, settings: Mapping[str, str]) -> None:
        self._topic = topic
        self._acls = topic.acls("Read")
        self._committed = self._consumer(settings, "read_committed")
        self._uncommitted = self._consumer(settings, "read_uncommitted")

    def watermarks(self, deadline: SlicedDeadline) -> tuple[int, int, int]:
        """Ask the partition leader for the low watermark, the last stable offset and the high watermark."""
        low, stable = self._watermarks(self._committed, deadline)
        return low, stable, self.end(deadline)

    def end(self, deadline: SlicedDeadline) -> int:
        """Ask the partition leader for the high watermark."""
        return self._watermarks(self._uncommitted, deadline)[1]

    def read(self, start: int, end: int, deadline: SlicedDeadline) -> list[Message]:
        """Return all committed records from offset `start` to before offset `end`.

        `end` must not be above the last stable offset.
        """
        return self._read(self._committed, start, end, deadline)

    def read_uncommitted(self, start: int, end: int, deadline: SlicedDeadline) -> list[Message]:
        """Return all records from offset `start` to before offset `end`, also those of aborted or open transactions."""
        return self._read(self._uncommitted, start, end, deadline)

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`, and deliver the log lines of both clients."""
        self._uncommitted.poll(0)
        self._committed.poll(seconds)

    def close(self) -> None:
        self._committed.close()
        self._uncommitted.close()

    def _watermarks(self, consumer: Consumer, deadline: SlicedDeadline) -> tuple[int, int]:
        failure = None
        for slice_s in deadline:
            try:
                low, end = consumer.get_watermark_offsets(
                    TopicPartition(self._topic.name, 0), timeout=slice_s / 2, cached=False
                )
                return low, end
            except KafkaException as raised:
                failure = raised
                self.pause(min(PAUSE_S, slice_s))
                self._refresh_metadata(slice_s / 4)
        raise self._topic.unavailable(
            f"can't read the end offset of the {self._topic}: {self._reason(failure)}"
        ) from failure

    def _read(self, consumer: Consumer, start: int, end: int, deadline: SlicedDeadline) -> list[Message]:
        found: list[Message] = []
        failure = None
        consumer.assign([TopicPartition(self._topic.name, 0, start)])
        try:
            for slice_s in deadline:
                polled = consumer.poll(slice_s)
                if polled is None:
                    continue
                error, offset = polled.error(), cast(int, polled.offset())
                if error is None and offset < end:
                    found.append(_message(polled))
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    failure = KafkaException(error)
                    if error.code() in _NOT_READABLE:
                        break
                elif offset >= (end if error is not None else end - 1):
                    return found
        except KafkaException as raised:
            failure = raised
        finally:
            consumer.unassign()
        why = describe_error(failure, self._acls)
        raise self._topic.unavailable(f"the {self._topic} can't be read to its end: {why}") from failure

    def _refresh_metadata(self, timeout_s: float) -> None:
        """Find the partition's leader. Without this, an idle client asks the former leader, which may never answer."""
        for consumer in (self._committed, self._uncommitted):
            with suppress(KafkaException):
                consumer.list_topics(self._topic.name, timeout=timeout_s)

    def _reason(self, failure: KafkaException | None) -> str:
        """Return the reason of a failure, for an error message.

        Prefers the error in the topic's metadata, because the consumer's own error does not contain the cause.
        """
        try:
            listed = self._committed.list_topics(self._topic.name, timeout=PAUSE_S).topics[self._topic.name].error
        except KafkaException:
            listed = None
        return describe_error(failure if listed is None else KafkaException(listed), self._acls)

    def _consumer(self, settings: Mapping[str, str], isolation_level: str) -> Consumer:
        fixed = client_settings(
            settings,
            group_id="clocksvc",
            isolation_level=isolation_level,
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            # Each read ends at the end of the topic. There a broker would wait for more records, for this time.
            fetch_wait_max_ms=0,
            check_crcs=True,
        )
        with translate_errors(self._topic.unavailable, f"a consumer of the {self._topic} can't be created"):
            return Consumer(fixed, logger=ClientLog())


def _message(polled: KafkaMessage) -> Message:
    headers = cast("list[tuple[str, bytes | None]]", polled.headers() or [])
    types = [value for name, value in headers if name == TYPE_HEADER and value is not None]
    return Message(polled.key(), polled.value(), types[-1].decode(errors="replace") if types else None)
