"""Writes one partition of a topic of schedules in Kafka, for the partition's owner."""

from collections.abc import Mapping, Sequence
from functools import partial

from clocksvc.clock.log_record import Message
from clocksvc.errors import Fenced, OutcomeUnknown, SchedulesUnavailable
from clocksvc.interfaces.schedule_writer import ScheduleRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import SlicedDeadline, writer_id
from clocksvc.kafka.fenced_log import TIMEOUT_S
from clocksvc.kafka.internal_topic import InternalTopic
from clocksvc.kafka.log_consumers import LogConsumers
from clocksvc.kafka.reader import Reader, log_entry
from clocksvc.kafka.transactions import ABORTED, await_stable
from clocksvc.kafka.writer import Writer


class KafkaScheduleWriter:
    """Implements ScheduleWriter: one partition, in Kafka.

    Args:
        topic: the name of the topic of schedules.
        partition: the number of the partition.
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
        timeout_s: how long a request waits for brokers, and a write for the end of another producer's transaction.
    """

    def __init__(
        self, topic: str, partition: int, settings: Mapping[str, str], time: Time, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._topic = InternalTopic(topic, "topic of schedules", SchedulesUnavailable, partition)
        self._settings, self._time, self._timeout_s = settings, time, timeout_s
        self.end: int | None = None
        self._writer: Writer | None = None
        self._consumers = LogConsumers.of_one_log(settings)
        self._reader = Reader(self._topic, self._consumers)

    def fence(self, keep_alive: KeepAlive) -> None:
        if self._writer is not None:
            return
        transactional_id = writer_id(self._topic.name, self._topic.partition)
        writer = Writer(self._topic, transactional_id, self._settings, self._timeout_s)
        try:
            writer.fence(self._deadline(keep_alive))
            # It ends a transaction of an earlier owner that brokers have forgotten (see HangingTransactionResolver).
            # The table could not be read beyond that.
            writer.end_hanging(ABORTED, self._deadline(keep_alive))
        except BaseException:
            writer.discard()
            raise
        self._writer = writer

    def write(self, records: Sequence[ScheduleRecord], keep_alive: KeepAlive) -> list[int]:
        # It is used again only if all of this succeeds.
        writer, self._writer = self._writer, None
        if writer is None:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        try:
            messages = [Message(key, value, None) for key, value in records]
            offsets = writer.append(messages, self._deadline(keep_alive), shared=True)
            self._confirm(offsets, keep_alive)
            self._writer = writer
        finally:
            if self._writer is None:
                writer.discard()
        return offsets

    def end_term(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()

    def close(self) -> None:
        self.end_term()
        self._consumers.close()

    def _confirm(self, offsets: Sequence[int], keep_alive: KeepAlive) -> None:
        """Check that readers of committed records get all records of a transaction.

        A delayed request of an earlier transaction can have ended a part of this one. The coordinator then answers the
        commit with OK, but the rest is not committed.
        """
        first, end = offsets[0], offsets[-1] + 1
        try:
            new_deadline = partial(self._deadline, keep_alive)
            stable = await_stable(self._reader, end, new_deadline(), new_deadline)
            found = [] if stable is None else self._reader.read(first, end, new_deadline(), log_entry)
        except SchedulesUnavailable as error:
            raise OutcomeUnknown(f"unknown whether the {self._topic} has the last records: {error}") from error
        # The marker is not before `end`. If the partition has one more offset, it is the marker.
        self.end = stable if stable == end + 1 else None
        if not {entry.offset for entry in found}.issuperset(offsets):
            raise OutcomeUnknown(
                f"Kafka confirmed a commit on the {self._topic}, but after {self._timeout_s:g} s some of its records "
                f"can't be read: a transaction of another producer may be open"
            )

    def _deadline(self, keep_alive: KeepAlive) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s, keep_alive)
