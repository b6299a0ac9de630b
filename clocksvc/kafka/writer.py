"""A transactional producer for one partition of an internal topic. It fences earlier producers with the same id.

A writer is not used again after a transaction that did not end with OK. Brokers may then still have a request that ends
a transaction, and would apply it to the next transaction of the same producer. A new producer has a new epoch, so its
transactions are safe.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol, cast

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from clocksvc.errors import Fenced, FencedAtCommit, OffsetGap, OutcomeUnknown, RecordRejected
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

_BATCH_BYTES = 64 * 1024
"""A larger record is alone in its batch, so that brokers that reject it do not reject others with it."""

_SHORTEST_CALL_S = 0.25
"""The shortest time for one call of librdkafka's transactional functions.

Each call begins with a question to librdkafka's own thread. If the call's time ends before the answer, librdkafka takes
the function for finished, although its request may still be on its way since an earlier call. It then takes the answer
to a commit for the answer to an abort, and ends the process with a failed assertion; or it takes a late answer for the
result of the next function.
"""

_REJECTED = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
}
"""The errors that concern a record itself."""


class _MustAbort(Exception):
    """The transaction failed before the commit. The message is the reason."""


class Record(Protocol):
    """A record to be produced; without a value it is a tombstone."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> list[tuple[str, bytes]]: ...


class _Deliveries:
    """The delivery reports of records of one transaction. Those of one partition come in the order of the records.

    Attributes:
        offsets: the offset of each record that was delivered.
        ends: by partition, the offset after the last of these records.
        rejected: the keys of the records that were rejected.
        failure: the first error of another kind.
    """

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.ends: dict[int, int] = {}
        self.rejected: list[bytes | None] = []
        self.failure: KafkaError | None = None

    @property
    def reports(self) -> int:
        """The number of reports, at least. It does not count further failures after the first one."""
        return len(self.offsets) + len(self.rejected)

    def report(self, error: KafkaError | None, sent: KafkaMessage) -> None:
        """Add the report of a record. It serves all records: one function for each would cost as much as sending."""
        if error is None:
            offset = cast(int, sent.offset())
            self.offsets.append(offset)
            self.ends[cast(int, sent.partition())] = offset + 1
        elif error.code() in _REJECTED:
            self.rejected.append(sent.key())
        else:
            self.failure = self.failure or error


class Writer:
    """One producer. After it has become unusable, create a new writer.

    Attributes:
        usable: True after `fence`. False again after any failure: see above.
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
            batch_size=_BATCH_BYTES,
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
        for call_s in self._calls(deadline):
            try:
                self._producer.init_transactions(call_s)
                self.usable = True
                return
            except KafkaException as raised:
                failure = raised
                if not error_of(raised).retriable():
                    break
        why = describe_error(failure, self._acls)
        raise self._topic.unavailable(f"earlier writers of the {self._topic} can't be fenced: {why}") from failure

    def append(
        self,
        records: Sequence[Record],
        deadline: SlicedDeadline,
        begin: int | None = None,
        *,
        last: Record | None = None,
        shared: bool = False,
        acknowledged: Callable[[], None] = lambda: None,
    ) -> list[int]:
        """Commit records in one transaction, and return their offsets, ascending.

        When this method returns, the commit can't be undone. Its marker may be written to the topic a little later.

        Args:
            begin: the offset at which the transaction must begin, if no other producer writes to the partition.
            last: a record that is produced once all others were acknowledged. If brokers commit a part of the
                transaction that contains it, all others are in this part.
            shared: True if records of other producers may be between these records.
            acknowledged: called once brokers have all records, before the commit.

        Raises:
            OffsetGap: the first record does not have the offset `begin`, or the offsets are not contiguous.
            RecordRejected, Fenced, OutcomeUnknown: see `TickLog.append`.
            The topic's `unavailable` error if the transaction failed before its commit.
        """
        with self._transaction(deadline):
            offsets = self._send(records, deadline).offsets
            if last is not None:
                offsets += self._send([last], deadline).offsets
            if not shared:
                self._check_contiguous(offsets, begin)
            acknowledged()
        return offsets

    def append_to_partitions(
        self, records: Sequence[tuple[int, Record]], deadline: SlicedDeadline
    ) -> Mapping[int, int]:
        """Commit records of several partitions of the topic, each with its partition, in one transaction.

        When this method returns, the commit can't be undone, unless the brokers forget it before its markers are
        written. Raises the errors of `append` except OffsetGap.

        Returns:
            By partition, the offset after the last of these records.
        """
        with self._transaction(deadline):
            sent = self._send([one for _, one in records], deadline, [partition for partition, _ in records])
        return sent.ends

    def end_hanging(self, filler: Record, deadline: SlicedDeadline) -> int:
        """Abort a transaction of one record, and return the record's offset.

        Consumers of committed records do not read the record. The abort marker also ends an earlier transaction of the
        same transactional id that is still open on this partition. Raises the same errors as `append`.
        """
        self._begin_use()
        try:
            self._begin()
            (offset,) = self._send([filler], deadline).offsets
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

    @contextmanager
    def _transaction(self, deadline: SlicedDeadline) -> Iterator[None]:
        """Commit what the block sends, or abort it if the block fails. The writer is usable after a commit only."""
        self._begin_use()
        try:
            self._begin()
            yield
            self._commit(deadline)
        except _MustAbort as failure:
            self._abort(deadline)
            raise self._topic.unavailable(f"can't write to the {self._topic}: {failure}") from failure
        except (OffsetGap, RecordRejected):
            self._abort(deadline)
            raise
        self.usable = True

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

    def _begin(self) -> None:
        self._log.last = ""
        try:
            self._producer.begin_transaction()
        except KafkaException as raised:
            raise self._failure(raised) from raised

    def _send(
        self, records: Sequence[Record], deadline: SlicedDeadline, partitions: Sequence[int] | None = None
    ) -> _Deliveries:
        """Send records, wait until brokers have all of them, and return their delivery reports.

        Args:
            partitions: the partition of each record; None for that of the topic.
        """
        deliveries = _Deliveries()
        sent = 0
        failure: KafkaException | None = None
        try:
            for index, one in enumerate(records):
                partition = self._topic.partition if partitions is None else partitions[index]
                self._produce(one, partition, deliveries, deadline)
                sent += 1
        except KafkaException as raised:
            # If a broker rejected an earlier record, the client accepts no more. Only the report says why.
            failure = raised
        try:
            # flush() can't be used: it also calls back after a fatal error, which the Python client does not expect.
            for slice_s in deadline:
                if deliveries.failure is not None or deliveries.reports == sent:
                    break
                self._producer.poll(slice_s)
        except KafkaException as raised:
            failure = failure or raised
        if deliveries.rejected:
            raise RecordRejected(
                deliveries.rejected,
                f"the brokers reject {len(deliveries.rejected)} of {len(records)} records for the {self._topic}",
            )
        if failure is not None:
            raise self._failure(failure) from failure
        if deliveries.failure is not None:
            raise _MustAbort(self._reason(deliveries.failure))
        if len(deliveries.offsets) < len(records):
            raise _MustAbort("no answer")
        return deliveries

    def _check_contiguous(self, offsets: list[int], begin: int | None) -> None:
        expected = offsets[0] if begin is None else begin
        if offsets != list(range(expected, expected + len(offsets))):
            raise OffsetGap(
                f"a transaction of {len(offsets)} records on the {self._topic} has the offsets {offsets[0]} to "
                f"{offsets[-1]}, but must begin at {expected} and have no gap"
            )

    def _produce(self, one: Record, partition: int, deliveries: _Deliveries, deadline: SlicedDeadline) -> None:
        slices: Iterator[float] | None = None
        while True:
            try:
                self._producer.produce(
                    self._topic.name,
                    one.value,
                    one.key,
                    partition=partition,
                    headers=cast("list[tuple[str, str | bytes | None]]", one.headers),
                    on_delivery=deliveries.report,
                )
                return
            except BufferError:
                slices = slices or iter(deadline)
                slice_s = next(slices, None)
                if slice_s is None:
                    raise _MustAbort("no answer") from None
                self._producer.poll(slice_s)
            except KafkaException as raised:
                if error_of(raised).code() not in _REJECTED:
                    raise
                deliveries.rejected.append(one.key)
                return

    def _commit(self, deadline: SlicedDeadline) -> None:
        failure = None
        for call_s in self._calls(deadline):
            try:
                self._producer.commit_transaction(call_s)
                return
            except KafkaException as raised:
                is_retry, failure = failure is not None, raised
                if error_of(raised).retriable():
                    continue
                # The outcome of a request without an answer is unknown, even if the retry fails with a fencing error.
                # The client also retries by itself, and reports the answer to its last request only.
                if not is_retry and is_fenced(raised):
                    raise FencedAtCommit(f"{self._fenced()}, and its last commit may have taken effect") from raised
                if not is_retry and error_of(raised).txn_requires_abort():
                    raise self._failure(raised) from raised
                break
        why = describe_error(failure, self._acls)
        raise OutcomeUnknown(f"no answer to a commit on the {self._topic}: {why}") from failure

    def _abort(self, deadline: SlicedDeadline) -> bool:
        """Abort the transaction. Returns True if the brokers confirmed it."""
        for call_s in self._calls(deadline):
            try:
                self._producer.abort_transaction(call_s)
                return True
            except KafkaException as raised:
                if is_fenced(raised):
                    raise self._fenced() from raised
                if not error_of(raised).retriable():
                    break
        return False

    def _calls(self, deadline: SlicedDeadline) -> Iterator[float]:
        """Iterate over the calls of one transactional function, each with the time that it may block.

        The first call begins at once, and may end _SHORTEST_CALL_S late. The following ones continue it. They begin
        only if enough of the slice is left.
        """
        is_first = True
        for slice_s in deadline:
            if is_first or slice_s >= _SHORTEST_CALL_S:
                is_first = False
                yield max(slice_s, _SHORTEST_CALL_S)
            else:
                with suppress(KafkaException):
                    self._producer.poll(slice_s)

    def _reason(self, undelivered: KafkaError) -> str:
        # If records were purged, the transaction failed before they were sent. Only the client's log has the reason.
        purged = undelivered.code() == KafkaError._PURGE_QUEUE and self._log.last
        return explain_missing_acl(self._log.last if purged else undelivered.str(), self._acls)

    def _failure(self, raised: KafkaException) -> Exception:
        return self._fenced() if is_fenced(raised) else _MustAbort(describe_error(raised, self._acls))

    def _fenced(self) -> Fenced:
        return Fenced(f"a newer writer of the {self._topic} has fenced this one")
