"""Reads and writes the tick log in Kafka."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from clocksvc.clock.log_record import Message, Record, decode_message, encode_message
from clocksvc.errors import Fenced, OpenTransaction, OutcomeUnknown, TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.tick_log import KeepAlive, Tail
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import SlicedDeadline, leader_transactional_id
from clocksvc.kafka.internal_topic import InternalTopic, ensure_topic
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.transactions import MARKER_TIMEOUT_S, HangingTransactionResolver, marked, settle
from clocksvc.kafka.writer import Writer

logger = logging.getLogger("clocksvc.ticklogs")

TIMEOUT_S = 6.0
SETTLE_S = 5.0

_TAIL_CHUNK = 16
_FIRST_CHUNK = 1_000
_LAST_CHUNK = 10_000
_LAST_WRITTEN = 10_000
"""How many of the last offsets `last_written` reads. At most two transactions of a writer can lose their ends, each of
at most 500 ticks. The other offsets are for failed attempts to commit these ticks again."""


def tick_log_topic(name: str) -> InternalTopic:
    """Describe the topic of a tick log, for requests and error messages."""
    return InternalTopic(name, "tick log", TickLogUnavailable)


class KafkaTickLog:
    """Implements TickLog: the tick log of one clock, in Kafka.

    Args:
        topic: the name of the tick log's topic.
        clock: the clock's name.
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
        timeout_s: how long a call waits for brokers.
        settle_s: how long reads wait for the end of another writer's transaction.
    """

    def __init__(
        self,
        topic: str,
        clock: str,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._topic, self._clock, self._settings, self._time = tick_log_topic(topic), clock, settings, time
        self._timeout_s, self._settle_s = timeout_s, settle_s
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._hanging = HangingTransactionResolver(Message(clock.encode(), b"", "aborted"))
        self._unconfirmed: int | None = None

    @property
    def writable(self) -> bool:
        return self._writer is not None and self._writer.usable

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        ensure_topic(self._topic, self._settings, self._timeout_s, self._deadline(keep_alive))

    def fence(self, keep_alive: KeepAlive) -> None:
        self._discard_writer()
        self._writer = Writer(self._topic, leader_transactional_id(self._topic.name), self._settings, self._timeout_s)
        try:
            self._writer.fence(self._deadline(keep_alive))
        finally:
            self._discard_unusable()

    def tail(self, keep_alive: KeepAlive) -> Tail:
        with self._reading() as reader:
            settle_deadline = SlicedDeadline(self._time, self._settle_s, keep_alive)
            self._end_hanging(reader, keep_alive)
            low, end = self._settle(reader, keep_alive, settle_deadline)
            found = next(self._newest_first(reader, low, end, _TAIL_CHUNK, keep_alive), None)
        return Tail(None if found is None else decode_message(self._clock, found), low)

    def backwards(self, keep_alive: KeepAlive) -> Iterator[Record]:
        with self._reading() as reader:
            low, end = self._settle(reader, keep_alive)
            for found in self._newest_first(reader, low, end, _FIRST_CHUNK, keep_alive):
                with suppress(UnreadableRecord):
                    yield decode_message(self._clock, found)

    def last_written(self, keep_alive: KeepAlive) -> list[Record]:
        with self._reading() as reader:
            low, end = self._settle(reader, keep_alive)
            found = reader.read_uncommitted(max(low, end - _LAST_WRITTEN), end, self._deadline(keep_alive))
        records = []
        for one in found:
            with suppress(UnreadableRecord):
                records.append(decode_message(self._clock, one))
        return records

    def append(self, records: Sequence[Record], keep_alive: KeepAlive) -> None:
        if not records:
            return
        if self._writer is None:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        try:
            self._unconfirmed = self._writer.append(
                [encode_message(record) for record in records], self._deadline(keep_alive)
            )
        finally:
            self._discard_unusable()
        if any(record.tick is None for record in records):
            self.await_commit_marker(keep_alive)

    def await_commit_marker(self, keep_alive: KeepAlive) -> None:
        last, self._unconfirmed = self._unconfirmed, None
        if last is None:
            return
        try:
            self._await_marker(last, keep_alive)
        except BaseException:
            self._discard_writer()
            raise

    def close(self) -> None:
        self._discard_writer()
        self._close_reader()

    def _await_marker(self, last: int, keep_alive: KeepAlive) -> None:
        new_deadline = partial(self._deadline, keep_alive)
        try:
            with self._reading() as reader:
                # The marker is the only offset after the record. Otherwise `init` has fenced this writer and aborted
                # the transaction, or a producer that is not clocksvc has written to the topic.
                if marked(reader, last, new_deadline(), new_deadline) and reader.end(new_deadline()) == last + 2:
                    return
        except TickLogUnavailable as error:
            raise OutcomeUnknown(f"unknown whether the {self._topic} contains the last commit: {error}") from error
        raise OutcomeUnknown(
            f"Kafka confirmed a commit, but its records are not in the {self._topic}, or not at its end"
        )

    def _end_hanging(self, reader: Reader, keep_alive: KeepAlive) -> None:
        if self._writer is None or not self._writer.usable:
            return
        new_deadline = partial(self._deadline, keep_alive)
        try:
            offset = self._hanging.end(
                reader, self._writer, partial(SlicedDeadline, self._time, MARKER_TIMEOUT_S, keep_alive), new_deadline
            )
        finally:
            self._discard_unusable()
        if offset is not None:
            logger.warning("hanging transaction ended", extra={"clock": self._clock, "offset": offset})

    def _settle(
        self, reader: Reader, keep_alive: KeepAlive, settle_deadline: SlicedDeadline | None = None
    ) -> tuple[int, int]:
        """Wait until no transaction is open, and return the log's first offset and end offset."""
        wait = settle_deadline or SlicedDeadline(self._time, self._settle_s, keep_alive)
        ends = settle(reader, wait, partial(self._deadline, keep_alive))
        if ends is None:
            raise OpenTransaction(
                f"another producer has an open transaction on the {self._topic}, which only clocksvc may write. Stop "
                f"that producer, or find its transaction with kafka-transactions find-hanging and abort it"
            )
        return ends

    def _newest_first(self, reader: Reader, low: int, end: int, chunk: int, keep_alive: KeepAlive) -> Iterator[Message]:
        while end > low:
            start = max(low, end - chunk)
            yield from reversed(reader.read(start, end, self._deadline(keep_alive)))
            end, chunk = start, min(2 * chunk, _LAST_CHUNK)

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

    def _discard_unusable(self) -> None:
        if self._writer is not None and not self._writer.usable:
            self._discard_writer()

    def _discard_writer(self) -> None:
        writer, self._writer, self._unconfirmed = self._writer, None, None
        if writer is not None:
            writer.discard()

    def _deadline(self, keep_alive: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, keep_alive)
