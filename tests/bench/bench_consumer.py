"""Consumers with a slow sink, side by side: 20 ms of I/O for each batch of 1,000 records, over real Kafka."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, build_kafka_consumer_configuration
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategy, ProcessingStrategyFactory, Reduce
from arroyo.processing.strategies import RunTaskInThreads as InThreads
from arroyo.types import BaseValue, Commit, Message, Topic
from confluent_kafka import Consumer, Producer

from clocksvc.arroyo import BufferedStrategyFactory
from clocksvc.consumer import BufferedConsumer
from tests.bench.figures import Figure, Spread, interleaved, ratios
from tests.system.installation import create_topic

RECORDS = 300_000
PARTITIONS = 4
BATCH = 1_000
FLUSH_S = 0.02
THREADS = 8
PAIRS = 5
SETTINGS: dict[str, Any] = {"fetch.queue.backoff.ms": 5, "auto.offset.reset": "earliest"}


class Sink:
    """The author's functions. They measure the time from the first record to the last flush."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self._began = self._ended = 0.0
        self._left = RECORDS
        self._lock = threading.Lock()

    def process(self, value: bytes | None) -> bytes:
        """Process one record."""
        if not self._began:
            self._began = time.perf_counter()
        return value or b""

    def flush(self, batch: list[bytes]) -> None:
        """Flush a batch: only the wait counts, as for a database on another machine."""
        time.sleep(FLUSH_S * len(batch) / BATCH)
        with self._lock:
            self._left -= len(batch)
            if self._left <= 0:
                self._ended = time.perf_counter()
                self.done.set()

    def records_per_s(self) -> float:
        """Wait for the last flush."""
        assert self.done.wait(300), f"{self._left} records are missing"
        return RECORDS / (self._ended - self._began)


@contextmanager
def _running(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(60)
    assert not thread.is_alive()


def buffered(bootstrap: str, topic: str) -> float:
    """BufferedConsumer: records a second."""
    sink = Sink()
    consumer = BufferedConsumer(
        topic,
        group=f"bench-{uuid.uuid4().hex}",
        process=lambda message: sink.process(message.value()),
        flush=sink.flush,
        bootstrap_servers=bootstrap,
        settings=SETTINGS,
        batch_records=BATCH,
        concurrent_flushes=THREADS,
    )
    with _running(consumer.run, consumer.stop):
        return sink.records_per_s()


def inline(bootstrap: str, topic: str) -> float:
    """A loop that consumes, flushes and commits: records a second."""
    sink = Sink()
    given = {"bootstrap.servers": bootstrap, "group.id": f"bench-{uuid.uuid4().hex}", "enable.auto.commit": False}
    with closing(Consumer({**SETTINGS, **given})) as consumer:
        consumer.subscribe([topic])
        while not sink.done.is_set():
            messages = consumer.consume(BATCH, 0.1)
            if messages:
                sink.flush([sink.process(message.value()) for message in messages])
                consumer.commit(asynchronous=False)
    return sink.records_per_s()


class ReduceFactory(ProcessingStrategyFactory[KafkaPayload]):
    """Arroyo's own steps with the same functions."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def create_with_partitions(self, commit: Commit, partitions: Any) -> ProcessingStrategy[Any]:
        flush = InThreads(self._flush, THREADS, 2 * THREADS, CommitOffsets(commit))
        batch: Reduce[Any, Any] = Reduce(BATCH, 1.0, self._collect, list, flush)
        return batch

    def _collect(self, batch: Any, value: BaseValue[Any]) -> Any:
        batch.append(self._sink.process(value.payload.value))
        return batch

    def _flush(self, message: Message[list[bytes]]) -> None:
        self._sink.flush(message.payload)


def _arroyo(bootstrap: str, topic: str, sink: Sink, factory: ProcessingStrategyFactory[Any]) -> float:
    configuration = build_kafka_consumer_configuration(
        {"fetch.queue.backoff.ms": 5},
        bootstrap_servers=[bootstrap],
        group_id=f"bench-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    processor = StreamProcessor(KafkaConsumer(configuration), Topic(topic), factory)
    with _running(processor.run, processor.signal_shutdown):
        return sink.records_per_s()


def reduce_in_threads(bootstrap: str, topic: str) -> float:
    """Arroyo's Reduce and RunTaskInThreads: records a second."""
    sink = Sink()
    return _arroyo(bootstrap, topic, sink, ReduceFactory(sink))


def buffered_on_arroyo(bootstrap: str, topic: str) -> float:
    """BufferedStrategyFactory: records a second."""
    sink = Sink()
    factory = BufferedStrategyFactory(
        lambda message: sink.process(message.payload.value),
        sink.flush,
        batch_records=BATCH,
        concurrent_flushes=THREADS,
    )
    return _arroyo(bootstrap, topic, sink, factory)


def run(bootstrap: str) -> list[Figure]:
    """Each figure is the ratio of pairs that ran one after another."""
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    create_topic(bootstrap, topic, PARTITIONS)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 2 * RECORDS})
    for number in range(RECORDS):
        producer.produce(topic, b"%099d" % number, partition=number % PARTITIONS)
    assert producer.flush(60) == 0
    ours, loop, reduce, strategy = interleaved(
        PAIRS,
        *(
            lambda measure=measure: measure(bootstrap, topic)
            for measure in (buffered, inline, reduce_in_threads, buffered_on_arroyo)
        ),
    )
    over_loop, over_reduce, strategy_over_reduce = ratios(ours, loop), ratios(ours, reduce), ratios(strategy, reduce)
    what = f"{RECORDS:,} records, flushes of {1000 * FLUSH_S:.0f} ms for {BATCH:,} records, {THREADS} threads"
    return [
        Figure(f"BufferedConsumer, records/s ({what})", Spread.of(ours).show(digits=0)),
        Figure("a loop that flushes in line, records/s", Spread.of(loop).show(digits=0)),
        Figure("Arroyo's Reduce and RunTaskInThreads, records/s", Spread.of(reduce).show(digits=0)),
        Figure("BufferedStrategyFactory on Arroyo, records/s", Spread.of(strategy).show(digits=0)),
        Figure("BufferedConsumer / the loop", over_loop.show("times"), "at least 3 times", over_loop.median >= 3),
        Figure(
            "BufferedConsumer / Reduce and RunTaskInThreads",
            over_reduce.show("times"),
            "at least 2 times",
            over_reduce.median >= 2,
        ),
        Figure("BufferedStrategyFactory / Reduce and RunTaskInThreads", strategy_over_reduce.show("times")),
    ]
