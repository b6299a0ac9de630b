"""One transactional producer: it fences its elders, and commits records in one transaction.

A writer whose outcome is open, or that was interrupted, must never write again: `usable` says so.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from confluent_kafka import KafkaError, KafkaException, Producer

from clocksvc.clock.log_record import TYPE_HEADER, Message
from clocksvc.errors import Fenced, OutcomeUnknown, TickLogUnavailable
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
    explain_missing_acl,
)
from clocksvc.kafka.deadline import (
    REST_S,
    SlicedDeadline,
)
from clocksvc.kafka.errors import (
    describe_error,
    error_of,
    is_fenced,
    translated,
)

_LONGER_S = 4.0
"""How much longer than our patience the brokers keep a dead writer's transaction open."""

_Outcome = tuple[KafkaError | None, int]
"""Of one record: why it was not taken, or the offset that it has."""


class _MustAbort(Exception):
    """The transaction failed before its commit: why, in words."""


class Writer:
    """One producer, from its making to its discarding."""

    def __init__(self, topic: str, transactional_id: str, settings: Mapping[str, str], timeout_s: float) -> None:
        self._topic = topic
        self._rights = {
            "Topic": f"Write on topic {topic}",
            "Transactional": f"Write on transactional id {transactional_id}",
        }
        self._log = ClientLog()
        self.usable = False
        ours = client_settings(
            settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=int((timeout_s + _LONGER_S) * 1000),
            message_timeout_ms=int(timeout_s * 1000),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
        )
        with translated("the tick log's writer can't be made"):
            self._producer = Producer(ours, logger=self._log)

    def fence(self, patience: SlicedDeadline) -> None:
        """Cut off whoever wrote before. Raises TickLogUnavailable."""
        self._connect(patience)
        failure = None
        for slice_s in patience:
            try:
                self._producer.init_transactions(slice_s)
                self.usable = True
                return
            except KafkaException as raised:
                failure = raised
                if not error_of(raised).retriable():
                    break
        why = describe_error(failure, self._rights)
        raise TickLogUnavailable(f"the tick log's writer can't be fenced in: {why}") from failure

    def append(self, messages: Sequence[Message], patience: SlicedDeadline) -> int:
        """Commit records in one transaction; the last one's offset. Raises as TickLog.append does.

        The commit is decided when this returns; its marker may land in the topic a little later.
        """
        if not self.usable:
            raise Fenced("this process does not write the tick log: fence first")
        self.usable = False
        try:
            last = self._send(messages, patience)
            self._commit(patience)
        except _MustAbort as failure:
            self.usable = self._aborted(patience)
            raise TickLogUnavailable(f"the tick log takes no records: {failure}") from failure
        self.usable = True
        return last

    def end_hanging(self, filler: Message, patience: SlicedDeadline) -> int:
        """Abort a transaction with a record in it: nobody sees the record, and the marker behind it ends on this topic
        whatever an earlier transaction of the same id left open. The record's offset. Raises as `append` does."""
        if not self.usable:
            raise Fenced("this process does not write the tick log: fence first")
        self.usable = False
        try:
            offset = self._send([filler], patience)
        except _MustAbort as failure:
            self._aborted(patience)
            raise TickLogUnavailable(f"the tick log takes no records: {failure}") from failure
        self.usable = self._aborted(patience)
        if not self.usable:
            raise TickLogUnavailable("the tick log takes no records: an abort got no answer")
        return offset

    def discard(self) -> None:
        """Drop what is still queued, without waiting for brokers."""
        self.usable = False
        with suppress(KafkaException):
            self._producer.purge(blocking=False)

    def _connect(self, patience: SlicedDeadline) -> None:
        """Connect before init_transactions is asked: it waits half a second where it finds no connection.

        Two answers: the first comes over the bootstrap connection, which is then dropped for the brokers' own.
        """
        answers = 0
        for slice_s in patience:
            try:
                self._producer.list_topics(self._topic, timeout=slice_s)
                answers += 1
                if answers == 2:
                    return
            except KafkaException:
                self._producer.poll(min(REST_S, slice_s))

    def _send(self, messages: Sequence[Message], patience: SlicedDeadline) -> int:
        """Begin a transaction and return the last record's offset once the brokers have them all."""
        self._log.last = ""
        outcomes: list[_Outcome] = []
        try:
            self._producer.begin_transaction()
            for one in messages:
                self._produce(one, outcomes, patience)
            # Not flush: it goes on calling back after a fatal error, which confuses the Python client.
            for slice_s in patience:
                if len(outcomes) == len(messages):
                    break
                self._producer.poll(slice_s)
        except KafkaException as raised:
            raise self._failed(raised) from raised
        failures = [error for error, _ in outcomes if error is not None]
        if failures:
            raise _MustAbort(self._why(failures[0]))
        if len(outcomes) < len(messages):
            raise _MustAbort("no answer")
        return outcomes[-1][1]

    def _produce(self, one: Message, outcomes: list[_Outcome], patience: SlicedDeadline) -> None:
        for slice_s in patience:
            try:
                self._producer.produce(
                    self._topic,
                    one.value,
                    one.key,
                    partition=0,
                    headers=None if one.type is None else {TYPE_HEADER: one.type},
                    on_delivery=lambda error, sent: outcomes.append((error, cast(int, sent.offset()))),
                )
                return
            except BufferError:
                self._producer.poll(slice_s)
        raise _MustAbort("no answer")

    def _commit(self, patience: SlicedDeadline) -> None:
        failure = None
        for slice_s in patience:
            try:
                self._producer.commit_transaction(slice_s)
                return
            except KafkaException as raised:
                asked_before, failure = failure is not None, raised
                if error_of(raised).retriable():
                    continue
                # After a late answer, what the first request did is open, even when this one finds us fenced.
                if not asked_before and (is_fenced(raised) or error_of(raised).txn_requires_abort()):
                    raise self._failed(raised) from raised
                break
        raise OutcomeUnknown(
            f"a commit to the tick log got no answer: {describe_error(failure, self._rights)}"
        ) from failure

    def _aborted(self, patience: SlicedDeadline) -> bool:
        """True when the transaction is aborted and the producer can go on."""
        for slice_s in patience:
            try:
                self._producer.abort_transaction(slice_s)
                return True
            except KafkaException as raised:
                if is_fenced(raised):
                    raise Fenced from raised
                if not error_of(raised).retriable():
                    break
        return False

    def _why(self, undelivered: KafkaError) -> str:
        # Purged: the transaction failed before its records were sent, and only the client's log says of what.
        purged = undelivered.code() == KafkaError._PURGE_QUEUE and self._log.last
        return explain_missing_acl(self._log.last if purged else undelivered.str(), self._rights)

    def _failed(self, raised: KafkaException) -> Exception:
        return Fenced() if is_fenced(raised) else _MustAbort(describe_error(raised, self._rights))
