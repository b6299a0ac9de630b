"""What a consumer must never do, checked at each step. Shares no code with the consumer."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from clocksvc.client.consumer.batches import BatchLimits
from clocksvc.clock.partition import Partition
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.log import Delivery, Log


class BrokenPromise(AssertionError):
    """The consumer, or a function of its author, broke a promise."""


class Flush:
    """One call of the author's `flush`.

    Attributes:
        number: 1 for the first one of the run.
        deliveries: the records of its items.
        arguments: what the author's function gets.
        effect: True after the author's function has returned.
        error: what it raised, or None.
    """

    def __init__(self, number: int, deliveries: Sequence[Delivery]) -> None:
        self.number, self.deliveries = number, deliveries
        self.arguments: tuple[Any, ...] = ()
        self.effect = False
        self.error: BaseException | None = None

    def __str__(self) -> str:
        return f"flush {self.number} of {describe(self.deliveries)}"


class Judge:
    """Checks what a consumer does with its records, and counts the interleavings.

    Attributes:
        hits: how often each interleaving came.
    """

    def __init__(self) -> None:
        self.hits: Counter[Interleaving] = Counter()
        self._failed_before = False
        self._commit_failed: set[Partition] = set()

    # -- flushes ------------------------------------------------------------------------------------------------------

    def flush_started(self, flush: Flush, limits: BatchLimits, now: float) -> None:
        """The consumer has handed a batch to the author's `flush`.

        Args:
            limits: the limits of a batch.
            now: seconds of the monotonic clock.

        Raises:
            BrokenPromise: the batch is not legal.
        """
        last: dict[Log, int] = {}
        for delivery in flush.deliveries:
            stored, log = delivery.stored, delivery.stored.log
            if not delivery.current:
                raise BrokenPromise(f"removed partition flushed: {flush} began after {stored} was revoked or lost")
            if stored.offset <= last.get(log, -1):
                raise BrokenPromise(f"order: {flush} has {stored} behind offset {last[log]}")
            if delivery.in_flush or (delivery.done and delivery.current):
                raise BrokenPromise(f"flushed twice: {stored} is in {flush}, and is flushed already")
            last[log] = stored.offset
            delivery.in_flush = True
        self._count_cut(flush.deliveries, limits, now)

    def _count_cut(self, deliveries: Sequence[Delivery], limits: BatchLimits, now: float) -> None:
        size = sum(len(delivery.message) for delivery in deliveries)
        if len(deliveries) > limits.records or (len(deliveries) > 1 and size > limits.bytes):
            raise BrokenPromise(f"batch too large: {len(deliveries)} items, {size} bytes")
        if any(delivery.flush_failed for delivery in deliveries):
            return
        hits = self.hits
        if len(deliveries) == limits.records:
            hits[Interleaving.CUT_BY_COUNT] += 1
        elif size >= limits.bytes:
            hits[Interleaving.CUT_BY_BYTES] += 1
        elif now - deliveries[0].at >= limits.age_s:
            hits[Interleaving.CUT_BY_AGE] += 1
            if any(delivery.stored.log.paused for delivery in deliveries):
                hits[Interleaving.AGE_WHILE_PAUSED] += 1

    def flush_finished(self, flush: Flush, running: Iterable[Flush]) -> None:
        """The consumer gets the result of a flush."""
        hits, deliveries = self.hits, flush.deliveries
        for delivery in deliveries:
            delivery.in_flush = False
        current = [delivery for delivery in deliveries if delivery.current]
        removed = len(current) < len(deliveries)
        if flush.error is not None:
            self._flush_failed(flush, removed=removed)
            return
        self._failed_before = False
        if any(other.number < flush.number for other in running):
            hits[Interleaving.SECOND_FLUSH_FIRST] += 1
        if removed and current:
            hits[Interleaving.FLUSH_PARTLY_REMOVED] += 1
        for log, epoch in {(delivery.stored.log, delivery.epoch) for delivery in deliveries} if removed else ():
            if log.epoch > epoch:
                hits[Interleaving.FLUSH_AFTER_REASSIGNMENT] += 1
            elif not log.epoch:
                hits[Interleaving.FLUSH_AFTER_LOSS if log.lost else Interleaving.FLUSH_AFTER_REVOKE] += 1
        for delivery in current:
            stored = delivery.stored
            if delivery.flush_failed:
                hits[Interleaving.FLUSH_RETRIED] += 1
            first = stored.log.first_not_done()
            if first is not None and first.offset < stored.offset:
                opened = stored.log.open.get(first.offset)
                if opened is not None and opened.dead_letter:
                    hits[Interleaving.DEAD_LETTER_LAST] += 1
                elif not any(opened is other for other in deliveries):
                    hits[Interleaving.GAP_IN_FRONT] += 1
            self._set_done(delivery)

    def _flush_failed(self, flush: Flush, *, removed: bool) -> None:
        hits = self.hits
        if flush.effect:
            hits[Interleaving.EFFECT_THEN_FAILURE] += 1
        if removed:
            hits[Interleaving.FAILURE_AFTER_REMOVAL] += 1
        if self._failed_before:
            hits[Interleaving.TWO_FLUSHES_FAIL] += 1
        self._failed_before = True
        for delivery in flush.deliveries:
            delivery.flush_failed = True

    def _set_done(self, delivery: Delivery) -> None:
        delivery.done = True
        if delivery.current:
            delivery.stored.done = True
            delivery.stored.log.open.pop(delivery.stored.offset, None)

    # -- single records -----------------------------------------------------------------------------------------------

    def processed(self, deliveries: Sequence[Delivery]) -> None:
        """The consumer gets the results of consecutive records of one partition from a pool of processes."""
        for delivery in deliveries:
            delivery.in_process = False
        if not deliveries[0].current:
            log = deliveries[0].stored.log
            again = Interleaving.PROCESSED_AFTER_REASSIGNMENT if log.epoch else Interleaving.PROCESSED_AFTER_REMOVAL
            self.hits[again] += 1

    def skipped(self, delivery: Delivery) -> None:
        """A record needs no flush: the author's function returned None for it, or it is a heartbeat."""
        if delivery.done:
            return
        first = delivery.stored.log.first_not_done()
        if delivery.current and first is not None and first.offset < delivery.stored.offset:
            self.hits[Interleaving.NO_FLUSH_NEEDED] += 1
        delivery.stored.skipped = True
        self._set_done(delivery)

    def dead_letter_sent(self, delivery: Delivery) -> None:
        """The consumer has sent a record to the dead-letter topic.

        Raises:
            BrokenPromise: it is there already, or is being flushed.
        """
        if delivery.dead_letter or delivery.in_flush or (delivery.done and delivery.current):
            raise BrokenPromise(
                f"dead letter: {delivery.stored} was sent to the dead-letter topic, and is done already"
            )
        delivery.dead_letter = True

    def dead_letter_answered(self, delivery: Delivery, *, delivered: bool) -> None:
        """The consumer gets the outcome of a dead letter."""
        delivery.dead_letter = False
        if not delivered:
            self.hits[Interleaving.DEAD_LETTER_FAILS] += 1
            return
        if not delivery.current:
            self.hits[Interleaving.DEAD_LETTER_AFTER_REMOVAL] += 1
        first = delivery.stored.log.first_not_done()
        if delivery.current and first is not None and first.offset < delivery.stored.offset:
            self.hits[Interleaving.DEAD_LETTER_FIRST] += 1
        self._set_done(delivery)

    # -- commits and reports ------------------------------------------------------------------------------------------

    def commit_requested(self, logs: Mapping[Partition, Log], offsets: Mapping[Partition, int]) -> None:
        """The consumer commits offsets.

        Raises:
            BrokenPromise: a record below an offset is not done, the partition is not assigned, or the offset goes back.
        """
        for partition, offset in offsets.items():
            log = logs[partition]
            if not log.epoch:
                raise BrokenPromise(f"foreign commit: offset {offset} of {partition}, which is not assigned")
            if offset > log.end:
                raise BrokenPromise(f"commit beyond the end: offset {offset} of {partition}, which ends at {log.end}")
            if offset < log.assigned_at:
                raise BrokenPromise(
                    f"commit goes back: offset {offset} of {partition}, which was committed to {log.assigned_at}"
                )
            first = log.first_not_done()
            if first is not None and first.offset < offset:
                raise BrokenPromise(
                    f"committed before done: offset {offset} of {partition}, but {self._why(first.offset, log)}"
                )

    def commit_applied(self, log: Log, offset: int) -> None:
        """Kafka has accepted a commit.

        Raises:
            BrokenPromise: the offset goes back.
        """
        if offset < log.committed:
            raise BrokenPromise(f"commit goes back: offset {offset} of {log.partition}, after {log.committed}")
        passed = log.records[log.index_at(log.committed) : log.index_at(offset)]
        if any(stored.record.gap for stored in passed):
            self.hits[Interleaving.COMMIT_OVER_GAP] += 1
        if passed and all(stored.skipped for stored in passed):
            self.hits[Interleaving.COMMIT_WITHOUT_FLUSH] += 1
        log.committed = offset

    def commit_acknowledged(self, log: Log, offset: int, epoch: int) -> None:
        """The consumer gets the answer that a commit of an assignment was accepted."""
        log.acknowledged = max(log.acknowledged, offset)
        if not log.epoch:
            self.hits[Interleaving.ACKNOWLEDGED_AFTER_REMOVAL] += 1
        elif log.epoch != epoch:
            self.hits[Interleaving.ACKNOWLEDGED_AFTER_REASSIGNMENT] += 1
        if log.partition in self._commit_failed:
            self.hits[Interleaving.COMMIT_FAILS] += 1
            self._commit_failed.discard(log.partition)

    def commit_failed(self, partitions: Iterable[Partition]) -> None:
        """The consumer gets the answer that a commit failed."""
        self._commit_failed.update(partitions)

    def _why(self, offset: int, log: Log) -> str:
        delivery = log.open.get(offset)
        if delivery is None and log.index_at(offset) >= log.next:
            return f"offset {offset} was not delivered yet"
        if delivery is None:
            return f"offset {offset} is not flushed"
        if delivery.dead_letter:
            return f"the dead letter of offset {offset} is not acknowledged"
        if delivery.in_flush:
            return f"offset {offset} is in a flush that has not finished"
        return f"offset {offset} is not flushed"

    def reported(self, log: Log, timestamp_ms: int) -> None:
        """The consumer reports a timestamp of a partition.

        Raises:
            BrokenPromise: the timestamp is that of a record whose commit was not acknowledged.
        """
        highest = log.highest_below(log.acknowledged)
        if timestamp_ms > highest:
            raise BrokenPromise(
                f"reported too much: {timestamp_ms} of {log.partition}, but Kafka has acknowledged offset "
                f"{log.acknowledged} to this process, and {highest} is the highest timestamp below it"
            )
        log.reported_ms = max(log.reported_ms, timestamp_ms)
        log.highest_report_ms = max(log.highest_report_ms, timestamp_ms)

    # -- the end of an assignment and of a process --------------------------------------------------------------------

    def removed(
        self, logs: Sequence[Log], assigned: Sequence[Log], uncommitted: Collection[Partition], *, lost: bool
    ) -> None:
        """Partitions are revoked or lost.

        Args:
            assigned: all partitions that were assigned before.
            uncommitted: the partitions with a commit that is not answered.
        """
        hits = self.hits
        for log in logs:
            deliveries = log.open.values()
            if any(delivery.buffered for delivery in deliveries):
                hits[Interleaving.LOST_WITH_BUFFER if lost else Interleaving.REVOKED_WITH_BUFFER] += 1
            if any(delivery.in_flush for delivery in deliveries):
                hits[Interleaving.LOST_WITH_FLUSH if lost else Interleaving.REVOKED_WITH_FLUSH] += 1
            if log.partition in uncommitted:
                hits[Interleaving.LOST_WITH_COMMIT if lost else Interleaving.REVOKED_WITH_COMMIT] += 1
            if log.paused:
                hits[Interleaving.REMOVED_WHILE_PAUSED] += 1
        if logs and len(assigned) > len(logs):
            hits[Interleaving.OTHERS_GO_ON] += 1

    def revoked(self, log: Log) -> None:
        """The consumer has handled the revocation of a partition, and none of its commits has failed meanwhile.

        Raises:
            BrokenPromise: what is committed is not reported. The next member begins behind it, and does not report it.
        """
        records = log.records[log.index_at(log.assigned_at) : log.index_at(log.committed)]
        # The timestamp of a skipped record may be reported with that of a later one, which the next member gets.
        highest = max((one.timestamp_ms for one in records if not (log.open and one.skipped)), default=-1)
        if log.reported_ms < highest:
            raise BrokenPromise(
                f"not reported: {log.partition} was committed to {log.committed} and revoked, and {log.reported_ms} is "
                f"reported, not {highest}"
            )

    def crashed(self, assigned: Sequence[Log], *, uncommitted: bool) -> None:
        """The process ends at this moment.

        Args:
            assigned: its partitions.
            uncommitted: True if a commit is not answered.
        """
        hits, deliveries = self.hits, [delivery for log in assigned for delivery in log.open.values()]
        if any(delivery.buffered for delivery in deliveries):
            hits[Interleaving.CRASH_WITH_BUFFER] += 1
        if any(delivery.in_process for delivery in deliveries):
            hits[Interleaving.CRASH_WHILE_PROCESSING] += 1
        if any(delivery.dead_letter for delivery in deliveries):
            hits[Interleaving.CRASH_WITH_DEAD_LETTER] += 1
        if uncommitted:
            hits[Interleaving.CRASH_BEFORE_ACKNOWLEDGEMENT] += 1
        for log in assigned:
            if any(
                stored.done and not stored.skipped for stored in log.records[log.index_at(log.committed) : log.next]
            ):
                hits[Interleaving.CRASH_BEFORE_COMMIT] += 1
                return

    def not_done(self, logs: Iterable[Log]) -> str:
        """Return what a consumer should have done, if it runs undisturbed for a while; "" if nothing is missing."""
        for log in logs:
            if not log.epoch:
                return f"{log.partition} is not assigned"
            if missing := self._not_done(log, len(log.records)):
                return f"{missing}{', and the partition is paused' if log.paused else ''}"
        return ""

    def not_drained(self, received: Mapping[Log, int]) -> str:
        """Return what an ended consumer has received and not done; "" if nothing is missing.

        Args:
            received: how many records of each partition were delivered before the drain.
        """
        return next((missing for log, count in received.items() if (missing := self._not_done(log, count))), "")

    def _not_done(self, log: Log, count: int) -> str:
        """Return what is missing of the first `count` records of a partition."""
        first = log.first_not_done()
        if first is not None and first.index < count:
            return f"{log.partition} is not done: {self._why(first.offset, log)}"
        records = log.records[log.index_at(log.assigned_at) : count]
        if not records:
            return ""
        if log.committed <= records[-1].offset:
            return f"{log.partition} is done to offset {records[-1].offset}, and committed to {log.committed}"
        highest = max(stored.timestamp_ms for stored in records)
        if log.reported_ms < highest:
            return f"{log.partition} is committed to {log.committed}, and {log.reported_ms} is reported, not {highest}"
        return ""


def describe(deliveries: Sequence[Delivery]) -> str:
    """Return the partitions and offsets of records."""
    offsets: dict[Partition, list[int]] = {}
    for delivery in deliveries:
        offsets.setdefault(delivery.stored.log.partition, []).append(delivery.stored.offset)
    return ", ".join(f"{partition}@{','.join(map(str, found))}" for partition, found in offsets.items())
