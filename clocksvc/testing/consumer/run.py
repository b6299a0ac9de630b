"""`ConsumerRun`: the author's consumer, whose Kafka, threads and time a test controls."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

from clocksvc.client.consumer.buffered_consumer import BufferedConsumer
from clocksvc.client.consumer.plan import ConsumerPlan
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import cause_of
from clocksvc.testing.consumer.explore import CALM, Exploration, Explored
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.judge import BrokenPromise
from clocksvc.testing.consumer.log import Delivery, Log
from clocksvc.testing.consumer.parts import ManualExecutor
from clocksvc.testing.consumer.policy import AllGoesWell
from clocksvc.testing.consumer.process import Process
from clocksvc.testing.consumer.record import Record
from clocksvc.testing.consumer.world import DeadLetter, World
from clocksvc.testing.manual_time import ManualTime

_MOST_STEPS = 1_000
_SLICE_S = 0.125
"""Exact as a binary fraction, so that the sum of many is exact, too."""
_CALM_ROUNDS = 300


class ConsumerRun:
    """Runs a BufferedConsumer step by step, without Kafka, threads and sleeping. The consumer itself is the real one.

        run = ConsumerRun(lambda: make_consumer(database))
        run.feed(b"1", b"2", b"3")
        run.finish_flush()
        run.advance(1)
        assert run.committed == {("orders", 0): 3}

    `make_consumer` returns a BufferedConsumer as in production. It is called for each process: at first, and in `start`
    after a crash. What must survive a crash, such as a database, is created outside of it.

    The functions `process` and `flush` are called in the thread of the test. A flush runs until the test finishes it.
    After each method, the consumer's loop has done what it can do at this time. Time passes only in `advance`, in
    `finish_all`, and while the consumer waits for flushes because of a revocation.

    Each method checks the promises of a consumer, and raises BrokenPromise, an AssertionError, if one is broken.

    Args:
        consumer: returns the consumer.
        partitions: the number of partitions of each topic. They are all assigned at first.
        now: the time at first.
        sink: any object, for the function `check` of `explore`.

    Attributes:
        time: the time of the consumer.
        sink: as given.
        policy: set its `answer_commits` or `answer_dead_letters` to False to answer them with `answer_commit` and
            `answer_dead_letter`.
    """

    def __init__(
        self,
        consumer: Callable[[], BufferedConsumer[Any]],
        *,
        partitions: int = 1,
        now: str | int | float = "2026-11-22T12:00:00Z",
        sink: Any = None,
    ) -> None:
        self.time, self.sink = ManualTime(now), sink
        self._consumer = consumer
        plan = consumer().plan
        self.world = World(
            (Partition(topic, number) for topic in plan.topics for number in range(partitions)), self.time
        )
        self.process = self.make_process(plan)
        self.world.policy = self.policy = AllGoesWell()
        self.assign()

    # -- what happens -------------------------------------------------------------------------------------------------

    def feed(self, *records: Record | bytes, partition: int = 0, timestamp_ms: int | None = None) -> None:
        """Add records to partitions.

        Args:
            records: records, or the values of records.
            partition, timestamp_ms: of values. None for the time of the run.
        """
        self.world.append(
            record if isinstance(record, Record) else Record(record, partition, timestamp_ms) for record in records
        )
        self._settle()

    def advance(self, seconds: float) -> None:
        """Let time pass. The consumer works meanwhile."""
        slice_s = _SLICE_S * max(1, ceil(seconds / _SLICE_S / _MOST_STEPS))
        while seconds > 0:
            self.time.advance(min(slice_s, seconds))
            seconds -= slice_s
            self._settle()

    def finish_flush(self, index: int = 0) -> None:
        """A running flush ends: the author's function is called, and the consumer gets its result.

        Args:
            index: 0 for the flush that has run longest.
        """
        self._executor.finish(self._flush_id(index))
        self._settle()

    def fail_flush(self, error: BaseException, index: int = 0, *, after_effect: bool = False) -> None:
        """A running flush raises.

        Args:
            error: the exception.
            index: 0 for the flush that has run longest.
            after_effect: True if the author's function is called before, as if only its answer was lost.
        """
        flush_id = self._flush_id(index)
        if after_effect:
            self._executor.take_effect(flush_id)
        self._executor.finish(flush_id, error)
        self._settle()

    def answer_commit(self, failure: str | None = None) -> None:
        """The oldest commit is answered. Set `policy.answer_commits` to False before.

        Args:
            failure: why Kafka rejects it; None if it accepts it.
        """
        member = self.process.member
        if not member.commits:
            raise AssertionError("no commit waits for an answer")
        if failure is None:
            member.answer(member.commits[0])
        else:
            member.reject(member.commits[0], failure)
        self._settle()

    def answer_dead_letter(self, failure: str | None = None) -> None:
        """The oldest dead letter is answered. Set `policy.answer_dead_letters` to False before.

        Args:
            failure: why it is not delivered; None if it is.
        """
        sent = self.process.letters.sent
        if not sent:
            raise AssertionError("no dead letter waits for an answer")
        self.process.letters.answer(next(iter(sent)), failure)
        self._settle()

    def assign(self, *partitions: int | Partition) -> None:
        """The group assigns partitions; without arguments, all that are not assigned."""
        logs = self._logs(partitions, [log for log in self.world.logs.values() if not log.epoch])
        self.process.member.will_assign([log.partition for log in logs])
        self._settle()

    def revoke(self, *partitions: int | Partition, flushes_finish: bool = True) -> None:
        """The group revokes partitions; without arguments, all.

        Args:
            flushes_finish: True if the running flushes finish while the consumer waits for them. False if they do not,
                so that the time of `revoke_timeout_seconds` passes.
        """
        logs = self._logs(partitions, self.world.assigned())
        self.policy.finish_flushes = flushes_finish
        self.process.member.will_revoke([log.partition for log in logs])
        self._settle()
        self.policy.finish_flushes = True

    def lose(self, *partitions: int | Partition) -> None:
        """The consumer loses partitions, as after a session timeout; without arguments, all."""
        logs = self._logs(partitions, self.world.assigned())
        self.process.member.will_lose([log.partition for log in logs])
        self._settle()

    def crash(self, *, effects: bool = False) -> None:
        """The process ends, as after SIGKILL. Call `start` to continue with another one.

        Args:
            effects: True if the running flushes have had their effect.
        """
        self.process.crash(lambda: effects)

    def start(self) -> None:
        """Start another process, after a crash or after the consumer has ended. It gets all partitions."""
        if self.process.alive:
            raise AssertionError("the consumer runs already")
        self.begin_process()
        self.assign()

    def begin_process(self) -> None:
        """Start another process without partitions, and without a pass of its loop."""
        self.process = self.make_process(self._consumer().plan)

    def make_process(self, plan: ConsumerPlan[Any]) -> Process:
        """Create a process. Subclasses may create one with another driver of the state machine."""
        return Process(self.world, plan)

    def another_member(self, partition: int | Partition, count: int = 1) -> None:
        """Another member of the group processes, flushes and commits records of a partition that is not assigned here.

        It calls the author's functions, one flush with all records, with a state of its own.
        """
        (log,), plan = self._logs([partition], ()), self._consumer().plan
        if log.epoch:
            raise AssertionError(f"{log.partition} is assigned to this consumer")
        items, dead_letters, offset = [], [], log.committed
        first = log.index_at(offset)
        for stored in log.records[first : first + count]:
            message = Delivery(stored, 0, 0.0).message
            try:
                item = None if stored.heartbeat else plan.process(message)
            except Exception as error:
                if not plan.options.machine.dead_letters:
                    break
                dead_letters.append(DeadLetter(message, cause_of(error)))
            else:
                items += [] if item is None else [item]
            offset = stored.offset + 1
        if items:
            plan.flush(items, *(() if plan.state is None else (plan.state(),)))
        self.world.tell(lambda: f"another member processes and commits {log.partition} to {offset}")
        self.world.dead_letters += dead_letters
        log.committed = offset
        self.world.judge.hits[Interleaving.ANOTHER_MEMBER] += 1

    def drain(self) -> None:
        """Send SIGTERM. The consumer ends when the running flushes have finished and their records are committed."""
        self.process.drain()
        self._settle()

    def finish_all(self) -> None:
        """Let everything succeed, and time pass, until all records are flushed, committed and reported.

        All partitions are assigned, and an ended consumer is started again.

        Raises:
            BrokenPromise: after ten minutes without a failure, something is not done.
        """
        with self._calm():
            for number in range(_CALM_ROUNDS):
                if not self.process.alive:
                    self.begin_process()
                self._let_succeed()
                missing = self.world.judge.not_done(self.world.logs.values())
                if not missing:
                    return
                self.time.advance(0.25 if number < 20 else 2.0)
        raise BrokenPromise(f"not done: ten minutes without a failure, and {missing}")

    def stop(self) -> None:
        """Send SIGTERM, and let everything succeed until the consumer ends.

        Raises:
            BrokenPromise: a record that it received before is not flushed, committed and reported, although there was
                time for it. This is not checked if SIGTERM was sent earlier, or the consumer ends with an error.
        """
        process, began_before = self.process, self.process.draining
        process.drain()
        ends_by = self.time.monotonic() + process.plan.options.drain_timeout_s
        with self._calm():
            while process.alive:
                ended_at = self.time.monotonic()
                self._let_succeed()
                self.time.advance(0.2)
        left_with = process.member.left_with
        received = {log: count for log, (epoch, count) in process.received.items() if left_with.get(log) == epoch}
        missing = self.world.judge.not_drained(received) if ended_at < ends_by else ""
        if missing and not (began_before or process.loop.error):
            raise BrokenPromise(f"not drained: {missing}")

    @contextmanager
    def _calm(self) -> Iterator[None]:
        policy, self.world.policy = self.world.policy, AllGoesWell()
        self.world.tell(lambda: CALM)
        try:
            yield
        finally:
            self.world.policy = policy

    def _let_succeed(self) -> None:
        process, logs = self.process, self.world.logs.values()
        for flush_id in list(process.executor.running):
            process.executor.finish(flush_id)
        unassigned = [log.partition for log in logs if not log.epoch]
        if unassigned and not (process.member.waiting or process.draining):
            process.member.will_assign(unassigned)
        process.step()

    # -- every order --------------------------------------------------------------------------------------------------

    @staticmethod
    def explore(
        build: Callable[[], "ConsumerRun"],
        *,
        records: Sequence[Record | bytes],
        check: Callable[["ConsumerRun"], None] | None = None,
        seeds: Iterable[int] = range(1_000),
    ) -> Explored:
        """Run many orders of events, each one from a seed: the same seed gives the same order.

        Flushes, commits and dead letters succeed, fail, take their time or get no answer. Partitions are revoked, lost,
        assigned again, and processed by another member of the group. The process crashes, or drains and ends. Then
        everything succeeds, until all records are done.

        Args:
            build: returns a new ConsumerRun with everything that it needs, such as an empty sink.
            records: what is fed, in this order for each partition. Values are distributed over the partitions.
            check: called at the end of each seed. Raises AssertionError if something is wrong, for example if a record
                is missing in `run.sink`. Records can be flushed more than once.
            seeds: the seeds.

        Raises:
            AssertionError: a promise of the consumer is broken, or `check` has raised. The message has the seed, and
                the numbered steps of a short way to the same failure.
        """
        return Exploration(build, records, check).all(seeds)

    @staticmethod
    def replay(
        build: Callable[[], "ConsumerRun"],
        *,
        records: Sequence[Record | bytes],
        check: Callable[["ConsumerRun"], None] | None = None,
        seed: int,
    ) -> str:
        """Run one seed of `explore`, and return its numbered steps, with the failure if there is one."""
        return Exploration(build, records, check).story(seed)

    # -- results ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> Sequence[Sequence[Any]]:
        """The batches that are being flushed, in the order in which they began."""
        return [flush.arguments[0] for flush in self._executor.running.values()]

    @property
    def flushed(self) -> Sequence[Sequence[Any]]:
        """The batches whose flush has succeeded, in the order in which the consumer got the results."""
        return self.world.flushed

    @property
    def committed(self) -> Mapping[Partition, int]:
        """The committed offset of each partition that has one. A partition equals `(topic, number)`."""
        return {partition: log.committed for partition, log in self.world.logs.items() if log.committed}

    @property
    def reported(self) -> Mapping[Partition, int]:
        """The highest reported timestamp of each partition that has one, in milliseconds."""
        return {
            partition: log.highest_report_ms for partition, log in self.world.logs.items() if log.highest_report_ms >= 0
        }

    @property
    def dead_letters(self) -> Sequence[DeadLetter]:
        """The content of the dead-letter topic: pairs of message and cause."""
        return self.world.dead_letters

    @property
    def paused(self) -> Sequence[Partition]:
        """The partitions that the consumer has paused."""
        return [log.partition for log in self.world.assigned() if log.paused]

    @property
    def ended(self) -> bool:
        """True if the process has ended or crashed."""
        return not self.process.alive

    @property
    def error(self) -> Exception | None:
        """The error because of which the consumer ends or has ended; None if there is none."""
        return self.process.loop.error

    # -- inside -------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Run the loop until a pass changes nothing."""
        for _ in range(_MOST_STEPS):
            if not self.process.alive:
                return
            before = self.world.events
            self.process.step()
            if self.world.events == before:
                return
        raise AssertionError(f"the consumer does not become idle: {_MOST_STEPS} passes, and each one does something")

    def _flush_id(self, index: int) -> int:
        running = list(self._executor.running)
        if index >= len(running):
            raise AssertionError(f"{len(running)} flushes are running, so there is none with the index {index}")
        return running[index]

    def _logs(self, partitions: Iterable[int | Partition], default: Sequence[Log]) -> Sequence[Log]:
        chosen = [self.world.log(None, one) if isinstance(one, int) else self.world.logs[one] for one in partitions]
        return chosen or default

    @property
    def _executor(self) -> ManualExecutor:
        return self.process.executor
