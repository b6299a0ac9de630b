"""A transactional producer for an internal topic. It fences earlier producers, and commits records in transactions.

After an interruption, or a commit without an answer, a writer can't write again. See `Writer.usable`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from confluent_kafka import KafkaError, KafkaException, Producer

from clocksvc.clock.log_record import TYPE_HEADER, Message
from clocksvc.errors import Fenced, OutcomeUnknown
from clocksvc.kafka.client import (
    PAUSE_S,
    ClientLog,
    SlicedDeadline,
    client_settings,
    describe_error,
    error_of,
    explain_missing_acl,
    is_fenced,
    translate_errors,
)
from clocksvc.kafka.internal_topic import InternalTopic

_TRANSACTION_MARGIN_S = 4.0
"""Brokers abort the open transaction of a dead writer this long after the writer's own timeout."""

_Delivery = tuple[KafkaError | None, int]
"""The delivery report of one record: the error (None for success) and the offset."""


class _MustAbort(Exception):
    """The transaction failed before the commit. The message is the reason."""


class Writer:
    """One producer. After it has become unusable, create a new writer.

    Attributes:
        usable: True after `fence`. False again after the writer was fenced or interrupted, or if the outcome of a
            transaction is unknown.
    """

    def __init__(
        self, topic: InternalTopic, transactional_id: str, settings: Mapping[str, str], timeout_s: float
    ) -> None:
        self._topic = topic
        self._acls = topic.acls("Write") | {"Transactional": f"Write on transactional id {transactional_id}"}
        self._log = ClientLog()
        self.usable = False
        fixed = client_settings(
            settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=int((timeout_s + _TRANSACTION_MARGIN_S) * 1000),
            message_timeout_ms=int(timeout_s * 1000),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
        )
        with translate_errors(topic.unavailable, f"a producer for the {topic} can't be created"):
            self._producer = Producer(fixed, logger=self._log)

    def fence(self, deadline: SlicedDeadline) -> None:
        """Fence all earlier producers with this transactional id. Blocks until the deadline at most.

        Raises:
            The topic's `unavailable` error if Kafka does not answer, or the request is not authorized.
        """
        self._connect(deadline)
        failure = None
        for slice_s in deadline:
            try:
                self._producer.init_transactions(slice_s)
                self.usable = True
                return
            except KafkaException as raised:
                failure = raised
                if not error_of(raised).retriable():
                    break
        why = describe_error(failure, self._acls)
        raise self._topic.unavailable(f"earlier writers of the {self._topic} can't be fenced: {why}") from failure

    def append(self, messages: Sequence[Message], deadline: SlicedDeadline) -> int:
        """Commit records in one transaction, and return the offset of the last record.

        When this method returns, the commit can't be undone. Its marker may be written to the topic a little later.

        Raises:
            Fenced, OutcomeUnknown: see `TickLog.append`.
            The topic's `unavailable` error if the transaction failed before its commit. No record was committed.
        """
        self._begin_use()
        try:
            last = self._send(messages, deadline)
            self._commit(deadline)
        except _MustAbort as failure:
            self.usable = self._abort(deadline)
            raise self._topic.unavailable(f"can't write to the {self._topic}: {failure}") from failure
        self.usable = True
        return last

    def end_hanging(self, filler: Message, deadline: SlicedDeadline) -> int:
        """Abort a transaction of one record, and return the record's offset.

        Consumers of committed records do not read the record. The abort marker also ends an earlier transaction of the
        same transactional id that is still open on this topic. Raises the same errors as `append`.
        """
        self._begin_use()
        try:
            offset = self._send([filler], deadline)
        except _MustAbort as failure:
            self._abort(deadline)
            raise self._topic.unavailable(f"can't write to the {self._topic}: {failure}") from failure
        self.usable = self._abort(deadline)
        if not self.usable:
            raise self._topic.unavailable(
                f"can't end an old transaction on the {self._topic}: Kafka did not answer a request to abort"
            )
        return offset

    def discard(self) -> None:
        """Drop the records that are not sent yet. Does not wait for brokers."""
        self.usable = False
        with suppress(KafkaException):
            self._producer.purge(blocking=False)

    def _begin_use(self) -> None:
        if not self.usable:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        self.usable = False

    def _connect(self, deadline: SlicedDeadline) -> None:
        """Connect before init_transactions, because that call waits half a second if there is no connection.

        Two answers are needed. The first answer comes over the bootstrap connection. librdkafka then replaces this
        connection by one to the broker itself.
        """
        answers = 0
        for slice_s in deadline:
            try:
                self._producer.list_topics(self._topic.name, timeout=slice_s)
                answers += 1
                if answers == 2:
                    return
            except KafkaException:
                self._producer.poll(min(PAUSE_S, slice_s))

    def _send(self, messages: Sequence[Message], deadline: SlicedDeadline) -> int:
        """Begin a transaction, send all records, wait for their delivery, and return the last offset."""
        self._log.last = ""
        deliveries: list[_Delivery] = []
        try:
            self._producer.begin_transaction()
            for one in messages:
                self._produce(one, deliveries, deadline)
            # flush() can't be used: it also calls back after a fatal error, which the Python client does not expect.
            for slice_s in deadline:
                if len(deliveries) == len(messages):
                    break
                self._producer.poll(slice_s)
        except KafkaException as raised:
            raise self._failure(raised) from raised
        failures = [error for error, _ in deliveries if error is not None]
        if failures:
            raise _MustAbort(self._reason(failures[0]))
        if len(deliveries) < len(messages):
            raise _MustAbort("no answer")
        return deliveries[-1][1]

    def _produce(self, one: Message, deliveries: list[_Delivery], deadline: SlicedDeadline) -> None:
        for slice_s in deadline:
            try:
                self._producer.produce(
                    self._topic.name,
                    one.value,
                    one.key,
                    partition=0,
                    headers=None if one.type is None else {TYPE_HEADER: one.type},
                    on_delivery=lambda error, sent: deliveries.append((error, cast(int, sent.offset()))),
                )
                return
            except BufferError:
                self._producer.poll(slice_s)
        raise _MustAbort("no answer")

    def _commit(self, deadline: SlicedDeadline) -> None:
        failure = None
        for slice_s in deadline:
            try:
                self._producer.commit_transaction(slice_s)
                return
            except KafkaException as raised:
                is_retry, failure = failure is not None, raised
                if error_of(raised).retriable():
                    continue
                # The outcome of a request without an answer is unknown, even if the retry fails with a fencing error.
                if not is_retry and (is_fenced(raised) or error_of(raised).txn_requires_abort()):
                    raise self._failure(raised) from raised
                break
        why = describe_error(failure, self._acls)
        raise OutcomeUnknown(f"no answer to a commit on the {self._topic}: {why}") from failure

    def _abort(self, deadline: SlicedDeadline) -> bool:
        """Abort the transaction. True if the producer can be used again."""
        for slice_s in deadline:
            try:
                self._producer.abort_transaction(slice_s)
                return True
            except KafkaException as raised:
                if is_fenced(raised):
                    raise self._fenced() from raised
                if not error_of(raised).retriable():
                    break
        return False

    def _reason(self, undelivered: KafkaError) -> str:
        # If records were purged, the transaction failed before they were sent. Only the client's log has the reason.
        purged = undelivered.code() == KafkaError._PURGE_QUEUE and self._log.last
        return explain_missing_acl(self._log.last if purged else undelivered.str(), self._acls)

    def _failure(self, raised: KafkaException) -> Exception:
        return self._fenced() if is_fenced(raised) else _MustAbort(describe_error(raised, self._acls))

    def _fenced(self) -> Fenced:
        return Fenced(f"a newer writer of the {self._topic} has fenced this one")
