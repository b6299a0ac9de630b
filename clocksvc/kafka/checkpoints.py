"""Stores checkpoints in Kafka.

One topic with compaction contains the checkpoints of all dispatchers. A clock's checkpoints are in the partition with
the number of the clock's log. Dispatchers of several clocks can share a partition, so a writer does not know at which
offset its next transaction begins.
"""

import json
from collections.abc import Mapping
from functools import partial

from clocksvc.clock.log_record import Message
from clocksvc.clock.logs import log_of
from clocksvc.errors import (
    CheckpointsUnavailable,
    OffsetGap,
    OutcomeUnknown,
    RecordRejected,
    TickLogMisconfigured,
    UnreadableRecord,
)
from clocksvc.interfaces.checkpoints import Checkpoint, checkpoint_topic
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import SlicedDeadline, dispatcher_id
from clocksvc.kafka.internal_topic import InternalTopic, ensure_topic
from clocksvc.kafka.log_consumers import LogConsumers
from clocksvc.kafka.reader import Reader, log_entry
from clocksvc.kafka.tick_log_topic import wanted_config, wanted_log_topic
from clocksvc.kafka.transactions import await_stable
from clocksvc.kafka.writer import Writer

FORMAT = 1
TIMEOUT_S = 6.0
SETTLE_S = 15.0
"""Brokers end a dead dispatcher's transaction before this time is over. Until then, newer checkpoints can't be read."""

CHUNK = 50_000
"""How many offsets are read with one deadline. With one deadline for the whole partition, reading could fail."""

_BARRIER = Message(b"_barrier", b"", None)


class KafkaCheckpoints:
    """Implements Checkpoints: the checkpoints of one dispatcher of a clock, in Kafka.

    Args:
        tick_log: the topic of the tick log.
        clock: the clock's name.
        dispatcher: the dispatcher's name.
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
        timeout_s: how long one request waits for brokers.
        settle_s: how long a call waits for the end of another dispatcher's transaction.
    """

    def __init__(
        self,
        tick_log: str,
        clock: str,
        dispatcher: str,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        name = checkpoint_topic(tick_log)
        self._topic = InternalTopic(name, "checkpoint topic", CheckpointsUnavailable, log_of(clock))
        self._prefix = f"{clock}/{dispatcher}/".encode()
        self._transactional_id = dispatcher_id(tick_log, clock, dispatcher)
        self._settings, self._time = settings, time
        self._timeout_s, self._settle_s = timeout_s, settle_s
        self._writer: Writer | None = None
        self._consumers = LogConsumers.of_one_log(settings)
        self._reader = Reader(self._topic, self._consumers)

    def read(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        self._ensure_topic(keep_alive)
        low, stable = self._reader.stable_bounds(self._deadline(keep_alive))
        return self._read_range(low, stable, keep_alive)

    def acquire(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        self.close()
        self._ensure_topic(keep_alive)
        writer = Writer(self._topic, self._transactional_id, self._settings, self._timeout_s)
        try:
            writer.fence(self._deadline(keep_alive))
            found = self._read_newest(writer, keep_alive)
        except BaseException:
            writer.discard()
            raise
        self._writer = writer
        return found

    def commit(self, checkpoints: Mapping[str, Checkpoint | None], keep_alive: KeepAlive) -> None:
        # It is used again only if all of this succeeds.
        writer, self._writer = self._writer, None
        if writer is None:
            raise CheckpointsUnavailable(f"this process is not the writer of the {self._topic}: call acquire first")
        messages = [Message(self._key(name), encode(checkpoint), None) for name, checkpoint in checkpoints.items()]
        try:
            self._await_end(writer.append(messages, self._deadline(keep_alive))[-1], keep_alive)
            self._writer = writer
        except OffsetGap as error:
            raise OutcomeUnknown(f"a part of the checkpoints may be written: {error}") from error
        except RecordRejected as error:
            raise CheckpointsUnavailable(str(error)) from error
        finally:
            if self._writer is None:
                writer.discard()

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()
        self._consumers.close()

    def _ensure_topic(self, keep_alive: KeepAlive) -> None:
        try:
            wanted = wanted_log_topic(self._topic.kind, _wanted_config)
            ensure_topic(self._topic, wanted, self._settings, self._timeout_s, self._deadline(keep_alive))
        except TickLogMisconfigured as error:
            raise CheckpointsUnavailable(str(error)) from error

    def _await_end(self, last: int, keep_alive: KeepAlive) -> None:
        """Wait until the transaction of a commit has ended, and is visible.

        A broker can forget the end of a transaction (see `HangingTransactionResolver`). The checkpoints in this
        transaction are then lost after a restart, and tasks would not be sent. Open transactions of other dispatchers
        delay the wait until their coordinator ends them.

        Args:
            last: the offset of the transaction's last record.

        Raises:
            OutcomeUnknown: the transaction is still open after `settle_s`, or Kafka does not answer.
        """
        try:
            ended = self._await_stable(last + 1, keep_alive)
        except CheckpointsUnavailable as error:
            raise OutcomeUnknown(f"unknown whether Kafka has committed the checkpoints: {error}") from error
        if not ended:
            raise OutcomeUnknown(
                f"Kafka confirmed a commit, but after {self._settle_s} s a transaction is still open on the "
                f"{self._topic}"
            )

    def _read_newest(self, writer: Writer, keep_alive: KeepAlive) -> dict[str, Checkpoint]:
        """Return this dispatcher's checkpoints, including all that earlier writers have committed.

        Writes a record first, and reads up to this record. Without it, a partition leader that was deposed, and has not
        noticed it, could answer with a part of the checkpoints. The record's transaction is aborted. This also ends an
        earlier transaction of this dispatcher that is still open, because its coordinator has forgotten it. The
        checkpoints in that transaction are then not committed. This is correct, because their commit was not confirmed.
        """
        barrier = writer.end_hanging(_BARRIER, self._deadline(keep_alive))
        if not self._await_stable(barrier + 1, keep_alive):
            raise CheckpointsUnavailable(
                f"a transaction of another dispatcher stays open on the {self._topic}: restart that dispatcher, which "
                f"ends the transaction; or find the transaction with kafka-transactions find-hanging and abort it"
            )
        low, _ = self._reader.stable_bounds(self._deadline(keep_alive))
        return self._read_range(low, barrier, keep_alive)

    def _read_range(self, low: int, end: int, keep_alive: KeepAlive) -> dict[str, Checkpoint]:
        """Return this dispatcher's newest checkpoints before the offset `end`."""
        values: dict[str, bytes | None] = {}
        for start in range(low, end, CHUNK):
            for _, found in self._reader.read(start, min(start + CHUNK, end), self._deadline(keep_alive), log_entry):
                if found.key is not None and found.key.startswith(self._prefix):
                    values[found.key.removeprefix(self._prefix).decode()] = found.value
        return {name: decode(value) for name, value in values.items() if value is not None}

    def _await_stable(self, end: int, keep_alive: KeepAlive) -> bool:
        """Wait for at most `settle_s` until all transactions before offset `end` have ended."""
        wait = SlicedDeadline(self._time, self._settle_s, keep_alive)
        stable = await_stable(self._reader, end, wait, partial(self._deadline, keep_alive))
        return stable is not None

    def _deadline(self, keep_alive: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, keep_alive)

    def _key(self, name: str) -> bytes:
        """Return the record key `CLOCK/DISPATCHER/NAME`. Neither a clock nor a dispatcher has a slash in its name."""
        return self._prefix + name.encode()


def _wanted_config(brokers: int) -> dict[str, str]:
    """Return the settings of a new checkpoint topic.

    They are the tick log's settings, except that old checkpoints are compacted after some ten minutes. This limits the
    size of a partition, which `acquire` reads completely, with the checkpoints of all clocks of the log.
    """
    soon = {"min.compaction.lag.ms": "0", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}
    return {**wanted_config(brokers), **soon}


def encode(checkpoint: Checkpoint | None) -> bytes | None:
    """Return the record value of a checkpoint. For a deleted checkpoint, return None, which is a tombstone in Kafka."""
    if checkpoint is None:
        return None
    body = {
        "format": FORMAT,
        "at_ms": checkpoint.at_ms,
        "offset": checkpoint.offset,
        "fingerprint": checkpoint.fingerprint,
        "app": checkpoint.app,
        "task": checkpoint.task,
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
        names = (str(body[name]) for name in ("fingerprint", "app", "task"))
        return Checkpoint(int(body["at_ms"]), None if offset is None else int(offset), *names)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableRecord(f"a checkpoint can't be read: {error!r}") from error
