"""Loading 1,000,000 records of one partition into a CompactedTable, beside the raw read by librdkafka."""

import gc
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.consumer import CompactedTable, TableRecord
from tests.bench.figures import Figure, Spread, interleaved, ratios

RECORDS = 1_000_000
RECORD_BYTES = 277
PAIRS = 5
MOST_TIMES_RAW = 4.0
RAW = "raw"


class Took(NamedTuple):
    """Seconds, and seconds of processor time of this process with all threads."""

    wall_s: float
    cpu_s: float


def run(bootstrap: str) -> list[Figure]:
    """Raw bytes, a small value for each record, and the same with `on_change`."""
    topic = f"table-{os.getpid()}-{time.time_ns()}"
    _fill(bootstrap, topic)
    intervals: dict[bytes, int] = {}

    def keep(key: bytes, _: object, new: tuple[int, bytes] | None) -> None:
        if new is not None:
            intervals[key] = new[0]

    cpu: dict[str, list[float]] = {RAW: [], "bytes": [], "interval and bytes": [], "the same with on_change": []}
    contestants: list[Callable[[], Took]] = [
        lambda: _read_raw(bootstrap, topic),
        lambda: _load(bootstrap, topic, lambda record: record.value()),
        lambda: _load(bootstrap, topic, _interval_and_bytes),
        lambda: _load(bootstrap, topic, _interval_and_bytes, keep),
    ]

    def timed(name: str, run: Callable[[], Took]) -> float:
        took = run()
        cpu[name].append(took.cpu_s)
        return took.wall_s

    walls = interleaved(PAIRS, *(partial(timed, *one) for one in zip(cpu, contestants, strict=True)))
    figures = []
    for name, wall in zip(cpu, walls, strict=True):
        seen = f"{Spread.of(wall).show('s')}, processor time {Spread.of(cpu[name]).show('s')}"
        if name == RAW:
            figures.append(Figure(f"librdkafka reads {RECORDS:,} records of {RECORD_BYTES} bytes", seen))
            continue
        by_wall, by_cpu = ratios(wall, walls[0]), ratios(cpu[name], cpu[RAW])
        figures.append(
            Figure(
                f"CompactedTable is ready, {name}",
                f"{seen}; {by_wall.show()} times the raw read, by processor time {by_cpu.show()}",
                f"at most {MOST_TIMES_RAW:.0f} times",
                by_wall.median <= MOST_TIMES_RAW,
            )
        )
    with multiprocessing.get_context("spawn").Pool(1) as process:
        before, after = process.apply(_memory_mib, (bootstrap, topic))
    figures.append(Figure("memory of a process before and with the last table", f"{before:.0f}, {after:.0f} MiB"))
    return figures


def _interval_and_bytes(record: TableRecord) -> tuple[int, bytes]:
    value: bytes = record.value()
    return int(value[13:17]), value


def _fill(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config={"cleanup.policy": "compact"})])[topic].result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "batch.size": 1_000_000})
    for number in range(RECORDS):
        key = f"{number:032x}".encode()
        start = json.dumps({"interval": 60 * (1 + number % 60) + 1000, "task": "uptime.check"}).encode()
        value = start + b" " * (RECORD_BYTES - len(key) - len(start))
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def _read_raw(bootstrap: str, topic: str) -> Took:
    began, cpu_began = time.perf_counter(), time.process_time()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "raw",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = 0
    while True:
        messages = consumer.consume(10_000, 0.05)
        records += len(messages)
        error = messages[-1].error() if messages else None
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            break
    took = Took(time.perf_counter() - began, time.process_time() - cpu_began)
    consumer.close()
    assert records == RECORDS + 1
    return took


def _load(
    bootstrap: str,
    topic: str,
    decode: Callable[[TableRecord], object],
    on_change: Callable[..., object] | None = None,
) -> Took:
    began, cpu_began = time.perf_counter(), time.process_time()
    table = CompactedTable(
        topic,
        decode=decode,
        bootstrap_servers=bootstrap,
        on_change=on_change,
        pause_collector=True,
    )
    table.wait_ready(60)
    took = Took(time.perf_counter() - began, time.process_time() - cpu_began)
    assert len(table) == RECORDS
    table.close()
    del table
    gc.unfreeze()
    gc.collect()
    return took


def _memory_mib(bootstrap: str, topic: str) -> tuple[float, float]:
    before = _resident_mib()
    table = CompactedTable(topic, decode=_interval_and_bytes, bootstrap_servers=bootstrap, pause_collector=True)
    with table:
        table.wait_ready(60)
        return before, _resident_mib()


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
