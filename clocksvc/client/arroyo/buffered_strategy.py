"""A buffer with flushes in threads, as a strategy of Arroyo."""

import logging
import random
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

from arroyo.dlq import InvalidMessage
from arroyo.processing.strategies import (
    CommitOffsets,
    MessageRejected,
    ProcessingStrategy,
    ProcessingStrategyFactory,
)
from arroyo.types import BrokerValue, Commit, FilteredPayload, Message, Partition, Topic, Value

from clocksvc.client.arroyo.partition_progress import ContiguousOffsets
from clocksvc.client.arroyo.strategy_core import Entry, StrategyCore, StrategyRecord
from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.batches import BatchLimits
from clocksvc.client.consumer.flush_threads import FlushThreads
from clocksvc.client.consumer.loop import BUSY_WAIT_S
from clocksvc.client.consumer.plan import ConsumerPlan, LoopOptions, MachineOptions
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.clock import partition as clock
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.dead_letters import cause_of
from clocksvc.interfaces.time import SystemTime

logger = logging.getLogger("clocksvc.arroyo")
Item = TypeVar("Item")

STEP_AFTER_S = 0.005
STEP_AFTER_POLLS = 200
"""While messages are submitted, they go to the state machine only after this time, or this number of polls."""
_RETRY = RetryPolicy()


class BufferedStrategyFactory(ProcessingStrategyFactory[Any], Generic[Item]):
    """Strategies that buffer messages and flush them in threads, while the next batch is filled.

        def process(message):          # called for each message; returns an item, or None to drop the message
            return json.loads(message.payload.value)

        def flush(batch):              # called with a list of items; they are durable when it returns
            database.insert(batch)

        ReportingStreamProcessor(consumer, topic, BufferedStrategyFactory(process, flush), reporter=reporter)

    It has the state machine of `clocksvc.consumer.BufferedConsumer`: batches by count, bytes and age, concurrent
    flushes, retries, a state, and a committed offset that never passes a message that is not done. Invalid and filtered
    messages of steps in front of it keep their place.

    The factory can be used as it is: then offsets are committed after the flush. For a pipeline with other steps, call
    `strategy(next_step)` in `create_with_partitions` of your own factory, and `shutdown` in its `shutdown`. Use one
    factory for each StreamProcessor. Steps in front of the buffer must not combine messages.

    Args:
        process: called in the main thread with Arroyo's message. Returns an item for `flush`, or None.
        flush: called in a thread with a list of items, and with the state if there is one. Its effects must be durable
            when it returns, and idempotent, because a batch, or a part of it, can be flushed again. If it raises, it is
            called again: see `retry`. After the last attempt, the error ends the StreamProcessor.
        state: creates the state. `flush(batch, state)` returns the next state. With a state, flushes run one at a time
            and in order.
        batch_records, batch_bytes, batch_seconds: a batch is flushed when it has this many items, or this many bytes of
            message values, or when its first item is this old.
        concurrent_flushes: how many batches are flushed at the same time.
        buffer_records, buffer_bytes: the bounds of the buffer, in messages and in bytes of their values. If it is full,
            `submit` raises MessageRejected, and the StreamProcessor waits.
        retry: the attempts of `flush`, and the delays in between.
        dead_letters: True if the StreamProcessor has a `dlq_policy`. Then InvalidMessage is raised for a message for
            which `process` raises. If `flush` fails until its last attempt, the batch is searched for the items that
            fail, and InvalidMessage is raised for their messages. If False, each error ends the StreamProcessor, except
            an InvalidMessage of `process`.
        stuck_after_seconds: if a flush runs longer than this, its stack is logged.

    Attributes:
        plan: the functions and options, for tests.

    Raises:
        InvalidValue: an argument is not valid.
    """

    def __init__(
        self,
        process: Callable[[Message[Any]], Item | None],
        flush: Callable[..., Any],
        *,
        state: Callable[[], Any] | None = None,
        batch_records: int = 1_000,
        batch_bytes: int = 4 * 2**20,
        batch_seconds: float = 1.0,
        concurrent_flushes: int = 4,
        buffer_records: int = 100_000,
        buffer_bytes: int = 64 * 2**20,
        retry: RetryPolicy = _RETRY,
        dead_letters: bool = False,
        stuck_after_seconds: float = 60.0,
    ) -> None:
        options = LoopOptions(
            machine=MachineOptions(
                batch=BatchLimits(batch_records, batch_bytes, batch_seconds),
                buffer_records=buffer_records,
                buffer_bytes=buffer_bytes,
                slots=1 if state is not None else concurrent_flushes,
                retry=retry,
                dead_letters=dead_letters,
                commit_interval_s=0.0,
            ),
            revoke_timeout_s=0.0,
            drain_timeout_s=0.0,
            stuck_after_s=stuck_after_seconds,
        )
        options.check()
        self.plan: ConsumerPlan[Item] = ConsumerPlan(
            topics=(), process=process, flush=flush, state=state, options=options
        )
        self._strategy: BufferedStrategy[Item] | None = None

    @cached_property
    def _core(self) -> StrategyCore[Item]:
        plan = self.plan
        executor = FlushThreads(plan.options.machine.slots)
        return StrategyCore(plan.flush, plan.state, plan.options, executor, SystemTime(), random.Random())

    def create_with_partitions(self, commit: Commit, partitions: Mapping[Partition, int]) -> "BufferedStrategy[Item]":
        return self.strategy(CommitOffsets(commit))

    def strategy(self, next_step: ProcessingStrategy[Any]) -> "BufferedStrategy[Item]":
        """Return the strategy of one assignment. It replaces the one before.

        Args:
            next_step: gets messages whose payload is the list of the items that were flushed since the message before,
                in the order in which their flushes ended. All messages below the offsets of `committable` are done.
        """
        if self._strategy is not None:
            self._strategy.forget()
        self._strategy = BufferedStrategy(self._core, self.plan, next_step)
        return self._strategy

    def shutdown(self) -> None:
        """End the threads after their present flush. Does not block."""
        self._core.close()


class BufferedStrategy(ProcessingStrategy[Any], Generic[Item]):
    """The strategy of one assignment. BufferedStrategyFactory creates it.

    Args:
        core: the state machine and the executor of all assignments.
        plan: the author's functions.
        next_step: see `BufferedStrategyFactory.strategy`.
    """

    def __init__(self, core: StrategyCore[Item], plan: ConsumerPlan[Item], next_step: ProcessingStrategy[Any]) -> None:
        self._core, self._next_step, self._time = core, next_step, core.time
        self._process = plan.process
        self._dead_letters = plan.options.machine.dead_letters
        self._partitions: list[clock.Partition] = []
        self._closed = self._blocked = self._submitted = False
        self._polls = 0
        self._step_at = core.time.monotonic()
        self._room = core.machine.room
        self._partition = clock.Partition("", -1)
        self._assignment = Assignment(self._partition)
        self._entries: list[Entry] = []
        self._records: list[StrategyRecord] = []
        self._end = 0

    # -- messages -----------------------------------------------------------------------------------------------------

    def submit(self, message: Message[Any]) -> None:
        assert not self._closed
        if self._blocked or self._room <= 0:
            raise MessageRejected
        self._submitted = True
        if isinstance(message.payload, FilteredPayload):
            for partition, next_offset in message.committable.items():
                self._begin_run(partition)
                if next_offset > (self._assignment.watermark.received or 0):
                    self._end = next_offset
            return
        value = message.value
        if not isinstance(value, BrokerValue):
            wanted = "wanted a message of one record: a step in front of the buffer combines messages"
            raise InvalidValue("message", message, wanted)
        partition = value.partition
        if partition.index != self._partition.number or partition.topic.name != self._partition.topic:
            self._begin_run(partition)
        try:
            item = self._process(message)
        except Exception as error:
            if self._dead_letters:
                self._poison(value, error)
                return
            if isinstance(error, InvalidMessage):
                self._end = value.next_offset
                error.needs_commit = False
            raise
        self._end = value.next_offset
        if item is not None:
            self._room -= 1
            self._entries.append((item, value.timestamp))
            self._records.append(StrategyRecord(self._partition, value))

    def _begin_run(self, partition: Partition) -> None:
        """Begin consecutive messages of a partition. They go to the state machine together."""
        self._end_run()
        own = self._partition = clock.Partition(partition.topic.name, partition.index)
        if own not in self._partitions:
            self._partitions.append(own)
            self._core.machine.assigned([own])
        assignment = self._core.machine.assignment(own)
        assert assignment is not None
        self._assignment = assignment

    def _end_run(self) -> None:
        if self._end:
            self._core.machine.received(self._assignment, self._entries, self._records, self._end, None)
            self._entries, self._records, self._end = [], [], 0

    def _poison(self, value: BrokerValue[Any], error: Exception) -> None:
        self._end_run()
        self._room -= 1
        cause = cause_of(error)
        if isinstance(error, InvalidMessage) and error.reason is not None:
            cause = cause._replace(message=error.reason)
        self._core.machine.poisoned(self._assignment, StrategyRecord(self._partition, value), cause, None)

    # -- the loop -----------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        self._polls += 1
        now = self._time.monotonic()
        if self._submitted and self._polls < STEP_AFTER_POLLS and now < self._step_at:
            self._submitted = False
            return
        self._polls, self._step_at, self._submitted = 0, now + STEP_AFTER_S, False
        self._step()

    def _step(self) -> None:
        self._end_run()
        self._core.step()
        self._pass_on()
        self._room = self._core.machine.room
        self._next_step.poll()
        self._raise_invalid()

    def _pass_on(self) -> None:
        """Submit what is done to the next step. If it has no room, this is tried again."""
        done = self._core.done()
        if done is None:
            return
        offsets = ContiguousOffsets(
            (Partition(Topic(topic), number), offset) for (topic, number), offset in done.offsets.items()
        )
        try:
            self._next_step.submit(Message(Value(done.items, offsets, done.timestamp)))
        except MessageRejected:
            self._blocked = True
        else:
            self._blocked = False
            self._core.accept()

    def _raise_invalid(self) -> None:
        letter = self._core.take_letter()
        if letter is not None:
            value = letter.record.value
            raise InvalidMessage(value.partition, value.offset, needs_commit=False, reason=letter.reason)

    # -- the end of the assignment ------------------------------------------------------------------------------------

    def close(self) -> None:
        self._closed = True

    def join(self, timeout: float | None = None) -> None:
        """Flush and commit what was submitted, for up to `timeout` seconds. The rest is discarded, and read again."""
        core, partitions = self._core, self._partitions
        deadline = None if timeout is None else self._time.monotonic() + timeout
        while True:
            self._end_run()
            core.machine.flush_buffer()
            core.step()
            core.take_rest(partitions)
            self._pass_on()
            self._next_step.poll()
            self._raise_invalid()
            left_s = BUSY_WAIT_S if deadline is None else deadline - self._time.monotonic()
            if core.are_passed_on(partitions) or left_s <= 0:
                break
            core.step(min(left_s, BUSY_WAIT_S))
        if not core.are_passed_on(partitions):
            logger.warning("messages that are not flushed after %s s are discarded, and read again", timeout)
        self.forget()
        self._next_step.close()
        self._next_step.join(None if deadline is None else max(0.0, deadline - self._time.monotonic()))

    def terminate(self) -> None:
        self._closed = True
        self.forget()
        self._next_step.terminate()

    def forget(self) -> None:
        """End the assignment: results of its messages are ignored from now on."""
        if not self._partitions:
            return
        self._core.end(self._partitions)
        self._partitions = []
        self._entries, self._records, self._end = [], [], 0
