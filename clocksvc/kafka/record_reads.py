"""Reads a few visible records of many partitions at a time, with one consumer that joins no group."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.committed_offsets import FoundRecord, ReadRequest, ReadResult
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import ClientLog, SlicedDeadline, client_settings, describe_error, translate_errors

FETCH_BYTES = 64 * 1024
"""How much a broker sends of each partition at a time. It sends a larger batch of records in whole."""
_POLLED = 500


class Bounds(NamedTuple):
    """Where to read for a request: from `begin`, at or above the low watermark, to before `end`.

    `end` is above `begin`, and at most the last stable offset.
    """

    request: ReadRequest
    begin: int
    end: int


class _Read:
    """One read in progress."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._first: FoundRecord | None = None
        self._last: FoundRecord | None = None

    def result_after(self, record: FoundRecord) -> ReadResult | None:
        """Add a record, and return the result; None if the read continues."""
        (request, begin, end) = self._bounds
        if record.offset < begin:
            return None
        if record.offset >= end:
            return self.result_at(end)
        self._first = self._first or record
        self._last = record
        if request.first_only:
            return self.result_at(record.offset)
        return self.result_at(end) if record.offset == end - 1 else None

    def result_at(self, reached: int) -> ReadResult:
        """Return the result of a read that ended at an offset."""
        return ReadResult(self._first, self._last, max(self._bounds.begin, min(reached, self._bounds.end)))


class RecordReads:
    """A consumer for reads. It is created at the first read, and again after a read without an answer.

    One thread uses it.

    Args:
        settings: librdkafka settings from the configuration.
    """

    def __init__(self, settings: Mapping[str, str], time: Time) -> None:
        self._settings = settings
        self._time = time
        self._consumer: Consumer | None = None

    def read(
        self, wanted: Sequence[Bounds], deadline: SlicedDeadline
    ) -> tuple[dict[ReadRequest, ReadResult], dict[str, str]]:
        """Read until all requests have a result, or until the deadline.

        Returns:
            The results, and by topic the reason why partitions could not be read.
        """
        results: dict[ReadRequest, ReadResult] = {}
        failures: dict[str, str] = {}
        left = list(wanted)
        try:
            while left:
                # A consumer reads one partition at one place.
                now: dict[Partition, Bounds] = {}
                later = [bounds for bounds in left if now.setdefault(bounds.request.partition, bounds) is not bounds]
                if not self._read(now, deadline, results, failures):
                    break
                left = later
        except MetadataUnavailable as error:
            failures |= {bounds.request.partition.topic: str(error) for bounds in left}
        return results, failures

    def close(self) -> None:
        """Close the consumer. The next read creates a new one."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _read(
        self,
        wanted: Mapping[Partition, Bounds],
        deadline: SlicedDeadline,
        results: dict[ReadRequest, ReadResult],
        failures: dict[str, str],
    ) -> bool:
        """Read one place of each partition. Returns False if brokers did not answer before the deadline."""
        with translate_errors(MetadataUnavailable, "records can't be read"):
            consumer = self._open()
            consumer.assign([TopicPartition(*partition, bounds.begin) for partition, bounds in wanted.items()])
        reads = {partition: _Read(bounds) for partition, bounds in wanted.items()}
        try:
            for slice_s in deadline:
                ended = []
                for polled in _poll(consumer, slice_s):
                    partition = Partition(cast(str, polled.topic()), cast(int, polled.partition()))
                    if partition not in reads:
                        continue
                    error = polled.error()
                    if error is None:
                        result = reads[partition].result_after(_found(polled))
                    elif error.code() == KafkaError._PARTITION_EOF:
                        result = reads[partition].result_at(cast(int, polled.offset()))
                    else:
                        failures[partition.topic] = _why(partition, error)
                        del reads[partition]
                        ended.append(partition)
                        continue
                    if result is not None:
                        results[wanted[partition].request] = result
                        del reads[partition]
                        ended.append(partition)
                if not reads:
                    return True
                if ended:
                    consumer.incremental_unassign([TopicPartition(*partition) for partition in ended])
        except KafkaException as raised:
            failures |= {partition.topic: describe_error(raised) for partition in reads}
        finally:
            consumer.unassign()
        # librdkafka can wait for a broker that has failed for longer than a deadline.
        self.close()
        failures |= {partition.topic: f"no record of partition {partition.number} in time" for partition in reads}
        return False

    def _open(self) -> Consumer:
        if self._consumer is None:
            fixed = client_settings(
                self._settings,
                group_id="clocksvc",
                isolation_level="read_committed",
                enable_auto_commit=False,
                enable_partition_eof=True,
                auto_offset_reset="error",
                fetch_message_max_bytes=FETCH_BYTES,
                fetch_min_bytes=1,
                fetch_wait_max_ms=5,
                # Do not fetch in advance: a read ends after a few records.
                queued_min_messages=1,
                fetch_queue_backoff_ms=5,
                check_crcs=True,
            )
            self._consumer = Consumer(fixed, logger=ClientLog())
        return self._consumer


def _poll(consumer: Consumer, timeout_s: float) -> Iterable[KafkaMessage]:
    """Wait for the first message, and return it with all others that have arrived."""
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(_POLLED, timeout=0)]


def _found(polled: KafkaMessage) -> FoundRecord:
    kind, timestamp_ms = polled.timestamp()
    return FoundRecord(cast(int, polled.offset()), timestamp_ms, create_time=kind != TIMESTAMP_LOG_APPEND_TIME)


def _why(partition: Partition, error: Any) -> str:
    acls = {"Topic": f"Read on topic {partition.topic}"}
    return f"partition {partition.number} can't be read: {describe_error(KafkaException(error), acls)}"
