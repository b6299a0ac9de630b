"""The state machine of a buffered consumer: what is flushed, retried, committed, reported and paused, and when.

No I/O, no threads, no reading of time. A driver passes in what happens, and does what `poll` returns. There are two
drivers: the consumer's own loop, and the strategy for Arroyo.

Promises, for every order of inputs:
- An offset is committed only after all records of its partition below it are done: flushed, dropped by the author's
  function, or acknowledged by the dead-letter topic.
- A timestamp is reported only after Kafka acknowledged a commit that covers its record.
- After a partition was revoked or lost, no result of its earlier records changes anything.
- The buffer is bounded: `room` is 0 while it is full.
"""

import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from clocksvc.client.consumer.actions import (
    Action,
    Commit,
    Drained,
    Fail,
    Pause,
    Report,
    Resume,
    SendDeadLetter,
    StartFlush,
)
from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.batches import Batch, BufferedRecord, OpenBatch
from clocksvc.client.consumer.buffer_bound import BufferBound
from clocksvc.client.consumer.commits import Commits
from clocksvc.client.consumer.flushes import Flush, FlushSlots
from clocksvc.client.consumer.letters import Letter, Letters
from clocksvc.client.consumer.pauses import AHEAD, BUFFER_FULL, DRAINING, Pauses
from clocksvc.client.consumer.plan import MachineOptions
from clocksvc.client.consumer.watermark import Timestamps
from clocksvc.clock.partition import Partition
from clocksvc.errors import ConsumerFailed
from clocksvc.interfaces.dead_letters import Cause, cause_of

Item = TypeVar("Item")

AHEAD_COMMIT_S = 0.1
"""The longest interval of commits while partitions that run ahead are paused, because they wait for reports, which
follow commits. For the same reason, a batch that gets no items for this time is flushed then."""


class ConsumerMachine(Generic[Item]):
    """The state of one consumer. Not thread-safe.

    Time passes only in `poll`: inputs happen at the time of the last `poll`.

    Attributes:
        pauses: the paused partitions by reason. Other parts of a consumer add reasons of their own.
        buffer: the size of the buffer.
        read_ms: the highest timestamp of the received records of each assigned partition, from the first record until
            all received ones are reported. Empty without a reporter.

    Args:
        options: see MachineOptions.
        rng: the source of random numbers for the jitter of retries.
    """

    def __init__(self, options: MachineOptions, rng: random.Random | None = None) -> None:
        rng = rng or random.Random()
        self.pauses = Pauses()
        self.buffer = BufferBound(options.buffer_records, options.buffer_bytes)
        self.read_ms: dict[tuple[str, int], int] = {}
        self._options = options
        self._tokens = itertools.count(1)
        self._assignments: dict[Partition, Assignment] = {}
        self._slots: FlushSlots[Item] = FlushSlots(options.slots, options.retry, options.dead_letters, rng)
        self._letters = Letters(options.retry, rng)
        self._open = OpenBatch[Item](options.batch, options.dead_letters, self._tokens.__next__, self._slots.add)
        self._now = self._grown_at = 0.0
        self._draining = self._failed = self._drained = False
        self._error: Exception | None = None
        self._with_letters: dict[int, Batch[Item]] = {}
        self._commits = Commits(self._assignments, options.commit_interval_s)

    # -- partitions ---------------------------------------------------------------------------------------------------

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """These partitions were assigned. An earlier assignment of the same partition has ended."""
        partitions = list(partitions)
        self.removed(partition for partition in partitions if partition in self._assignments)
        for partition in partitions:
            self._assignments[partition] = Assignment(partition)
        self.pauses.assigned(partitions)

    def assignment(self, partition: Partition) -> Assignment | None:
        """Return the present assignment of a partition; None if it is not assigned."""
        return self._assignments.get(partition)

    def flush_buffer(self) -> None:
        """Cut the open batch now: partitions are about to be revoked."""
        self._open.cut()

    def are_done(self, partitions: Iterable[Partition]) -> bool:
        """True if all received records of these partitions are done. They are not necessarily committed."""
        found = (self._assignments.get(partition) for partition in partitions)
        return all(one is None or one.watermark.idle for one in found)

    def take_commit(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the offsets of these partitions that are done and not committed. The driver commits them.

        An offset whose commit is in progress is returned again, because its answer may come too late or never.
        Use this before partitions are revoked. Otherwise `poll` returns commits.
        """
        return self._commits.take(partitions)

    def removed(self, partitions: Iterable[Partition]) -> None:
        """These partitions were revoked or lost. What is not committed of them is discarded."""
        partitions = list(partitions)
        for partition in partitions:
            assignment = self._assignments.pop(partition, None)
            if assignment is not None:
                assignment.active = False
            self.read_ms.pop(partition, None)
        self._commits.remove(partitions)
        self.pauses.removed(partitions)
        open_batch = self._open.batch
        if open_batch is not None:
            open_batch.remove_inactive()
            if not open_batch.items:
                self._open.batch = None
                self._finish(open_batch)
        for batch in self._slots.take_emptied():
            self._finish(batch)
        for letter in self._letters.remove_inactive():
            self._end_letter(letter)

    # -- records ------------------------------------------------------------------------------------------------------

    @property
    def accepting(self) -> bool:
        """False after `drain`, or after an error that ends the consumer. Records are ignored then."""
        return not self._draining

    @property
    def room(self) -> int:
        """How many more records fit into the buffer, by the average size of the last ones. 0 if it is full."""
        return 0 if self._draining else self.buffer.room

    def received(
        self,
        assignment: Assignment,
        items: Sequence[Item],
        records: Sequence[BufferedRecord],
        end: int,
        timestamps: Timestamps | None,
    ) -> bool:
        """Consecutive records of one partition were received and processed.

        Args:
            assignment: the assignment of the partition when the records were received.
            items: the items that the author's function returned, in the order of the offsets.
            records: the record of each item. Records without an item, such as heartbeats, are left out.
            end: the offset after the last record, including those without an item.
            timestamps: the timestamps of all of these records, including those without an item. None if there is no
                reporter.

        Returns:
            False if the records were ignored, because the assignment has ended, or the consumer ends.
        """
        if self._draining or not assignment.active:
            return False
        self.note_read(assignment, timestamps)
        if not items:
            self._commits.moved |= assignment.watermark.pass_over(end, timestamps)
            return True
        size = self._open.add(assignment, items, records, end, timestamps, self._now)
        self.buffer.grow(len(items), size)
        self._grown_at = self._now
        return True

    def poisoned(self, assignment: Assignment, record: Any, cause: Cause, timestamps: Timestamps | None) -> bool:
        """The author's function raised for a record. It is sent to the dead-letter topic, or the consumer ends.

        Returns:
            False if the record was ignored, because the assignment has ended, or the consumer ends.
        """
        if self._draining or not assignment.active:
            return False
        self.note_read(assignment, timestamps)
        token = next(self._tokens)
        assignment.watermark.extend(token, record.offset() + 1, timestamps)
        if not self._options.dead_letters:
            # The token is never done, so nothing behind this record is committed.
            self._fail(f"the record at offset {record.offset()} of {assignment.partition} can't be processed", cause)
            return True
        self.buffer.grow(1, len(record))
        self._letters.add(Letter(assignment, record, cause, token), self._now)
        return True

    def note_read(self, assignment: Assignment, timestamps: Timestamps | None) -> None:
        """Records with these timestamps were read. `received` and `poisoned` do this, too."""
        if timestamps is not None and timestamps.highest_ms > self.read_ms.get(assignment.partition, -1):
            self.read_ms[assignment.partition] = timestamps.highest_ms

    # -- results ------------------------------------------------------------------------------------------------------

    def flush_succeeded(self, flush_id: int) -> None:
        """A flush is done: its effects are durable. Unknown ids are ignored."""
        flush = self._slots.running.pop(flush_id, None)
        if flush is not None:
            self._after_attempt(flush, ended=flush.succeed(self._now))

    def flush_failed(self, flush_id: int, error: BaseException) -> None:
        """A flush raised. It is retried, searched for the items that fail, or the consumer ends."""
        flush = self._slots.running.pop(flush_id, None)
        if flush is not None:
            self._after_attempt(flush, ended=flush.fail(error, self._now))

    def dead_letter_delivered(self, letter_id: int) -> None:
        """A dead letter was acknowledged by all in-sync replicas. Unknown ids are ignored."""
        letter = self._letters.delivered(letter_id)
        if letter is not None:
            self._end_letter(letter)

    def dead_letter_failed(self, letter_id: int, reason: str) -> None:
        """A dead letter was not delivered. It is sent again, or the consumer ends."""
        letter = self._letters.failed(letter_id, self._now)
        if letter is not None:
            self._letters.clear()
            where = f"the record at offset {letter.record.offset()} of {letter.assignment.partition}"
            self._fail(f"{where} can't be sent to the dead-letter topic: {reason}", letter.cause)

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Kafka acknowledged a commit of these offsets."""
        self._commits.acknowledge(offsets)

    def commit_failed(self, offsets: Mapping[Partition, int]) -> None:
        """A commit of these offsets was rejected, or its outcome is not known. They are committed again."""
        self._commits.fail(offsets, self._now)

    def _after_attempt(self, flush: Flush[Item], *, ended: bool) -> None:
        batch = flush.batch
        if not ended:
            self._slots.retry(flush)
            return
        if flush.stops_consumer and flush.error is not None:
            self._slots.close()
            self._fail(f"{len(batch.items)} items can't be flushed", cause_of(flush.error))
            return
        letters = [given for given in flush.given_up() if given.assignment.active]
        for assignment, record, error in letters:
            self._letters.add(Letter(assignment, record, cause_of(error), batch.token), self._now)
        if letters:
            self._with_letters[batch.token] = batch
        else:
            self._finish(batch)

    def _end_letter(self, letter: Letter) -> None:
        if not self._letters.is_done(letter.token):
            return
        batch = self._with_letters.pop(letter.token, None)
        if batch is not None:
            self._finish(batch)
            return
        self.buffer.shrink(1, len(letter.record))
        self._commits.moved |= letter.assignment.watermark.done(letter.token)

    def _finish(self, batch: Batch[Item]) -> None:
        for span in batch.spans:
            self._commits.moved |= span.assignment.watermark.done(batch.token)
        self.buffer.shrink(batch.added, batch.bytes)

    # -- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Accept no more records, and flush and commit what was received. `poll` returns Drained when this is done."""
        self._draining = True

    def _fail(self, text: str, cause: Cause) -> None:
        self._draining = True
        if self._error is None:
            self._error = ConsumerFailed(f"{text}: {cause.exception}: {cause.message}")
            self._error.__cause__ = cause.error

    # -- actions ------------------------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Action[Item]]:
        """Return what the driver must do now, in this order. Call this after every input, and when `due_at` is reached.

        Args:
            now: the present time in seconds, of a clock that never goes back.
        """
        self._now = now
        actions: list[Action[Item]] = []
        if reports := self._commits.take_reports():
            actions.append(Report(reports))
            for partition in reports:
                if self._assignments[partition].all_committed:
                    self.read_ms.pop(partition, None)
        if now >= self._cut_at:
            self._open.cut()
        for flush_id, flush, items in self._slots.start_due(now):
            if items:
                actions.append(StartFlush(flush_id, items))
            else:
                self._after_attempt(flush, ended=True)
        if self._error is not None and not self._failed:
            self._failed = True
            actions.append(Fail(self._error))
        for letter_id, letter in self._letters.take_due(now):
            actions.append(SendDeadLetter(letter_id, letter.record, letter.cause))
        interval_s = self._options.commit_interval_s
        self._commits.interval_s = min(interval_s, AHEAD_COMMIT_S) if self.pauses.wants(AHEAD) else interval_s
        if offsets := self._commits.begin_due(now, at_once=self._draining):
            actions.append(Commit(offsets))
        self._pause_or_resume(now, actions)
        if self._draining and not self._drained and self._is_drained():
            self._drained = True
            actions.append(Drained())
        return actions

    @property
    def due_at(self) -> float:
        """When `poll` must be called next, in seconds, unless there is an input before; infinity for never."""
        times = [self._slots.due_at, self._letters.due_at, self._commits.due_at, self.buffer.due_at, self._cut_at]
        return min((at for at in times if at is not None), default=math.inf)

    @property
    def _cut_at(self) -> float:
        """When the open batch must be cut; infinity if it is empty, or has to wait for a slot."""
        due_at = self._open.due_at
        if due_at is None or not (self._slots.free or self._draining):
            return math.inf
        if self.pauses.wants(AHEAD):
            due_at = min(due_at, self._grown_at + AHEAD_COMMIT_S)
        # If the buffer is full, the batch can't grow, and perhaps no other flush is in progress that would make room.
        return due_at if self.room else self._now

    def _pause_or_resume(self, now: float, actions: list[Action[Item]]) -> None:
        pauses = self.pauses
        self.buffer.update(now)
        pauses.set(BUFFER_FULL, self._assignments if self.buffer.paused else ())
        pauses.set(DRAINING, self._assignments if self._draining else ())
        to_pause, to_resume = pauses.take_changes()
        if to_pause:
            actions.append(Pause(to_pause))
        if to_resume:
            actions.append(Resume(to_resume))

    @property
    def partitions(self) -> int:
        """The number of assigned partitions."""
        return len(self._assignments)

    @property
    def oldest_since(self) -> float:
        """When the oldest item that is not flushed was added; infinity if there is none."""
        batches = [*self._unflushed(), *self._with_letters.values()]
        return min((batch.since for batch in batches), default=math.inf)

    def first_unflushed(self, partition: Partition) -> int | None:
        """Return the lowest offset of a partition in batches whose flush has not ended; None if there is none.

        Known only if there is a dead-letter topic, because records are not kept otherwise.
        """
        offsets = (
            record.offset()
            for batch in self._unflushed()
            for record, assignment in zip(batch.records, batch.assignments(), strict=True)
            if assignment.partition == partition
        )
        return min(offsets, default=None)

    def _unflushed(self) -> list[Batch[Item]]:
        batches = self._slots.batches()
        if self._open.batch is not None:
            batches.append(self._open.batch)
        return batches

    @property
    def uncommitted_records(self) -> int:
        """The sum over all assigned partitions: see `Assignment.uncommitted_records`."""
        return sum(assignment.uncommitted_records for assignment in self._assignments.values())

    @property
    def flush_waiting(self) -> bool:
        """True while a full batch waits until another flush ends."""
        return bool(self._slots.waiting)

    @property
    def busy(self) -> bool:
        """True while an answer is outstanding: of a flush, a commit or a dead letter."""
        return bool(self._slots.running or self._commits.awaiting or not self._letters.empty)

    @property
    def paused(self) -> bool:
        """True while all partitions are paused, because the buffer is full or the consumer ends."""
        return self.buffer.paused or self._draining

    def _is_drained(self) -> bool:
        return self._open.batch is None and self._slots.empty and self._letters.empty and self._commits.empty
