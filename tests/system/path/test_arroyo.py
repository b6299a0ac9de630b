"""A pipeline of Arroyo with a clock, over real Kafka: batches, threads, invalid messages, heartbeats, rebalances."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from arroyo.backends.abstract import ProducerFuture
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, KafkaProducer, build_kafka_consumer_configuration
from arroyo.commit import CommitPolicy
from arroyo.dlq import DlqPolicy, InvalidMessage, KafkaDlqProducer
from arroyo.processing.strategies import (
    CommitOffsets,
    ProcessingStrategy,
    ProcessingStrategyFactory,
    Reduce,
    RunTask,
    RunTaskInThreads,
)
from arroyo.types import BaseValue, BrokerValue, Commit, Message, Partition, Topic
from confluent_kafka import Consumer, Producer, TopicPartition

from clocksvc import Reporter
from clocksvc.arroyo import ReportingStreamProcessor
from clocksvc.clock.partition import Outcome
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from tests.background import in_thread
from tests.system.installation import create_topic, wall_ms
from tests.waiting import eventually

pytestmark = pytest.mark.servers

PARTITIONS = 4
RECORDS = 401
"""Records of one partition: every 50th is a heartbeat, every 17th is invalid."""
STEP_MS = 100
BATCH = 30
INVALID = sum(offset % 17 == 16 and offset % 50 != 49 for offset in range(RECORDS))

Position = tuple[int, int]
"""Partition and offset."""


class Evidence:
    """What the sinks of a pipeline contain, and reports that came before."""

    def __init__(self, first_ms: int) -> None:
        self.first_ms = first_ms
        self.finished: set[Position] = set()
        self.flushed = self.assignments = self.invalid = self.commits = 0
        self.reported: dict[int, int] = {}
        self.early: list[str] = []
        self._lock = threading.Lock()

    def finish(self, positions: list[Position]) -> None:
        with self._lock:
            self.finished.update(positions)
            self.flushed += 1

    def finish_invalid(self, partition: int, offset: int) -> None:
        with self._lock:
            self.invalid += (partition, offset) not in self.finished
            self.finished.add((partition, offset))

    def judge_report(self, partition: int, timestamp_ms: int) -> None:
        """A report means that all records up to this timestamp are in a sink."""
        self.reported[partition] = max(timestamp_ms, self.reported.get(partition, -1))
        self._judge("reported", partition, (timestamp_ms - self.first_ms) // STEP_MS + 1)

    def judge_commit(self, partition: int, next_offset: int) -> None:
        """A commit means the same for all records below its offset."""
        self.commits += 1
        self._judge("committed", partition, next_offset)

    def _judge(self, what: str, partition: int, next_offset: int) -> None:
        with self._lock:
            missing = [offset for offset in range(next_offset) if (partition, offset) not in self.finished]
            if missing:
                self.early.append(f"{what} {partition}:{next_offset}, but {missing[:5]} are not finished")


class JudgedConsumer(KafkaConsumer):
    """Judges what it is going to commit."""

    def __init__(self, configuration: Mapping[str, Any], evidence: Evidence) -> None:
        super().__init__(configuration)
        self._evidence, self._staged = evidence, dict[Partition, int]()

    def stage_offsets(self, offsets: Mapping[Partition, int]) -> None:
        self._staged.update(offsets)
        super().stage_offsets(offsets)

    def commit_offsets(self) -> Mapping[Partition, int] | None:
        for partition, next_offset in self._staged.items():
            self._evidence.judge_commit(partition.index, next_offset)
        self._staged.clear()
        return super().commit_offsets()


class JudgingSink:
    """Gets the reports of one consumer."""

    def __init__(self, evidence: Evidence, topic: str) -> None:
        self._evidence = evidence
        self._parameters = ClockParameters(topic, (topic,), 1_000, 0, 60_000)

    def report(self, report: Report) -> ReportAnswer:
        for partition, timestamp_ms in report.timestamps:
            self._evidence.judge_report(partition.number, timestamp_ms)
        return ReportAnswer((Outcome.ACCEPTED,) * len(report.timestamps), self._parameters, None)

    def close(self) -> None:
        pass


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    """Decode, batch, flush in threads, commit."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence, self._rng = evidence, random.Random(1)

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        self._evidence.assignments += 1
        flush = RunTaskInThreads(
            self._flush, concurrency=16, max_pending_futures=1_000, next_step=CommitOffsets(commit)
        )
        batch: Reduce[Position, list[Position]] = Reduce(BATCH, 0.1, self._collect, list, flush)
        return RunTask(self._decode, batch)

    def _decode(self, message: Message[KafkaPayload]) -> Position:
        value = message.value
        assert isinstance(value, BrokerValue)
        assert message.payload.value != b"heartbeat"
        if message.payload.value == b"bad":
            raise InvalidMessage(value.partition, value.offset, log_exception=False)
        return value.partition.index, value.offset

    def _collect(self, batch: list[Position], value: BaseValue[Position]) -> list[Position]:
        return [*batch, value.payload]

    def _flush(self, message: Message[list[Position]]) -> None:
        threading.Event().wait(self._rng.choice((0.001, 0.3)))  # the duration of I/O
        self._evidence.finish(message.payload)


Factories = Callable[[Evidence], ProcessingStrategyFactory[KafkaPayload]]


class DeadLetters(KafkaDlqProducer):
    """Writes invalid messages to a topic. A message is finished when the topic has it."""

    def __init__(self, producer: KafkaProducer, topic: Topic, evidence: Evidence) -> None:
        super().__init__(producer, topic)
        self._evidence = evidence

    def produce(
        self, value: BrokerValue[KafkaPayload], reason: str | None = None
    ) -> ProducerFuture[BrokerValue[KafkaPayload]]:
        future = super().produce(value, reason)
        assert isinstance(future, Future)
        future.add_done_callback(lambda _: self._evidence.finish_invalid(value.partition.index, value.offset))
        return future


@contextmanager
def pipeline(bootstrap: str, topic: str, evidence: Evidence, factory: Factories) -> Iterator[None]:
    """A process of the pipeline, as a thread."""
    configuration = build_kafka_consumer_configuration(
        {"fetch.queue.backoff.ms": 5, "fetch.wait.max.ms": 20, "heartbeat.interval.ms": 100},
        bootstrap_servers=[bootstrap],
        group_id=topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = KafkaProducer({"bootstrap.servers": bootstrap})
    reporter = Reporter("memory://", "clock", group=topic, sink=JudgingSink(evidence, topic))
    processor = ReportingStreamProcessor(
        JudgedConsumer(configuration, evidence),
        Topic(topic),
        factory(evidence),
        CommitPolicy(0.1, None),
        dlq_policy=DlqPolicy(DeadLetters(producer, Topic(f"{topic}-dlq"), evidence)),
        reporter=reporter,
    )
    try:
        with in_thread(processor.run, processor.signal_shutdown):
            yield
    finally:
        reporter.close()
        producer.close().result(10)


def write(producer: Producer, topic: str, evidence: Evidence, offsets: range) -> None:
    for offset in offsets:
        for partition in range(PARTITIONS):
            heartbeat, bad = offset % 50 == 49, offset % 17 == 16
            producer.produce(
                topic,
                b"heartbeat" if heartbeat else b"bad" if bad else b"x",
                partition=partition,
                timestamp=evidence.first_ms + offset * STEP_MS,
                headers=[("clocksvc-heartbeat", b"1")] if heartbeat else [],
            )
            if heartbeat:
                evidence.finished.add((partition, offset))
    assert producer.flush(20) == 0


def test_only_what_is_done_is_reported_and_committed(bootstrap: str, key_prefix: str) -> None:
    """Each report came after all records up to it were in a sink, through two rebalances. At the end all are."""
    check_pipeline(bootstrap, key_prefix, Factory)


def check_pipeline(bootstrap: str, key_prefix: str, factory: Factories) -> None:
    """Run two pipelines, with a rebalance when the second begins, and one when the first ends."""
    topic = f"{key_prefix}-arroyo"
    create_topic(bootstrap, topic, PARTITIONS, "CreateTime")
    create_topic(bootstrap, f"{topic}-dlq", 1)
    evidence = Evidence(first_ms=(wall_ms() // 1_000 + 1) * 1_000 - (RECORDS - 1) * STEP_MS)
    last_ms = evidence.first_ms + (RECORDS - 1) * STEP_MS
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})

    with ExitStack() as both:
        first = both.enter_context(ExitStack())
        first.enter_context(pipeline(bootstrap, topic, evidence, factory))
        write(producer, topic, evidence, range(100))
        eventually(lambda: evidence.flushed >= 10, within=20, what="the first batches")
        both.enter_context(pipeline(bootstrap, topic, evidence, factory))
        write(producer, topic, evidence, range(100, 200))
        eventually(lambda: evidence.assignments >= 3, within=20, what="a rebalance")
        write(producer, topic, evidence, range(200, 300))
        first.close()
        write(producer, topic, evidence, range(300, RECORDS))
        most = PARTITIONS * RECORDS - BATCH
        eventually(lambda: len(evidence.finished) >= most, within=20, what="all records, but the last batch")

    assert evidence.early == []
    assert evidence.commits >= 10
    assert evidence.reported == dict.fromkeys(range(PARTITIONS), last_ms)
    assert len(evidence.finished) == PARTITIONS * RECORDS
    assert evidence.invalid == PARTITIONS * INVALID
    assert evidence.assignments >= 4
    assert committed_offsets(bootstrap, topic) == [RECORDS] * PARTITIONS


def committed_offsets(bootstrap: str, topic: str) -> list[int]:
    """The offsets that the group has committed."""
    with closing(Consumer({"bootstrap.servers": bootstrap, "group.id": topic})) as consumer:
        committed = consumer.committed([TopicPartition(topic, number) for number in range(PARTITIONS)], timeout=10)
        return [each.offset for each in committed]
