"""One process of the consumer: the parts that its loop gets in place of threads, Kafka and the service."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from clocksvc.client.consumer.flush_threads import FinishedFlush
from clocksvc.client.consumer.loop import ConsumerLoop, LoopParts
from clocksvc.client.consumer.plan import ConsumerPlan
from clocksvc.client.consumer.processing import InlineProcessing
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import Cause, Delivery
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.judge import BrokenPromise, Flush
from clocksvc.testing.consumer.log import Log
from clocksvc.testing.consumer.member import GroupMember
from clocksvc.testing.consumer.record import Message
from clocksvc.testing.consumer.world import DeadLetter, World

ONE_BY_ONE = 10
"""How many records more than its buffer a consumer may have: those that it gets one by one while it is full."""


class _Item(NamedTuple):
    """An item of the author, and the record of which it was made."""

    item: Any
    message: Message


class ManualExecutor:
    """Implements `FlushExecutor`. A flush has its effect when the run says so, and its result is given later.

    Attributes:
        running: flushes that were submitted, in this order, by the consumer's id.
    """

    def __init__(self, process: "Process") -> None:
        self.running: dict[int, Flush] = {}
        self._process = process
        self._submitted: tuple[Any, ...] = ()
        self._states: list[Any] = []
        self._results: dict[int, Any] = {}
        self._finished: list[FinishedFlush] = []

    def collect(self, *arguments: Any) -> None:
        """Take the place of the author's function: called by `submit` only, to learn the arguments."""
        self._submitted = arguments

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        call()
        (batch, *state), world = self._submitted, self._process.world
        flush = Flush(next(world.flushes), [tagged.message.delivery for tagged in batch])
        flush.arguments = ([tagged.item for tagged in batch], *state)
        world.tell(lambda: f"{flush} begins")
        options = self._process.plan.options.machine
        world.judge.flush_started(flush, options.batch, world.time.monotonic())
        self.running[flush_id] = flush
        if state and self._states and self._states[-1] is not state[0]:
            raise BrokenPromise(f"wrong state: {flush} gets another state than the last successful flush has returned")
        if len(self.running) > options.slots:
            raise BrokenPromise(f"too many flushes: {len(self.running)} run at the same time")

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        if timeout_s > 0 and not self._finished and self._process.member.revoking:
            self._process.world.policy.waits(self._process, timeout_s)
        found, self._finished = self._finished, []
        return found

    def stack(self, flush_id: int) -> str:
        return ""

    def close(self) -> None:
        pass

    def take_effect(self, flush_id: int) -> None:
        """Call the author's function, unless it was called."""
        flush = self.running[flush_id]
        if flush.effect or flush.error is not None:
            return
        self._process.world.tell(lambda: f"{flush} has its effect")
        try:
            self._results[flush_id] = self._process.plan.flush(*flush.arguments)
        except Exception as error:
            flush.error = error
        else:
            flush.effect = True

    def finish(self, flush_id: int, error: BaseException | None = None) -> None:
        """Give the consumer the result of a flush.

        Args:
            error: what the flush raises; None for the result of the author's function, which is called if it was not.
        """
        if error is None:
            self.take_effect(flush_id)
        flush = self.running.pop(flush_id)
        flush.error = flush.error or error
        process = self._process
        process.world.tell(lambda: f"{flush} is finished" if flush.error is None else f"{flush} raises {flush.error!r}")
        process.flush_finished(flush)
        if flush.error is None:
            self._states = [self._results[flush_id]]
        if flush.error is None:
            process.world.flushed.append(flush.arguments[0])
        self._finished.append(FinishedFlush(flush_id, self._results.pop(flush_id, None), flush.error))


class ManualDeadLetters:
    """Implements `DeadLetters`.

    Attributes:
        sent: the letters without an answer, by the consumer's number.
    """

    def __init__(self, process: "Process") -> None:
        self.sent: dict[int, DeadLetter] = {}
        self._process = process
        self._answers: list[Delivery] = []

    def send(self, letter: int, record: Any, cause: Cause) -> None:
        world = self._process.world
        world.tell(lambda: f"the consumer sends the dead letter of {record.delivery.stored}: {cause.message}")
        world.judge.dead_letter_sent(record.delivery)
        self.sent[letter] = DeadLetter(record, cause)

    def deliveries(self, timeout_s: float = 0.0) -> Sequence[Delivery]:
        for letter in [letter for letter in self.sent if self._process.world.policy.answers_dead_letter()]:
            self.answer(letter)
        found, self._answers = self._answers, []
        return found

    def close(self, timeout_s: float) -> None:
        pass

    def answer(self, letter: int, failure: str | None = None) -> None:
        """The dead-letter topic answers. None: all in-sync replicas have it."""
        world, dead_letter = self._process.world, self.sent.pop(letter)
        delivery = dead_letter.message.delivery
        world.tell(lambda: f"the dead letter of {delivery.stored} {failure or 'is acknowledged'}")
        world.judge.dead_letter_answered(delivery, delivered=failure is None)
        if failure is None:
            world.dead_letters.append(dead_letter)
        self._answers.append(Delivery(letter, failure))


class ManualReporter:
    """Implements `ProgressReporter`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def observe_message(self, message: Any) -> None:
        log, (_, timestamp_ms) = self._world.log(message.topic(), message.partition()), message.timestamp()
        self._world.tell(lambda: f"the consumer reports {timestamp_ms} of {log.partition}")
        self._world.judge.reported(log, timestamp_ms)

    def on_assign(self, consumer: object, partitions: Iterable[Any]) -> None:
        pass

    def on_revoke(self, consumer: object, partitions: Iterable[Any]) -> None:
        pass

    def on_lost(self, consumer: object, partitions: Iterable[Any]) -> None:
        pass

    def ahead(self, read: Mapping[tuple[str, int], int]) -> Collection[Partition]:
        return self._world.policy.ahead()


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
        self.loop: ConsumerLoop[Any] = ConsumerLoop(
            self.executor.collect,
            plan.state,
            plan.options,
            LoopParts(
                group=self.member,
                processing=InlineProcessing(self._process_message),
                executor=self.executor,
                dead_letters=self.letters if plan.options.machine.dead_letters else None,
                reporter=ManualReporter(world),
                time=world.time,
                rng=random.Random(1),
            ),
        )
        self.loop.subscribe(plan.topics)

    def _process_message(self, message: Message) -> _Item | None:
        if message.delivery.stored.heartbeat:
            self._broken = BrokenPromise(f"heartbeat processed: {message.delivery.stored}")
        item = self.plan.process(message)
        if item is None:
            self.world.judge.skipped(message.delivery)
            return None
        return _Item(item, message)

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
