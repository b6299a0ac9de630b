"""Stores checkpoints in Kafka.

Each tick log has one checkpoint topic, with one partition and compaction. All dispatchers of the clock use this topic.
"""

import json
from collections.abc import Mapping
from functools import partial

from clocksvc.clock.log_record import Message
from clocksvc.errors import CheckpointsUnavailable, OutcomeUnknown, TickLogMisconfigured, UnreadableRecord
from clocksvc.interfaces.checkpoints import Checkpoint, checkpoint_topic
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import SlicedDeadline, dispatcher_id
from clocksvc.kafka.internal_topic import InternalTopic, ensure_topic
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.tick_log_topic import wanted_config
from clocksvc.kafka.transactions import MARKER_TIMEOUT_S, HangingTransactionResolver, ended, settle
from clocksvc.kafka.writer import Writer

FORMAT = 1
TIMEOUT_S = 6.0
SETTLE_S = 15.0
"""Brokers end a dead dispatcher's transaction before this time is over. Until then, newer checkpoints can't be read."""

CHUNK = 50_000
"""How many offsets are read with one deadline. With one deadline for the whole topic, reading a long one could fail."""


class KafkaCheckpoints:
    """Implements Checkpoints: the checkpoints of one dispatcher, in Kafka.

    Args:
        tick_log: the topic of the clock's tick log.
        dispatcher: the dispatcher's name.
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
        timeout_s: how long one request waits for brokers.
        settle_s: how long a call waits for the end of another dispatcher's transaction.
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
        self._topic = InternalTopic(checkpoint_topic(tick_log), "checkpoint topic", CheckpointsUnavailable)
        self._dispatcher = dispatcher
        self._transactional_id = dispatcher_id(tick_log, dispatcher)
        self._settings, self._time = settings, time
        self._timeout_s, self._settle_s = timeout_s, settle_s
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._hanging = HangingTransactionResolver(Message(key(dispatcher, ""), b"", None))

    def acquire(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        self.close()
        try:
            ensure_topic(self._topic, self._settings, self._timeout_s, self._deadline(keep_alive), _wanted_config)
        except TickLogMisconfigured as error:
            raise CheckpointsUnavailable(str(error)) from error
        self._writer = Writer(self._topic, self._transactional_id, self._settings, self._timeout_s)
        self._writer.fence(self._deadline(keep_alive))
        return self._read_newest(self._writer, keep_alive)

    def commit(self, checkpoints: Mapping[str, Checkpoint | None], keep_alive: KeepAlive) -> None:
        if self._writer is None or not self._writer.usable:
            raise CheckpointsUnavailable(f"this process is not the writer of the {self._topic}: call acquire first")
        messages = [
            Message(key(self._dispatcher, name), encode(checkpoint), None) for name, checkpoint in checkpoints.items()
        ]
        last = self._writer.append(messages, self._deadline(keep_alive))
        try:
            self._await_end(last, keep_alive)
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

    def _await_end(self, last: int, keep_alive: KeepAlive) -> None:
        """Wait until the transaction of a commit has ended.

        A broker can forget the end of a transaction (see `HangingTransactionResolver`). The checkpoints in this
        transaction are then lost after a restart, and tasks would not be sent. Open transactions of other dispatchers
        delay the wait until their coordinator ends them.

        Args:
            last: the offset of the transaction's last record.

        Raises:
            OutcomeUnknown: the transaction is still open after `settle_s`, or Kafka does not answer.
        """
        settle_deadline = SlicedDeadline(self._time, self._settle_s, keep_alive)
        try:
            if ended(self._open_reader(), last, settle_deadline, partial(self._deadline, keep_alive)):
                return
        except CheckpointsUnavailable as error:
            raise OutcomeUnknown(f"unknown whether Kafka has committed the checkpoints: {error}") from error
        raise OutcomeUnknown(
            f"Kafka confirmed a commit, but its transaction on the {self._topic} is still open after {self._settle_s} s"
        )

    def _read_newest(self, writer: Writer, keep_alive: KeepAlive) -> dict[str, Checkpoint]:
        reader = self._open_reader()
        low, end = self._settle(reader, writer, keep_alive)
        values: dict[str, bytes | None] = {}
        for start in range(low, end, CHUNK):
            for found in reader.read(start, min(start + CHUNK, end), self._deadline(keep_alive)):
                name = name_of(self._dispatcher, found.key)
                if name is not None:
                    values[name] = found.value
        return {name: decode(value) for name, value in values.items() if value is not None}

    def _settle(self, reader: Reader, writer: Writer, keep_alive: KeepAlive) -> tuple[int, int]:
        """Wait until no transaction is open, and return the topic's first offset and end offset.

        This process's own hanging transaction is ended first. Its records are then not committed. This is correct,
        because no caller got a confirmation of the commit.
        """
        settle_deadline = SlicedDeadline(self._time, self._settle_s, keep_alive)
        new_deadline = partial(self._deadline, keep_alive)
        marker_wait = partial(SlicedDeadline, self._time, MARKER_TIMEOUT_S, keep_alive)
        self._hanging.end(reader, writer, marker_wait, new_deadline)
        ends = settle(reader, settle_deadline, new_deadline)
        if ends is None:
            raise CheckpointsUnavailable(
                f"a transaction of another dispatcher stays open on the {self._topic}: restart that dispatcher, which "
                f"ends the transaction; or find the transaction with kafka-transactions find-hanging and abort it"
            )
        return ends

    def _open_reader(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self._topic, self._settings)
        return self._reader

    def _deadline(self, keep_alive: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, keep_alive)


def _wanted_config(brokers: int) -> dict[str, str]:
    """Return the settings of a new checkpoint topic.

    They are a tick log's settings, except that old checkpoints are compacted within hours. This limits the size of the
    topic, which `acquire` reads completely.
    """
    return {**wanted_config(brokers), "min.compaction.lag.ms": "0", "segment.ms": "3600000"}


def key(dispatcher: str, name: str) -> bytes:
    """Return the record key `DISPATCHER/NAME`.

    Args:
        name: the name of a schedule, or `OWN_KEY` for the checkpoint of the dispatcher itself.
    """
    return f"{dispatcher}/{name}".encode()


def name_of(dispatcher: str, found: bytes | None) -> str | None:
    """Return the name in a record key; None if the key belongs to another dispatcher."""
    prefix = f"{dispatcher}/".encode()
    return found.removeprefix(prefix).decode() if found is not None and found.startswith(prefix) else None


def encode(checkpoint: Checkpoint | None) -> bytes | None:
    """Return the record value of a checkpoint. For a deleted checkpoint, return None, which is a tombstone in Kafka."""
    if checkpoint is None:
        return None
    body = {
        "format": FORMAT,
        "at_ms": checkpoint.at_ms,
        "offset": checkpoint.offset,
        "fingerprint": checkpoint.fingerprint,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def decode(value: bytes) -> Checkpoint:
    """Return the checkpoint in a record value.

    Raises:
        UnreadableRecord: the value is not a checkpoint in a format that this version reads.
    """
    try:
        body = json.loads(value)
        if body["format"] > FORMAT:
            raise UnreadableRecord(
                f"a checkpoint has format {body['format']}, but this version reads only formats up to {FORMAT}"
            )
        offset = body["offset"]
        return Checkpoint(int(body["at_ms"]), None if offset is None else int(offset), str(body["fingerprint"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableRecord(f"a checkpoint can't be read: {error!r}") from error
