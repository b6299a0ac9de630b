"""The state machine of a buffered consumer, for a strategy of Arroyo: no Kafka, and flushes in an executor.

Everything outside of it is a constructor parameter, so that tests replace it without patches.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from arroyo.types import BrokerValue

from clocksvc.client.arroyo.partition_progress import timestamp_ms
from clocksvc.client.consumer.actions import Commit, Fail, SendDeadLetter, StartFlush
from clocksvc.client.consumer.flush_threads import FlushExecutor
from clocksvc.client.consumer.loop import CHECK_INTERVAL_S, NO_STATE
from clocksvc.client.consumer.machine import ConsumerMachine
from clocksvc.client.consumer.plan import LoopOptions
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.time import Time
from clocksvc.runtime.repeated_lines import RepeatedLines

logger = logging.getLogger("clocksvc.arroyo")
Item = TypeVar("Item")


Entry: TypeAlias = tuple[Any, datetime | None]
"""An item in the buffer, with the timestamp of its record."""


class StrategyRecord:
    """A message of Arroyo as the state machine reads it."""

    __slots__ = ("partition", "value")

    def __init__(self, partition: Partition, value: BrokerValue[Any]) -> None:
        self.partition, self.value = partition, value

    def offset(self) -> int:
        return self.value.offset

    def timestamp(self) -> tuple[int, int]:
        return 0, timestamp_ms(self.value)  # Arroyo does not have the type of a timestamp

    def __len__(self) -> int:
        payload = self.value.payload
        payload = getattr(payload, "value", payload)
        return len(payload) if isinstance(payload, bytes | bytearray | memoryview | str) else 1


class Letter(NamedTuple):
    """A record that can't be processed."""

    letter_id: int
    record: StrategyRecord
    reason: str


class Done(NamedTuple):
    """What the next strategy gets.

    Attributes:
        items: the items that were flushed since the last one, in the order in which their flushes ended.
        offsets: the offsets below which all records are done.
        timestamp: the timestamp of the last item's record.
    """

    items: list[Any]
    offsets: Mapping[Partition, int]
    timestamp: datetime | None


class _Running(NamedTuple):
    started_at: float
    entries: list[Entry]
    assignment: int


class StrategyCore(Generic[Item]):
    """Fills and flushes batches. It is used for all assignments, so a late flush of an earlier one is recognized.

    Attributes:
        machine: the state machine.
        error: why nothing can be flushed any more; None if flushes are possible.

    Args:
        flush: called with a batch, or with a batch and the state. It runs in the executor.
        state: creates the state that `flush` gets and returns; None if there is none.
        options: see LoopOptions.
        executor: runs the flushes.
        time: the source of the time.
        rng: the source of random numbers for the jitter of retries.
    """

    def __init__(
        self,
        flush: Callable[..., Any],
        state: Callable[[], Any] | None,
        options: LoopOptions,
        executor: FlushExecutor,
        time: Time,
        rng: random.Random,
    ) -> None:
        self.machine: ConsumerMachine[Entry] = ConsumerMachine(options.machine, rng)
        self.time = time
        self.error: Exception | None = None
        self._flush, self._options, self._executor = flush, options, executor
        self._state = NO_STATE if state is None else state()
        self._running: dict[int, _Running] = {}
        self._assignment = 0
        self._flushed: list[Entry] = []
        self._offsets: dict[Partition, int] = {}
        self._letters: list[Letter] = []
        self._check_at = time.monotonic()
        self._lines = RepeatedLines(logger)

    def step(self, timeout_s: float = 0.0) -> None:
        """Pass the outcomes of flushes to the machine, and do what it returns.

        Blocks for up to `timeout_s` until there is an outcome.

        Raises:
            ConsumerFailed: items can't be flushed.
        """
        for flush_id, result, error in self._executor.finished(timeout_s):
            _, entries, assignment = self._running.pop(flush_id)
            if error is None:
                if self._state is not NO_STATE:
                    self._state = result
                if assignment == self._assignment:
                    self._flushed += entries
                self.machine.flush_succeeded(flush_id)
            else:
                text = "flush of %d items failed: %s: %s"
                self._log(logging.WARNING, "flush", text, len(entries), type(error).__name__, error)
                self.machine.flush_failed(flush_id, error)
        now = self.time.monotonic()
        for action in self.machine.poll(now):
            match action:
                case StartFlush(flush_id, batch):
                    self._running[flush_id] = _Running(now, batch, self._assignment)
                    items = [item for item, _ in batch]
                    arguments = (items,) if self._state is NO_STATE else (items, self._state)
                    self._executor.submit(flush_id, partial(self._flush, *arguments))
                case Commit(offsets):
                    self._offsets.update(offsets)
                case SendDeadLetter(letter_id, record, cause):
                    self._letters.append(Letter(letter_id, record, f"{cause.exception}: {cause.message}"))
                case Fail(error):
                    self.error = error
                    logger.error("the pipeline ends: %s", error)
        if now >= self._check_at:
            self._check_at = now + CHECK_INTERVAL_S
            self._log_stuck_flushes(now)
        if self.error is not None:
            raise self.error

    # -- what is done -------------------------------------------------------------------------------------------------

    def done(self) -> Done | None:
        """Return what the next strategy must get; None if there is nothing to commit. Call `accept` afterwards."""
        if not self._offsets:
            return None
        timestamp = self._flushed[-1][1] if self._flushed else None
        return Done([item for item, _ in self._flushed], dict(self._offsets), timestamp)

    def accept(self) -> None:
        """The next strategy has accepted what `done` returned."""
        offsets, self._offsets, self._flushed = self._offsets, {}, []
        self.machine.committed(offsets)

    # -- dead letters -------------------------------------------------------------------------------------------------

    def take_letter(self) -> Letter | None:
        """Return the next record for the dead-letter queue, and count it as done; None if there is none now.

        The records of a partition come in the order of their offsets, because Arroyo drops the messages in front of an
        invalid one from its buffer.
        """
        lowest: dict[Partition, Letter] = {}
        for letter in self._letters:
            known = lowest.get(letter.record.partition)
            if known is None or letter.record.offset() < known.record.offset():
                lowest[letter.record.partition] = letter
        for partition, letter in lowest.items():
            first = self.machine.first_unflushed(partition)
            if first is None or letter.record.offset() < first:
                self._letters.remove(letter)
                self.machine.dead_letter_delivered(letter.letter_id)
                return letter
        return None

    # -- assignments --------------------------------------------------------------------------------------------------

    def are_passed_on(self, partitions: Sequence[Partition]) -> bool:
        """True if all records of these partitions are done, and the next strategy has accepted them."""
        return self.machine.are_done(partitions) and not self._offsets

    def take_rest(self, partitions: Sequence[Partition]) -> None:
        """Make `done` return all that is done, without waiting for the next commit."""
        self._offsets.update(self.machine.take_commit(partitions))

    def end(self, partitions: Sequence[Partition]) -> None:
        """End the assignments of all partitions that have begun. Late results of their records are ignored."""
        self.machine.removed(partitions)
        self._letters = [letter for letter in self._letters if letter.record.partition not in partitions]
        for partition in partitions:
            self._offsets.pop(partition, None)
        self._flushed = []
        self._assignment += 1

    def close(self) -> None:
        """End the threads after their present flush. Does not block."""
        self._executor.close()

    # -- stuck flushes ------------------------------------------------------------------------------------------------

    def _log_stuck_flushes(self, now: float) -> None:
        for flush_id, (started_at, entries, _) in self._running.items():
            if now - started_at >= self._options.stuck_after_s:
                text = "a flush of %d items has run for %.0f s. Its stack:\n%s"
                stack = self._executor.stack(flush_id)
                self._log(logging.ERROR, f"stuck {flush_id}", text, len(entries), now - started_at, stack)

    def _log(self, level: int, state: str, message: str, *args: object) -> None:
        self._lines.log(self.time.monotonic(), level, state, message, *args)
