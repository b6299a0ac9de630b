"""The tick log in Kafka, as its leader sees it. Holds one writer and one reader; knows no ticks."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from clocksvc.clock.log_record import Message, Record, decode_message, encode_message
from clocksvc.errors import Fenced, OpenTransaction, OutcomeUnknown, TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.tick_log import (
    KeepAlive,
    Tail,
)
from clocksvc.interfaces.tick_log_topic import (
    TickLogTopic,
    raise_if_unsafe,
)
from clocksvc.interfaces.time import Time
from clocksvc.kafka.admin import Admin
from clocksvc.kafka.deadline import SlicedDeadline
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.transactions import (
    MARKER_TIMEOUT_S,
    HangingTransactionResolver,
    marked,
    settle,
)
from clocksvc.kafka.writer import Writer

logger = logging.getLogger("clocksvc.ticklogs")

TIMEOUT_S = 6.0
SETTLE_S = 5.0

_TAIL_CHUNK = 16
_FIRST_CHUNK = 1_000
_LAST_CHUNK = 10_000
_LAST_WRITTEN = 10_000
"""Transactions of one writer follow each other: of two at most the end can be forgotten, and one has 500 ticks. The
rest is for attempts to commit them again that failed on the way."""


class KafkaTickLog:
    """One clock's tick log in Kafka: a TickLog.

    Args:
        topic: the tick log's topic.
        clock: whose ticks it keeps.
        settings: librdkafka's, as the user set them.
        time: for deadlines.
        timeout_s: how long a call waits for the brokers before it gives up.
        settle_s: how long somebody else's transaction may be open before `tail` says so.
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
        self._topic, self._clock, self._settings, self._time = topic, clock, settings, time
        self._timeout_s, self._settle_s = timeout_s, settle_s
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._hanging = HangingTransactionResolver(Message(clock.encode(), b"", "aborted"))
        self._unconfirmed: int | None = None

    @property
    def writable(self) -> bool:
        return self._writer is not None and self._writer.usable

    def describe(self, waiting: KeepAlive) -> TickLogTopic | None:
        """The topic as it is; None where there is none. Raises TickLogUnavailable."""
        with self._admin(waiting) as admin:
            return admin.describe()

    def ensure_topic(self, waiting: KeepAlive) -> None:
        with self._admin(waiting) as admin:
            raise_if_unsafe(admin.describe() or admin.create())

    def fence(self, waiting: KeepAlive) -> None:
        self._discard_writer()
        self._writer = Writer(self._topic, f"clocksvc.{self._topic}", self._settings, self._timeout_s)
        try:
            self._writer.fence(self._patience(waiting))
        finally:
            self._discard_unusable()

    def tail(self, waiting: KeepAlive) -> Tail:
        with self._reading() as reader:
            settles = SlicedDeadline(self._time, self._settle_s, waiting)
            self._end_hanging(reader, waiting)
            low, end = self._settled(reader, waiting, settles)
            found = next(self._newest_first(reader, low, end, _TAIL_CHUNK, waiting), None)
        return Tail(None if found is None else decode_message(self._clock, found), low)

    def backwards(self, waiting: KeepAlive) -> Iterator[Record]:
        with self._reading() as reader:
            low, end = self._settled(reader, waiting)
            for found in self._newest_first(reader, low, end, _FIRST_CHUNK, waiting):
                with suppress(UnreadableRecord):
                    yield decode_message(self._clock, found)

    def last_written(self, waiting: KeepAlive) -> list[Record]:
        with self._reading() as reader:
            low, end = self._settled(reader, waiting)
            found = reader.read_uncommitted(max(low, end - _LAST_WRITTEN), end, self._patience(waiting))
        records = []
        for one in found:
            with suppress(UnreadableRecord):
                records.append(decode_message(self._clock, one))
        return records

    def append(self, records: Sequence[Record], waiting: KeepAlive) -> None:
        if not records:
            return
        if self._writer is None:
            raise Fenced("this process does not write the tick log: fence first")
        try:
            self._unconfirmed = self._writer.append(
                [encode_message(record) for record in records], self._patience(waiting)
            )
        finally:
            self._discard_unusable()
        if any(record.tick is None for record in records):
            self.await_commit_marker(waiting)

    def await_commit_marker(self, waiting: KeepAlive) -> None:
        last, self._unconfirmed = self._unconfirmed, None
        if last is None:
            return
        try:
            self._until_marked(last, waiting)
        except BaseException:
            self._discard_writer()
            raise

    def close(self) -> None:
        self._discard_writer()
        self._close_reader()

    def _until_marked(self, last: int, waiting: KeepAlive) -> None:
        ask = partial(self._patience, waiting)
        try:
            with self._reading() as reader:
                # Whatever else stands there, a fence of `init` has aborted what had no marker, or a stranger wrote.
                if marked(reader, last, ask(), ask) and reader.end(ask()) == last + 2:
                    return
        except TickLogUnavailable as error:
            raise OutcomeUnknown(f"whether a commit is in the tick log is not known: {error}") from error
        raise OutcomeUnknown("a commit to the tick log was answered and is not in it, or not at its end")

    def _end_hanging(self, reader: Reader, waiting: KeepAlive) -> None:
        if self._writer is None or not self._writer.usable:
            return
        ask = partial(self._patience, waiting)
        try:
            offset = self._hanging.end(
                reader, self._writer, partial(SlicedDeadline, self._time, MARKER_TIMEOUT_S, waiting), ask
            )
        finally:
            self._discard_unusable()
        if offset is not None:
            logger.warning("hanging transaction ended", extra={"clock": self._clock, "offset": offset})

    def _settled(self, reader: Reader, waiting: KeepAlive, settles: SlicedDeadline | None = None) -> tuple[int, int]:
        """The log's beginning and end, once no transaction is open."""
        wait = settles or SlicedDeadline(self._time, self._settle_s, waiting)
        ends = settle(reader, wait, partial(self._patience, waiting))
        if ends is None:
            raise OpenTransaction(
                f"somebody else's transaction is open on the tick log {self._topic!r}, where nobody but clocksvc may "
                f"write: end it, or find it with kafka-transactions find-hanging and abort it"
            )
        return ends

    def _newest_first(self, reader: Reader, low: int, end: int, chunk: int, waiting: KeepAlive) -> Iterator[Message]:
        while end > low:
            start = max(low, end - chunk)
            yield from reversed(reader.read(start, end, self._patience(waiting)))
            end, chunk = start, min(2 * chunk, _LAST_CHUNK)

    @contextmanager
    def _reading(self) -> Iterator[Reader]:
        """The connections to read by, kept for the next time unless they failed."""
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

    def _admin(self, waiting: KeepAlive) -> Admin:
        return Admin(self._topic, self._settings, self._timeout_s, self._patience(waiting))

    def _patience(self, waiting: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, waiting)
