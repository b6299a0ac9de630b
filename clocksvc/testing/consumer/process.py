"""One process of the consumer, from its start until it ends or crashes."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from clocksvc.client.consumer.loop import ConsumerLoop, LoopParts
from clocksvc.client.consumer.plan import ConsumerPlan
from clocksvc.client.consumer.processing import InlineProcessing
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.judge import BrokenPromise, Flush
from clocksvc.testing.consumer.log import Log
from clocksvc.testing.consumer.member import GroupMember
from clocksvc.testing.consumer.parts import (
    ManualDeadLetters,
    ManualExecutor,
    ManualProcessing,
    ManualReporter,
    TaggedItem,
)
from clocksvc.testing.consumer.record import Message
from clocksvc.testing.consumer.world import World

ONE_BY_ONE = 10
"""How many records more than its buffer a consumer may have: those that it gets one by one while it is full."""


class Loop(Protocol):
    """What a process needs of the consumer's loop: ConsumerLoop has it."""

    ended: bool
    error: Exception | None

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group."""

    def step(self) -> None:
        """One pass."""

    def drain(self) -> None:
        """Begin to end."""

    def close(self) -> None:
        """Leave the group."""


class Process:
    """One process of the consumer, from its start until it ends or crashes.

    Attributes:
        world, plan: what is around it, and the author's functions and options.
        member, executor, letters, loop: the parts of the consumer.
        draining: True after SIGTERM.
        received: for each partition at that moment its assignment, and how many of its records were delivered.
        alive: False after it has ended or crashed.
    """

    def __init__(self, world: World, plan: ConsumerPlan[Any]) -> None:
        self.world, self.plan = world, plan
        self.member = GroupMember(world)
        self.executor = ManualExecutor(self)
        self.letters = ManualDeadLetters(self)
        self.draining, self.alive = False, True
        self.received: dict[Log, tuple[int, int]] = {}
        self._broken: BrokenPromise | None = None
        for log in world.logs.values():
            log.acknowledged = 0
        self.loop = self.make_loop()
        self.loop.subscribe(plan.topics)

    def make_loop(self) -> Loop:
        """Create the consumer's loop. Subclasses may create another driver of the state machine."""
        plan = self.plan
        parts: LoopParts[Any] = LoopParts(
            group=self.member,
            processing=self._processing(),
            executor=self.executor,
            dead_letters=self.letters if plan.options.machine.dead_letters else None,
            reporter=ManualReporter(self.world),
            time=self.world.time,
            rng=random.Random(1),
        )
        return ConsumerLoop(self.executor.collect, plan.state, plan.options, parts)

    def _processing(self) -> Any:
        function = self.process_message
        return ManualProcessing(self, function) if self.plan.processes else InlineProcessing(function)

    def process_message(self, message: Message) -> TaggedItem | None:
        """Call the author's function, and keep the record with the item."""
        if message.delivery.stored.heartbeat:
            self._broken = BrokenPromise(f"heartbeat processed: {message.delivery.stored}")
        item = self.plan.process(message)
        if item is None:
            self.world.judge.skipped(message.delivery)
            return None
        return TaggedItem(item, message)

    def step(self) -> None:
        """One pass of the consumer's loop.

        Raises:
            BrokenPromise: the consumer did what it must never do.
        """
        self.loop.step()
        if self._broken is not None:
            raise self._broken
        if self.loop.ended:
            self._end()
            return
        limit = self.plan.options.machine.buffer_records + ONE_BY_ONE
        if (count := sum(len(log.open) for log in self.world.logs.values())) > limit:
            raise BrokenPromise(f"buffer too large: {count} records are received and not done")

    def drain(self) -> None:
        """Send SIGTERM. Further calls change nothing."""
        if self.draining:
            return
        self.world.tell(lambda: "SIGTERM: the consumer drains")
        self.draining = True
        if any(delivery.in_process for log in self.world.assigned() for delivery in log.open.values()):
            self.world.judge.hits[Interleaving.DRAIN_WHILE_PROCESSING] += 1
        self.received = {log: (log.epoch, log.next) for log in self.world.assigned()}
        self.loop.drain()

    def crash(self, effects: Callable[[], bool]) -> None:
        """End the process at this moment, as SIGKILL does.

        Args:
            effects: called for each flush that runs: whether it had its effect before.
        """
        world, hits = self.world, self.world.judge.hits
        assigned = world.assigned()
        world.judge.crashed(assigned, uncommitted=bool(self.member.commits))
        self._flushes_end(effects)
        world.tell(lambda: "the process crashes")
        hits[Interleaving.CRASH_IN_DRAIN] += self.draining
        for log in assigned:
            log.remove(lost=True)
        self.alive = False

    def _end(self) -> None:
        world, loop = self.world, self.loop
        world.tell(lambda: f"the consumer ends{f' with the error {loop.error}' if loop.error else ''}")
        if loop.error is not None:
            world.judge.hits[Interleaving.CONSUMER_FAILS] += 1
        elif self.executor.running or self.letters.sent or self.member.commits:
            world.judge.hits[Interleaving.DRAIN_TOO_LATE] += 1
        loop.close()
        self._flushes_end(lambda: False)
        self.alive = False

    def _flushes_end(self, effects: Callable[[], bool]) -> None:
        hits = self.world.judge.hits
        for flush_id, flush in self.executor.running.items():
            if not flush.effect and effects():
                self.executor.take_effect(flush_id)
            hits[Interleaving.CRASH_AFTER_EFFECT if flush.effect else Interleaving.CRASH_BEFORE_EFFECT] += 1
        self.executor.running.clear()

    def flush_finished(self, flush: Flush) -> None:
        """Count what a result of a flush means at this moment."""
        judge = self.world.judge
        judge.flush_finished(flush, self.executor.running.values())
        if self.draining:
            failed = flush.error is not None
            judge.hits[Interleaving.DRAIN_WITH_FAILURE if failed else Interleaving.DRAIN_WITH_FLUSH] += 1
        if self.member.commits:
            judge.hits[Interleaving.COMMIT_OVERTAKEN] += 1
