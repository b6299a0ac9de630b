"""Writes changes of an outbox to the topic of a clock's schedules."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from clocksvc.clock.log_record import Message
from clocksvc.errors import Fenced, InvalidValue, OutcomeUnknown, SchedulesUnavailable
from clocksvc.interfaces.schedule_topics import SchedulesSpec, partition_of
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.kafka.admin import Admin
from clocksvc.kafka.client import PAUSE_S, SlicedDeadline, outbox_id
from clocksvc.kafka.internal_topic import InternalTopic
from clocksvc.kafka.writer import Writer

TIMEOUT_S = 10.0
_FIRST_PAUSE_S = 0.001
_NO_ENDS = "Kafka does not list the end offsets of the topic of schedules"


class KafkaOutboxTopic:
    """Implements OutboxTopic. Not thread-safe.

    The topic is written by one producer for all partitions. Its transactional id has the topic's name, so a relay
    fences all other relays of the same clock.

    Args:
        topics: for the topic's number of partitions. It is closed with this object.
        settings: librdkafka settings from the configuration.
        timeout_s: how long one call waits for brokers.
    """

    def __init__(
        self,
        spec: SchedulesSpec,
        topics: Topics,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._spec, self._topics, self._settings = spec, topics, settings
        self._time, self._timeout_s = time, timeout_s
        self._topic = InternalTopic(spec.topic, "topic of schedules", SchedulesUnavailable)
        self._writer: Writer | None = None
        self._admin: Admin | None = None

    def fence(self) -> None:
        self._discard_writer()
        self._check_partitions()
        writer = Writer(self._topic, outbox_id(self._spec.topic), self._settings, self._timeout_s)
        writer.fence(self._deadline())
        self._writer = writer

    def write(self, records: Mapping[str, bytes | None]) -> None:
        if self._writer is None:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        messages = []
        for schedule_id, value in records.items():
            key = schedule_id.encode()
            messages.append((partition_of(key, self._spec.partitions), Message(key, value, None)))
        try:
            ends = self._writer.append_to_partitions(messages, self._deadline())
            self._confirm(ends)
        except BaseException:
            self._discard_writer()
            raise

    def close(self) -> None:
        self._discard_writer()
        self._close_admin()
        self._topics.close()

    def _confirm(self, ends: Mapping[int, int]) -> None:
        """Wait until readers of committed records have passed the last records of a transaction.

        A broker that is killed between the commit and its markers can forget them (see HangingTransactionResolver).
        The next transaction of this id then ends the old one: if it is aborted, the old records are lost. So they are
        not removed from the outbox yet.
        """
        pause_s, failed = _FIRST_PAUSE_S, False
        for _ in self._deadline():
            admin = self._admin = self._admin or Admin(self._settings, SchedulesUnavailable)
            try:
                offsets = self._stable_ends(admin, ends)
            except SchedulesUnavailable as error:
                self._close_admin()  # a new client finds the partitions' new leaders
                if failed:
                    raise OutcomeUnknown(f"unknown whether the {self._topic} has the last records: {error}") from error
                failed = True
                continue
            if all(offsets[number] >= end for number, end in ends.items()):
                return
            admin.pause(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S)
        raise OutcomeUnknown(
            f"Kafka confirmed a commit on the {self._topic}, but its records can't be read: they are behind an open "
            "transaction, or a broker has forgotten the commit"
        )

    def _stable_ends(self, admin: Admin, partitions: Iterable[int]) -> Mapping[int, int]:
        """Return the last stable offsets of some partitions."""
        asked: Any = {TopicPartition(self._spec.topic, one): OffsetSpec.latest() for one in partitions}  # type: ignore[no-untyped-call]
        level, timeout_s = IsolationLevel.READ_COMMITTED, self._timeout_s / 2
        found = admin.ask(
            lambda client: client.list_offsets(asked, isolation_level=level, request_timeout=timeout_s),
            self._deadline(),
        )
        return {one.partition: admin.result(future, _NO_ENDS).offset for one, future in found.items()}

    def _close_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    def _check_partitions(self) -> None:
        cluster = self._topics.describe([self._spec.topic])
        failure = cluster.failures.get(self._spec.topic, "it does not exist; `clocksvc scheduler` creates it")
        found = cluster.topics.get(self._spec.topic)
        if found is None:
            raise SchedulesUnavailable(f"Kafka does not describe the {self._topic}: {failure}")
        if found.partitions != self._spec.partitions:
            field = f"clocks.{self._spec.clock}.schedules.partitions"
            raise InvalidValue(
                field, self._spec.partitions, f"wanted {found.partitions}, as topic {self._spec.topic!r} has"
            )

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()

    def _deadline(self) -> SlicedDeadline:
        return SlicedDeadline(self._time, self._timeout_s)
