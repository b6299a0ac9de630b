"""Reads and writes one log of the tick log in Kafka."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.errors import Fenced, OffsetGap, OpenTransaction, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import SlicedDeadline, leader_transactional_id
from clocksvc.kafka.internal_topic import InternalTopic, ensure_topic
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.tick_log_topic import wanted_config, wanted_log_topic
from clocksvc.kafka.transactions import MARKER_TIMEOUT_S, HangingTransactionResolver, await_stable, settle
from clocksvc.kafka.writer import Writer

logger = logging.getLogger("clocksvc.ticklogs")

TIMEOUT_S = 6.0
SETTLE_S = 5.0

_FILLER = Message(b"_aborted", b"", "aborted")
"""The record of a transaction that is aborted to end a hanging one."""


def tick_log_topic(name: str, log: int) -> InternalTopic:
    """Describe the partition of a log, for requests and error messages."""
    return InternalTopic(name, "tick log", TickLogUnavailable, log)


class KafkaTickLog:
    """Implements TickLog: one log, in Kafka.

    Args:
        topic: the name of the tick log's topic.
        log: the number of the log, which is its partition.
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
        keep_ms: how long all ticks are kept, for a new topic.
        timeout_s: how long a call waits for brokers.
        settle_s: how long `bounds` waits for the end of another producer's transaction.
    """

    def __init__(
        self,
        topic: str,
        log: int,
        settings: Mapping[str, str],
        time: Time,
        keep_ms: int,
        timeout_s: float = TIMEOUT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._topic, self._settings, self._time = tick_log_topic(topic, log), settings, time
        self._keep_ms, self._timeout_s, self._settle_s = keep_ms, timeout_s, settle_s
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._hanging = HangingTransactionResolver(_FILLER)

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        wanted = wanted_log_topic(self._topic.kind, partial(wanted_config, keep_ms=self._keep_ms))
        ensure_topic(self._topic, wanted, self._settings, self._timeout_s, self._deadline(keep_alive))

    def fence(self, keep_alive: KeepAlive) -> None:
        self._discard_writer()
        transactional_id = leader_transactional_id(self._topic.name, self._topic.partition)
        writer = Writer(self._topic, transactional_id, self._settings, self._timeout_s)
        writer.fence(self._deadline(keep_alive))
        self._writer = writer

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        with self._reading() as reader:
            return LogBounds(*reader.stable_bounds(self._deadline(keep_alive)))

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        with self._reading() as reader:
            wait = SlicedDeadline(self._time, self._settle_s, keep_alive)
            self._end_hanging(reader, keep_alive)
            ends = settle(reader, wait, partial(self._deadline, keep_alive))
        if ends is None:
            raise OpenTransaction(
                f"another producer has an open transaction on the {self._topic}, which only clocksvc may write. Stop "
                f"that producer, or find its transaction with kafka-transactions find-hanging and abort it"
            )
        return LogBounds(ends.low, ends.stable)

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        with self._reading() as reader:
            return reader.read(start, end, self._deadline(keep_alive))

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        with self._reading() as reader:
            found = reader.offset_at(timestamp_ms, self._deadline(keep_alive))
            return reader.stable_bounds(self._deadline(keep_alive))[1] if found is None else found

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        if self._writer is None:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        if not messages:
            return end
        deadline = self._deadline(keep_alive)
        try:
            return self._confirm(self._writer.append(messages, deadline, begin=end), deadline)
        except BaseException:
            self._discard_writer()
            raise

    def close(self) -> None:
        self._discard_writer()
        self._close_reader()

    def _confirm(self, last: int, deadline: SlicedDeadline) -> int:
        """Wait until the log has the marker of a transaction whose last record has offset `last`.

        Returns the log's end, which is the offset after the marker.
        """
        end = last + 2
        try:
            with self._reading() as reader:
                stable = await_stable(reader, end, deadline, lambda: deadline)
        except TickLogUnavailable as error:
            raise OutcomeUnknown(f"unknown whether the {self._topic} contains the last commit: {error}") from error
        if stable is None:
            raise OutcomeUnknown(f"Kafka confirmed a commit, but its marker is not in the {self._topic}")
        if stable > end:
            raise OffsetGap(f"another producer has written to the {self._topic}, which only clocksvc may write")
        return end

    def _end_hanging(self, reader: Reader, keep_alive: KeepAlive) -> None:
        if self._writer is None:
            return
        new_deadline = partial(self._deadline, keep_alive)
        marker_wait = partial(SlicedDeadline, self._time, MARKER_TIMEOUT_S, keep_alive)
        try:
            offset = self._hanging.end(reader, self._writer, marker_wait, new_deadline)
        finally:
            if not self._writer.usable:
                self._discard_writer()
        if offset is not None:
            logger.warning("hanging transaction ended", extra={"log": self._topic.partition, "offset": offset})

    @contextmanager
    def _reading(self) -> Iterator[Reader]:
        """Provide the reader. It is kept for later calls, and closed after an error."""
        if self._reader is None:
            self._reader = Reader(self._topic, self._settings)
        try:
            yield self._reader
        except TickLogUnavailable:
            self._close_reader()
            raise

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()

    def _deadline(self, keep_alive: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, keep_alive)
