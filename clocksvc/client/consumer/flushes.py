"""Which batches are flushed, retried, or searched for the records that make the flush fail. No I/O, no reading of time.

A batch has a slot from its first attempt until each of its items is flushed or given up. A failed attempt is repeated
after a back-off. When the attempts are exhausted, and there is a dead-letter topic, the batch is split into halves, and
these again, until the items that fail are alone. They are given up, and all others are flushed.

If no item of a batch can be flushed, the cause is not a record: the sink does not work, for example. Then nothing is
given up, and the consumer stops with the error. A batch of one item is given up, because it can't be compared.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.batches import Batch, BufferedRecord
from clocksvc.client.consumer.retry import RetryPolicy

Item = TypeVar("Item")

FAILED_ALONE = 3
"""A search ends when this many items have failed alone, and no other item of their batch could be flushed."""


class GivenUp(NamedTuple):
    """The record of an item that could not be flushed."""

    assignment: Assignment
    record: BufferedRecord
    error: BaseException


class Flush(Generic[Item]):
    """One batch that has a slot.

    Attributes:
        batch: the batch.
        attempt: the number of the present or next attempt, from 1. Attempts with a part of the batch count, too.
        due_at: when the next attempt is due, in seconds.
        started_at: when the present or last attempt began, in seconds.
        error: the error of the last failed attempt.

    Args:
        retry: the attempts with all items of the batch.
        search: True to search the batch for the items that fail, after the last of these attempts.
        rng: the source of random numbers for the jitter of retries.
        now: the present time in seconds.
    """

    def __init__(self, batch: Batch[Item], retry: RetryPolicy, search: bool, rng: random.Random, now: float) -> None:
        self.batch = batch
        self.attempt = 1
        self.due_at = self.started_at = now
        self.error: BaseException | None = None
        self._retry, self._search, self._rng = retry, search, rng
        self._any_flushed = False
        self._assignments: list[Assignment] | None = None  # of each item; None unless the batch is searched
        self._parts: list[Sequence[int]] = []
        self._failed_alone: list[tuple[int, BaseException]] = []

    @property
    def stops_consumer(self) -> bool:
        """True if the batch can't be flushed, and the cause is not a record. Call this after the last attempt."""
        if self._any_flushed:
            return False
        active = sum(span.length for span in self.batch.spans if span.assignment.active)
        return active > (1 if self._search else 0)

    def start(self, now: float) -> list[Item]:
        """Begin an attempt. Returns the items to flush; [] if their partitions have all been revoked or lost."""
        self.started_at = now
        if self._assignments is None:
            self.batch.remove_inactive()
            self._parts = [range(len(self.batch.items))]
            return self.batch.items[:]  # a copy: the author may change it
        while self._parts:
            self._parts[-1] = [index for index in self._parts[-1] if self._assignments[index].active]
            if self._parts[-1]:
                return [self.batch.items[index] for index in self._parts[-1]]
            self._parts.pop()
        return []

    def succeed(self, now: float) -> bool:
        """The attempt succeeded. Returns True if it was the last one."""
        self._any_flushed = True
        self._parts.pop()
        return self._is_last(now)

    def fail(self, error: BaseException, now: float) -> bool:
        """The attempt failed. Returns True if it was the last one."""
        self.error = error
        if self._assignments is None:
            if not self._retry.exhausted(self.attempt):
                self.due_at = now + self._retry.delay_s(self.attempt, self._rng)
                self.attempt += 1
                return False
            if not self._search:
                return True
            self._assignments = self.batch.assignments()
        part = self._parts.pop()
        if len(part) > 1:
            middle = len(part) // 2
            self._parts += [part[middle:], part[:middle]]
        elif self._assignments[part[0]].active:
            self._failed_alone.append((part[0], error))
            if len(self._failed_alone) == FAILED_ALONE and not self._any_flushed:
                return True
        return self._is_last(now)

    def given_up(self) -> Sequence[GivenUp]:
        """Return the items that failed alone. Call this after the last attempt."""
        if self._assignments is None:
            return ()
        assignments, records = self._assignments, self.batch.records
        return [GivenUp(assignments[index], records[index], error) for index, error in self._failed_alone]

    def _is_last(self, now: float) -> bool:
        self.attempt += 1
        self.due_at = now
        return not self._parts


class FlushSlots(Generic[Item]):
    """The batches that wait for a slot, and those that have one.

    Attributes:
        waiting: full batches, in the order in which they were cut.
        running: the attempts in progress, by their ids.
        delayed: the flushes that wait for their next attempt.

    Args:
        slots: the number of batches that are flushed at the same time.
        retry, search, rng: see Flush.
    """

    def __init__(self, slots: int, retry: RetryPolicy, search: bool, rng: random.Random) -> None:
        self.waiting: deque[Batch[Item]] = deque()
        self.running: dict[int, Flush[Item]] = {}
        self.delayed: list[Flush[Item]] = []
        self._slots, self._retry, self._search, self._rng = slots, retry, search, rng
        self._last_id = 0
        self._closed = False

    @property
    def free(self) -> bool:
        """True if one more batch could be flushed now."""
        return len(self.running) + len(self.delayed) + len(self.waiting) < self._slots and not self._closed

    @property
    def empty(self) -> bool:
        """True if no batch is waiting or has a slot."""
        return not (self.waiting or self.running or self.delayed)

    @property
    def due_at(self) -> float | None:
        """When the next attempt is due; None if none is."""
        return min((flush.due_at for flush in self.delayed), default=None)

    def start_due(self, now: float) -> Iterator[tuple[int, Flush[Item], list[Item]]]:
        """Begin all attempts that are due. Yields the id, the flush and its items; [] if it has no items any more."""
        due = [flush for flush in self.delayed if flush.due_at <= now]
        if due:
            self.delayed = [flush for flush in self.delayed if flush.due_at > now]
        while self.waiting and len(self.running) + len(self.delayed) + len(due) < self._slots and not self._closed:
            due.append(Flush(self.waiting.popleft(), self._retry, self._search, self._rng, now))
        for flush in due:
            self._last_id += 1
            items = flush.start(now)
            if items:
                self.running[self._last_id] = flush
            yield self._last_id, flush, items

    def batches(self) -> list[Batch[Item]]:
        """Return all batches that are waiting or have a slot."""
        return [*self.waiting, *(flush.batch for flush in (*self.running.values(), *self.delayed))]

    def add(self, batch: Batch[Item]) -> None:
        """Add a full batch."""
        if not self._closed:
            self.waiting.append(batch)

    def retry(self, flush: Flush[Item]) -> None:
        """Begin a further attempt when it is due."""
        if not self._closed:
            self.delayed.append(flush)

    def take_emptied(self) -> list[Batch[Item]]:
        """Remove the items of assignments that have ended from batches that wait. Returns the batches without items."""
        for batch in self.waiting:
            batch.remove_inactive()
        emptied = [batch for batch in self.waiting if not batch.items]
        if emptied:
            self.waiting = deque(batch for batch in self.waiting if batch.items)
        return emptied

    def close(self) -> None:
        """Begin no more attempts. Those in progress can still end."""
        self._closed = True
        self.waiting.clear()
        self.delayed.clear()
