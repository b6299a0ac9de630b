"""One partition of an internal topic with a single writer, which knows at which offset its next transaction begins."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from confluent_kafka import Message as KafkaMessage

from clocksvc.errors import Fenced, OffsetGap, OpenTransaction, OutcomeUnknown
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import SlicedDeadline, writer_id
from clocksvc.kafka.internal_topic import InternalTopic
from clocksvc.kafka.log_consumers import LogConsumers
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.transactions import MARKER_TIMEOUT_S, HangingTransactionResolver, await_stable, settle
from clocksvc.kafka.writer import Record, Writer

T = TypeVar("T")

TIMEOUT_S = 6.0
SETTLE_S = 5.0

logger = logging.getLogger("clocksvc.ticklogs")


class FencedLog:
    """The part that the tick log and the due log have in common. See their interfaces for each method.

    Args:
        topic: the partition.
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
        timeout_s: how long a call waits for brokers.
        settle_s: how long `bounds` waits for the end of another producer's transaction.
        consumers: the consumers of all logs of the process. The caller closes them. None: it has its own consumer.
    """

    def __init__(
        self,
        topic: InternalTopic,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float,
        settle_s: float,
        consumers: LogConsumers | None = None,
    ) -> None:
        self._topic, self._settings, self._time = topic, settings, time
        self._timeout_s, self._settle_s = timeout_s, settle_s
        self._writer: Writer | None = None
        self._own_consumers = consumers is None
        self._consumers = consumers or LogConsumers.of_one_log(settings)
        self._reader = Reader(topic, self._consumers)
        self._hanging = HangingTransactionResolver()

    def fence(self, keep_alive: KeepAlive) -> None:
        """Become the only writer, with a new producer."""
        self._discard_writer()
        transactional_id = writer_id(self._topic.name, self._topic.partition)
        writer = Writer(self._topic, transactional_id, self._settings, self._timeout_s)
        writer.fence(self._deadline(keep_alive))
        self._writer = writer

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the bounds up to the first open transaction."""
        return LogBounds(*self._reader.stable_bounds(self._deadline(keep_alive)))

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the present bounds, in which no transaction is open."""
        wait = SlicedDeadline(self._time, self._settle_s, keep_alive)
        self._end_hanging(keep_alive)
        ends = settle(self._reader, wait, partial(self._deadline, keep_alive))
        if ends is None:
            raise OpenTransaction(
                f"another producer has an open transaction on the {self._topic}, which only clocksvc may write. Stop "
                f"that producer, or find its transaction with kafka-transactions find-hanging and abort it"
            )
        return LogBounds(ends.low, ends.stable)

    def close(self) -> None:
        """Close connections."""
        self._discard_writer()
        if self._own_consumers:
            self._consumers.close()

    def _read(self, start: int, end: int, keep_alive: KeepAlive, convert: Callable[[KafkaMessage], T]) -> list[T]:
        return self._reader.read(start, end, self._deadline(keep_alive), convert)

    def _append(
        self,
        records: Sequence[Record],
        end: int,
        keep_alive: KeepAlive,
        *,
        last: Record | None = None,
        acknowledged: Callable[[], None] = lambda: None,
    ) -> int:
        """Commit records in one transaction that begins at `end`, and return the new end. See `Writer.append`."""
        if self._writer is None:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        deadline = self._deadline(keep_alive)
        try:
            offsets = self._writer.append(records, deadline, begin=end, last=last, acknowledged=acknowledged)
            return self._confirm(offsets[-1], deadline)
        except BaseException:
            self._discard_writer()
            raise

    def _confirm(self, last: int, deadline: SlicedDeadline) -> int:
        """Wait until the log has the marker of a transaction whose last record has offset `last`.

        Returns the log's end, which is the offset after the marker.
        """
        end = last + 2
        try:
            stable = await_stable(self._reader, end, deadline, lambda: deadline)
        except self._topic.unavailable as error:
            raise OutcomeUnknown(f"unknown whether the {self._topic} contains the last commit: {error}") from error
        if stable is None:
            raise OutcomeUnknown(f"Kafka confirmed a commit, but its marker is not in the {self._topic}")
        if stable > end:
            raise OffsetGap(f"another producer has written to the {self._topic}, which only clocksvc may write")
        return end

    def _end_hanging(self, keep_alive: KeepAlive) -> None:
        if self._writer is None:
            return
        new_deadline = partial(self._deadline, keep_alive)
        marker_wait = partial(SlicedDeadline, self._time, MARKER_TIMEOUT_S, keep_alive)
        try:
            offset = self._hanging.end(self._reader, self._writer, marker_wait, new_deadline)
        finally:
            if not self._writer.usable:
                self._discard_writer()
        if offset is not None:
            logger.warning(
                "hanging transaction ended",
                extra={"topic": self._topic.name, "log": self._topic.partition, "offset": offset},
            )

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()

    def _deadline(self, keep_alive: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, keep_alive)
