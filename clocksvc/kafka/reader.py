"""Reading the log by offsets, from what its leader knows now. Draws no conclusions."""

from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from clocksvc.clock.log_record import TYPE_HEADER, Message
from clocksvc.errors import TickLogUnavailable
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
)
from clocksvc.kafka.deadline import (
    REST_S,
    SlicedDeadline,
)
from clocksvc.kafka.errors import (
    describe_error,
    translated,
)

_GIVES_NO_DATA = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTO_OFFSET_RESET}


class Reader:
    """Two consumers of the log, one for each isolation level. Assigned by hand: the group is never joined."""

    def __init__(self, topic: str, settings: Mapping[str, str]) -> None:
        self._topic = topic
        self._may_read = {"Topic": f"Read on topic {topic}"}
        self._committed = self._consumer(settings, "read_committed")
        self._uncommitted = self._consumer(settings, "read_uncommitted")

    def watermarks(self, patience: SlicedDeadline) -> tuple[int, int, int]:
        """The log's beginning, its last stable offset, its high watermark, as its leader knows them now."""
        low, stable = self._ask(self._committed, patience)
        return low, stable, self.end(patience)

    def end(self, patience: SlicedDeadline) -> int:
        """The log's high watermark, as its leader knows it now."""
        return self._ask(self._uncommitted, patience)[1]

    def _ask(self, consumer: Consumer, patience: SlicedDeadline) -> tuple[int, int]:
        failure = None
        for slice_s in patience:
            try:
                low, end = consumer.get_watermark_offsets(
                    TopicPartition(self._topic, 0), timeout=slice_s / 2, cached=False
                )
                return low, end
            except KafkaException as raised:
                failure = raised
                self.rest(min(REST_S, slice_s))
                self._learn_anew(slice_s / 4)
        raise TickLogUnavailable(f"the tick log's end is not known: {self._reason(failure)}") from failure

    def read(self, start: int, end: int, patience: SlicedDeadline) -> list[Message]:
        """All committed records from `start` to before `end`, which must not be beyond the last stable offset."""
        return self._read(self._committed, start, end, patience)

    def read_uncommitted(self, start: int, end: int, patience: SlicedDeadline) -> list[Message]:
        """All records from `start` to before `end`, whatever became of their transactions."""
        return self._read(self._uncommitted, start, end, patience)

    def _read(self, consumer: Consumer, start: int, end: int, patience: SlicedDeadline) -> list[Message]:
        found: list[Message] = []
        failure = None
        consumer.assign([TopicPartition(self._topic, 0, start)])
        try:
            for slice_s in patience:
                got = consumer.poll(slice_s)
                if got is None:
                    continue
                error, offset = got.error(), cast(int, got.offset())
                if error is None and offset < end:
                    found.append(_message(got))
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    failure = KafkaException(error)
                    if error.code() in _GIVES_NO_DATA:
                        break
                elif offset >= (end if error is not None else end - 1):
                    return found
        except KafkaException as raised:
            failure = raised
        finally:
            consumer.unassign()
        why = describe_error(failure, self._may_read)
        raise TickLogUnavailable(f"the tick log can't be read to its end: {why}") from failure

    def _learn_anew(self, timeout_s: float) -> None:
        """Ask who leads the log: a client that was idle meanwhile goes on asking whoever did, and may wait for ever."""
        for consumer in (self._committed, self._uncommitted):
            with suppress(KafkaException):
                consumer.list_topics(self._topic, timeout=timeout_s)

    def _reason(self, failure: KafkaException | None) -> str:
        """What Kafka says about the topic, where it says anything: the consumer knows only that it found nothing."""
        try:
            listed = self._committed.list_topics(self._topic, timeout=REST_S).topics[self._topic].error
        except KafkaException:
            listed = None
        return describe_error(failure if listed is None else KafkaException(listed), self._may_read)

    def rest(self, seconds: float) -> None:
        """Wait a little, serving what the clients want to log."""
        self._uncommitted.poll(0)
        self._committed.poll(seconds)

    def close(self) -> None:
        self._committed.close()
        self._uncommitted.close()

    def _consumer(self, settings: Mapping[str, str], isolation_level: str) -> Consumer:
        ours = client_settings(
            settings,
            group_id="clocksvc",
            isolation_level=isolation_level,
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            # The log's end is behind its last marker: with a wait there, each reading would take as long.
            fetch_wait_max_ms=0,
            check_crcs=True,
        )
        with translated("the tick log's reader can't be made"):
            return Consumer(ours, logger=ClientLog())


def _message(got: KafkaMessage) -> Message:
    headers = cast("list[tuple[str, bytes | None]]", got.headers() or [])
    types = [value for name, value in headers if name == TYPE_HEADER and value is not None]
    return Message(got.key(), got.value(), types[-1].decode(errors="replace") if types else None)
