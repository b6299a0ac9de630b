"""Positions in Kafka: the compacted topic `<tick log>-checkpoints`, one partition, shared by a clock's dispatchers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from clocksvc.clock.log_record import Message
from clocksvc.errors import CheckpointsUnavailable, OutcomeUnknown, TickLogRefused, TickLogUnavailable
from clocksvc.interfaces.checkpoint_encoding import (
    decode,
    encode,
    entry_of,
    key,
)
from clocksvc.interfaces.checkpoints import (
    Checkpoint,
    checkpoint_topic,
)
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.tick_log_topic import (
    raise_if_unsafe,
    wanted_config,
)
from clocksvc.interfaces.time import Time
from clocksvc.kafka.admin import Admin
from clocksvc.kafka.deadline import SlicedDeadline
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.transactions import (
    MARKER_TIMEOUT_S,
    HangingTransactionResolver,
    ended,
    settle,
)
from clocksvc.kafka.writer import Writer

TIMEOUT_S = 6.0
SETTLE_S = 15.0
"""Longer than a dead dispatcher's transaction can stay open: behind it our own newest positions would be hidden."""

CHUNK = 50_000
"""So many offsets are read with one patience: however long the topic has become, it is read while it is being read."""


class KafkaCheckpoints:
    """One dispatcher's positions: a Positions.

    Args:
        tick_log: of the clock; the topic of positions has its name with `-checkpoints`.
        settings: librdkafka's, as the user set them.
    """

    def __init__(
        self,
        tick_log: str,
        dispatcher: str,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._topic, self._dispatcher = checkpoint_topic(tick_log), dispatcher
        self._transactional_id = f"clocksvc.{tick_log}.{dispatcher}"
        self._settings, self._time = settings, time
        self._timeout_s, self._settle_s = timeout_s, settle_s
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._hanging = HangingTransactionResolver(Message(key(dispatcher, ""), b"", None))

    def acquire(self, waiting: KeepAlive) -> Mapping[str, Checkpoint]:
        self.close()
        with self._translated():
            patience = self._patience(waiting)
            with Admin(self._topic, self._settings, self._timeout_s, patience, _wanted_config) as admin:
                raise_if_unsafe(admin.describe() or admin.create())
            self._writer = Writer(self._topic, self._transactional_id, self._settings, self._timeout_s)
            self._writer.fence(self._patience(waiting))
            return self._newest(self._writer, waiting)

    def commit(self, positions: Mapping[str, Checkpoint | None], waiting: KeepAlive) -> None:
        if self._writer is None or not self._writer.usable:
            raise CheckpointsUnavailable("this process does not hold the positions")
        messages = [
            Message(key(self._dispatcher, entry), encode(position), None) for entry, position in positions.items()
        ]
        with self._translated():
            last = self._writer.append(messages, self._patience(waiting))
        try:
            self._until_ended(last, waiting)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _until_ended(self, last: int, waiting: KeepAlive) -> None:
        """Wait until a commit's transaction has ended.

        A transaction whose end a broker forgets (see `HangingTransactionResolver`) would otherwise be taken for done,
        and what its checkpoint starts with would not be sent. Another dispatcher's open transaction is waited for too,
        until its broker ends it.
        """
        settles, ask = SlicedDeadline(self._time, self._settle_s, waiting), partial(self._patience, waiting)
        try:
            if ended(self._reading(), last, settles, ask):
                return
        except TickLogUnavailable as error:
            raise OutcomeUnknown(f"whether positions were moved is not known: {error}") from error
        raise OutcomeUnknown(f"a move was answered and is not in {self._topic!r}")

    def _newest(self, writer: Writer, waiting: KeepAlive) -> dict[str, Checkpoint]:
        reader = self._reading()
        low, end = self._settled(reader, writer, waiting)
        values: dict[str, bytes | None] = {}
        for start in range(low, end, CHUNK):
            for found in reader.read(start, min(start + CHUNK, end), self._patience(waiting)):
                entry = entry_of(self._dispatcher, found.key)
                if entry is not None:
                    values[entry] = found.value
        return {entry: decode(value) for entry, value in values.items() if value is not None}

    def _settled(self, reader: Reader, writer: Writer, waiting: KeepAlive) -> tuple[int, int]:
        """The topic's beginning and end. Where a transaction of ours hangs, its move was not answered: it is as if it
        had not been."""
        settles, ask = SlicedDeadline(self._time, self._settle_s, waiting), partial(self._patience, waiting)
        self._hanging.end(reader, writer, partial(SlicedDeadline, self._time, MARKER_TIMEOUT_S, waiting), ask)
        ends = settle(reader, settles, ask)
        if ends is None:
            raise CheckpointsUnavailable(
                f"a transaction of another dispatcher stays open on {self._topic!r}: start that dispatcher again, so "
                f"that it ends its transaction; or find it with kafka-transactions find-hanging and abort it"
            )
        return ends

    def _reading(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self._topic, self._settings)
        return self._reader

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (TickLogUnavailable, TickLogRefused) as error:
            raise CheckpointsUnavailable(f"positions {self._topic!r}: {error}") from error

    def _patience(self, waiting: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, waiting)


def _wanted_config(brokers: int) -> dict[str, str]:
    """As the tick log's, but only the newest positions count: what is older goes within hours, so that all of the topic
    can be read whenever a turn begins."""
    return {**wanted_config(brokers), "min.compaction.lag.ms": "0", "segment.ms": "3600000"}
