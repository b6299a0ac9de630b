"""ConsumerRun with the other driver of the state machine: a StreamProcessor of Arroyo with a BufferedStrategy."""

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from arroyo.backends.abstract import Consumer, ProducerFuture
from arroyo.backends.kafka import KafkaPayload
from arroyo.commit import IMMEDIATE
from arroyo.dlq import DlqPolicy, NoopDlqProducer
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategy, ProcessingStrategyFactory
from arroyo.types import BrokerValue, Commit, Message, Partition, Topic

from clocksvc.arroyo import ReportingStreamProcessor
from clocksvc.client.arroyo.buffered_strategy import BufferedStrategy
from clocksvc.client.arroyo.strategy_core import StrategyCore
from clocksvc.client.consumer.plan import ConsumerPlan
from clocksvc.clock import partition as clock
from clocksvc.interfaces.dead_letters import Cause
from clocksvc.testing import ConsumerRun
from clocksvc.testing.consumer import record as stored
from clocksvc.testing.consumer.member import GroupMember
from clocksvc.testing.consumer.parts import ManualReporter
from clocksvc.testing.consumer.process import Loop, Process
from tests.consumer_run import examples

_ROOM = 1_000
_PASSES = 20
"""The most messages of one step."""


class ArroyoRun(ConsumerRun):
    """Runs the functions and options of a BufferedConsumer on Arroyo.

    The buffer has room for all records: while it is full, a StreamProcessor sleeps.
    """

    def make_process(self, plan: ConsumerPlan[Any]) -> Process:
        machine = replace(plan.options.machine, buffer_records=_ROOM)
        return ArroyoProcess(self.world, replace(plan, options=replace(plan.options, machine=machine)))


def _orders() -> ConsumerRun:
    table: set[bytes] = set()
    return ArroyoRun(lambda: examples.orders_consumer(table), partitions=examples.PARTITIONS, sink=table)


def _totals() -> ConsumerRun:
    saved: list[dict[bytes, int]] = []
    return ArroyoRun(lambda: examples.totals_consumer(saved), partitions=examples.PARTITIONS, sink=saved)


ON_ARROYO = {
    "orders on Arroyo": examples.EXAMPLES["orders"]._replace(build=_orders),
    "totals on Arroyo": examples.EXAMPLES["totals"]._replace(build=_totals),
}


class ArroyoProcess(Process):
    """One process of a pipeline."""

    def make_loop(self) -> Loop:
        self.member = ArroyoMember(self.world)
        return ArroyoLoop(self)


class ArroyoMember(GroupMember):
    """librdkafka revokes partitions that are lost, because Arroyo gives it no callback for a loss."""

    def will_lose(self, partitions: Sequence[clock.Partition]) -> None:
        self.expired = True
        self._generation += 1
        self._events.append((self._revoke, partitions))


class CommitFailed(Exception):
    """Kafka rejected a commit, or its answer did not arrive. A StreamProcessor ends then."""


class ArroyoLoop(ProcessingStrategyFactory[KafkaPayload]):
    """A StreamProcessor, step by step."""

    def __init__(self, process: ArroyoProcess) -> None:
        self.ended = False
        self.error: Exception | None = None
        self._process, self._draining = process, False
        plan, world = process.plan, process.world
        self._core: StrategyCore[Any] = StrategyCore(
            process.executor.collect, plan.state, plan.options, process.executor, world.time, random.Random(1)
        )
        self._consumer = MemberConsumer(process)
        self._messages = self._consumer.messages
        self._strategy: BufferedStrategy[Any] | None = None
        letters = DlqPolicy(Letters(self)) if plan.options.machine.dead_letters else None
        self._processor = ReportingStreamProcessor(
            self._consumer,
            Topic(plan.topics[0]),
            self,
            IMMEDIATE,
            letters,
            plan.options.revoke_timeout_s,
            reporter=ManualReporter(world),
            time=world.time,
        )

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        if self._strategy is not None:
            self._strategy.forget()
        self._strategy = BufferedStrategy(self._core, self._process.plan, CommitOffsets(commit))
        self._strategy._process = self._process_message
        return self._strategy

    def _process_message(self, message: Message[KafkaPayload]) -> Any:
        assert isinstance(message.value, BrokerValue)
        return self._process.process_message(self.message(message.value))

    def message(self, value: BrokerValue[Any]) -> stored.Message:
        """The message of the run that Arroyo got as this value."""
        return self._messages[id(value.payload)][1]

    # -- the interface of a loop

    def subscribe(self, topics: Sequence[str]) -> None:
        self._process.member.subscribe(topics, self._consumer)

    def step(self) -> None:
        if self.ended:
            return
        try:
            if self._draining:
                self._process.member.revoking = True
                self._processor._shutdown()
                self.ended = True
                return
            for _ in range(_PASSES):
                self._consumer.polled = False
                self._processor._run_once()
                if not self._consumer.polled:
                    return
        except AssertionError:
            raise
        except Exception as error:
            self.error, self.ended = error, True
            if self._strategy is not None:
                self._strategy.terminate()
        finally:
            self._process.member.revoking = False

    def drain(self) -> None:
        self._draining = True

    def close(self) -> None:
        if self.error is not None:
            self._process.member.expired = True  # a StreamProcessor commits nothing after an error
        self._process.member.close()

    @property
    def process(self) -> ArroyoProcess:
        """The process."""
        return self._process


class Letters(NoopDlqProducer):
    """The dead-letter queue of Arroyo, answered by the run."""

    def __init__(self, loop: ArroyoLoop) -> None:
        self._loop, self._last = loop, 0

    def produce(
        self, value: BrokerValue[KafkaPayload], reason: str | None = None
    ) -> ProducerFuture[BrokerValue[KafkaPayload]]:
        letters = self._loop.process.letters
        self._last += 1
        number, failures = self._last, dict[int, str | None]()
        letters.send(number, self._loop.message(value), Cause("", reason or "", ""))

        class Delivery(Future[BrokerValue[KafkaPayload]]):
            def done(self) -> bool:
                failures.update(letters.deliveries())
                return number not in letters.sent

            def result(self, timeout: float | None = None) -> BrokerValue[KafkaPayload]:
                if number in letters.sent:
                    letters.answer(number)
                failures.update(letters.deliveries())
                if failures.get(number) is not None:
                    raise CommitFailed(failures[number])
                return value

        return Delivery()


class MemberConsumer(Consumer[KafkaPayload]):
    """A consumer of Arroyo that is a member of the run's group, as Arroyo's KafkaConsumer is of a real one."""

    def __init__(self, process: ArroyoProcess) -> None:
        self.polled = False
        self.messages: dict[int, tuple[KafkaPayload, stored.Message]] = {}
        self._world, self._member = process.world, process.member
        self._staged: dict[Partition, int] = {}
        self._failure: str | None = None
        self._on_assign: Callable[[Mapping[Partition, int]], None]
        self._on_revoke: Callable[[Sequence[Partition]], None]

    def subscribe(self, topics: Sequence[Topic], on_assign: Any = None, on_revoke: Any = None) -> None:
        self._on_assign, self._on_revoke = on_assign, on_revoke

    def poll(self, timeout: float | None = None) -> BrokerValue[KafkaPayload] | None:
        for message in self._member.consume(1, 0.0):
            self.polled = True
            payload = KafkaPayload(message.key(), message.value() or b"", message.headers() or [])  # type: ignore[arg-type]
            self.messages[id(payload)] = payload, message
            timestamp = datetime(1970, 1, 1) + timedelta(milliseconds=message.timestamp()[1])  # noqa: DTZ001
            partition = Partition(Topic(message.topic()), message.partition())
            return BrokerValue(payload, partition, message.offset(), timestamp)
        return None

    # -- the listener of the group

    def assigned(self, partitions: Sequence[clock.Partition]) -> None:
        self._member.revoking = True  # the strategies are closed, and wait for their flushes
        try:
            self._on_assign({_partition(one): self._world.logs[one].committed for one in partitions})
        finally:
            self._member.revoking = False

    def revoked(self, partitions: Sequence[clock.Partition]) -> None:
        try:
            self._on_revoke(list(map(_partition, partitions)))
        finally:
            for one in partitions:
                self._staged.pop(_partition(one), None)

    lost = revoked

    def committed(self, offsets: Mapping[clock.Partition, int]) -> None:
        self._failure = None

    def commit_failed(self, offsets: Mapping[clock.Partition, int], reason: str) -> None:
        self._failure = reason

    # -- commits

    def stage_offsets(self, offsets: Mapping[Partition, int]) -> None:
        self._staged.update(offsets)

    def commit_offsets(self) -> Mapping[Partition, int]:
        if not self._staged:
            return {}
        offsets = dict(self._staged)
        assert offsets.keys() <= self.tell().keys(), "Kafka would reject the offsets of other partitions"
        self._member.commit({_own(partition): offset for partition, offset in offsets.items()}, wait=True)
        if self._failure is not None:
            raise CommitFailed(self._failure)
        self._staged.clear()
        return offsets

    # -- positions

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        for partition, offset in offsets.items():
            log = self._world.logs[_own(partition)]
            log.next = log.index_at(offset)

    def tell(self) -> Mapping[Partition, int]:
        return {
            _partition(log.partition): log.records[log.next].offset if log.next < len(log.records) else log.end
            for log in self._world.assigned()
        }

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._member.pause(list(map(_own, partitions)))

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._member.resume(list(map(_own, partitions)))

    def paused(self) -> Sequence[Partition]:
        return [_partition(log.partition) for log in self._world.assigned() if log.paused]

    def unsubscribe(self) -> None: ...

    def close(self, timeout: float | None = None) -> None:
        self._member.close()

    @property
    def closed(self) -> bool:
        return False

    @property
    def member_id(self) -> str:
        return "member"


def _partition(partition: clock.Partition) -> Partition:
    return Partition(Topic(partition.topic), partition.number)


def _own(partition: Partition) -> clock.Partition:
    return clock.Partition(partition.topic.name, partition.index)
