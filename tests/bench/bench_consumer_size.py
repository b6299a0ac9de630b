"""Threads, connections and memory of a process with a BufferedConsumer, over real Kafka and Valkey.

docs/sizing.md has the figures. They have no wanted values.
"""

import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka import Producer

from tests.bench.figures import Figure
from tests.bench.process_load import connections
from tests.system.installation import create_topic
from tests.waiting import eventually

PARTITIONS = 4
MIB = 2**20
TOTAL_BYTES = 256 * MIB
VALUES = (1_000, 10_000)
PROC = Path("/proc/self")


def run(bootstrap: str, redis_url: str) -> list[Figure]:
    """An idle consumer with and without its parts, then full buffers."""
    return list(_all(bootstrap, redis_url))


def _all(bootstrap: str, redis_url: str) -> Iterator[Figure]:
    topic = _filled(bootstrap, 1_000, 10 * MIB)
    for parts in ("", "letters", "reporter", "letters reporter"):
        yield _measured(f"idle: {parts or 'alone'}", bootstrap, redis_url, topic, parts)
    for value in VALUES:
        topic = _filled(bootstrap, value, TOTAL_BYTES)
        for parts in ("full", "full small"):
            yield _measured(f"{parts}, values of {value} bytes", bootstrap, redis_url, topic, parts)


def _filled(bootstrap: str, value: int, total: int) -> str:
    topic = f"size-{uuid.uuid4().hex[:8]}"
    for name in (topic, f"{topic}-letters"):
        create_topic(bootstrap, name, PARTITIONS)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.kbytes": 65_536})
    for number in range(total // value):
        while True:
            try:
                producer.produce(topic, os.urandom(value), partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0
    return topic


def _measured(name: str, bootstrap: str, redis_url: str, topic: str, parts: str) -> Figure:
    command = [sys.executable, "-m", "tests.bench.bench_consumer_size", bootstrap, redis_url, topic, parts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return Figure(name, done.stdout.strip())


def _child(bootstrap: str, redis_url: str, topic: str, parts: str) -> None:
    """Run one consumer, and print what it takes."""
    from clocksvc import Reporter
    from clocksvc.consumer import BufferedConsumer

    imported = _status()
    full, ended = "full" in parts, threading.Event()

    def flush(batch: list[Any]) -> None:
        if full:
            ended.wait(170)

    group = f"size-{uuid.uuid4().hex[:8]}"
    reporter = Reporter(redis_url, "orders", group=group, topic=topic) if "reporter" in parts else None
    consumer = BufferedConsumer(
        topic,
        group=group,
        process=lambda message: message.value(),
        flush=flush,
        bootstrap_servers=bootstrap,
        settings={"queued.max.messages.kbytes": 8_192} if "small" in parts else {},
        dead_letters=f"{topic}-letters" if "letters" in parts else None,
        reporter=reporter,
    )
    thread = threading.Thread(target=consumer.run, name="main loop")
    thread.start()
    stats = consumer.stats
    if full:
        eventually(lambda: stats.paused_partitions.get("buffer_full") == PARTITIONS, within=120, what="a full buffer")
    else:
        eventually(lambda: stats.records_total == 10 * MIB // 1_000, within=60, what="all records")
        eventually(lambda: stats.uncommitted_records == 0, within=60, what="the last commit")
    print(json.dumps(_seen(imported, stats.buffered_bytes, stats.buffered_records, bootstrap, redis_url)))
    ended.set()
    consumer.stop()
    thread.join(60)
    if reporter is not None:
        reporter.close()


def _seen(imported: dict[str, int], buffered: int, records: int, bootstrap: str, redis_url: str) -> dict[str, Any]:
    names = [(task / "comm").read_text().strip() for task in (PROC / "task").iterdir()]
    kafka = sum(name.startswith("rdk:") for name in names)
    status = _status()
    return {
        "threads": len(names),
        "of librdkafka": kafka,
        "named": sorted(Counter(thread.name for thread in threading.enumerate()).items()),
        "rdk": sorted(Counter(name for name in names if name.startswith("rdk:")).items()),
        "connections to Kafka": connections(os.getpid(), int(bootstrap.rpartition(":")[2])),
        "connections to Redis": connections(os.getpid(), urlsplit(redis_url).port or 6379),
        "buffered MiB": round(buffered / MIB, 1),
        "records": records,
        "MiB after the imports": imported["VmRSS"] // 1024,
        "MiB now": status["VmRSS"] // 1024,
        "MiB at most": status["VmHWM"] // 1024,
    }


def _status() -> dict[str, int]:
    """KiB by name."""
    found = re.findall(r"^(Vm\w+):\s+(\d+) kB", (PROC / "status").read_text(), re.MULTILINE)
    return {name: int(size) for name, size in found}


if __name__ == "__main__":
    _child(*sys.argv[1:])
