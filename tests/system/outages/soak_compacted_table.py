"""A CompactedTable while its broker is killed: `make soak` runs it. Not part of `make test`, because it takes minutes.

Writers append plain records, tombstones and transactions, of which many are aborted, and the log is compacted all the
time. At the end, the table and the calls of `on_change` must equal what an independent consumer reads.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.consumer import CompactedTable, TableRecord
from clocksvc.dev.kafka_server import KafkaServer
from tests.waiting import eventually

pytestmark = pytest.mark.servers

TOPIC = "configs"
PARTITIONS = 4
KEYS = 500
SOAK_S = float(os.environ.get("SOAK_SECONDS", "30"))
CONFIG = {"cleanup.policy": "compact", "segment.ms": "500", "min.cleanable.dirty.ratio": "0.01"}

Value = tuple[int, bytes | None]
"""Offset and value."""


class Writers:
    """Two threads that write until the end of the block. `counts` has how much."""

    def __init__(self, bootstrap: str) -> None:
        self.counts = {"plain": 0, "committed": 0, "aborted": 0}
        self._settings: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._stop = threading.Event()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the threads."""
        threads = [threading.Thread(target=run, daemon=True) for run in (self._plain, self._transactions)]
        for thread in threads:
            thread.start()
        yield
        self._stop.set()
        for thread in threads:
            thread.join(120)

    def _plain(self) -> None:
        rng = random.Random(1)
        producer = Producer({**self._settings, "enable.idempotence": True})
        while not self._stop.wait(0.002):
            self._write(producer, rng, "p")
            self.counts["plain"] += 1
        producer.flush(60)

    def _transactions(self) -> None:
        rng = random.Random(2)
        producer: Producer | None = None
        while not self._stop.wait(0.01):
            try:
                producer = producer or self._transactional()
                producer.begin_transaction()
                for _ in range(rng.randrange(1, 20)):
                    self._write(producer, rng, "t")
                if rng.random() < 0.4:
                    producer.abort_transaction(10)
                    self.counts["aborted"] += 1
                else:
                    producer.commit_transaction(10)
                    self.counts["committed"] += 1
            except KafkaException:  # the broker is away: a new producer ends what is open
                producer = None

    def _transactional(self) -> Producer:
        producer = Producer({**self._settings, "transactional.id": TOPIC, "transaction.timeout.ms": 10_000})
        producer.init_transactions(30)
        return producer

    def _write(self, producer: Producer, rng: random.Random, kind: str) -> None:
        value = None if rng.random() < 0.2 else b"%d" % rng.randrange(10**9)
        key = f"{kind}{rng.randrange(KEYS)}".encode()
        try:
            producer.produce(TOPIC, value, key, partition=rng.randrange(PARTITIONS))
        except BufferError:
            producer.poll(0.1)
        producer.poll(0)


class Replay:
    """What the calls of `on_change` alone say. `wrong` has calls that contradict the ones before."""

    def __init__(self) -> None:
        self.contents: dict[bytes, Value] = {}
        self.wrong: list[bytes] = []

    def __call__(self, key: bytes, old: Value | None, new: Value | None) -> None:
        if self.contents.pop(key, None) != old:
            self.wrong.append(key)
        if new is not None:
            self.contents[key] = new


def read_independently(bootstrap: str, partition: int) -> dict[bytes, Value]:
    """The newest committed value of each key, by a plain consumer."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "oracle", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.partition.eof": True, "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, partition, 0)])
    found: dict[bytes, Value] = {}
    while True:
        message = consumer.poll(30)
        assert message is not None
        if message.error() is not None:
            break
        key = message.key() or b""
        found.pop(key, None)
        if message.value() is not None:
            found[key] = (message.offset() or 0, message.value())
    error = message.error()
    assert error is not None
    assert error.code() == KafkaError._PARTITION_EOF
    consumer.close()
    return found


def offset_and_value(record: TableRecord) -> Value:
    """The value in the table."""
    return record.offset(), record.value()


def pause(seconds: float) -> None:
    """Let time pass between two faults."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, within=seconds + 1)


def test_the_table_is_what_was_committed() -> None:
    """However often the broker is killed. Runs for SOAK_SECONDS, 30 unless set, and prints how much happened."""
    with KafkaServer(properties={"log.cleaner.backoff.ms": "200"}) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config=CONFIG)])[TOPIC].result(30)
        replay, writers, kills = Replay(), Writers(kafka.bootstrap), 0
        with (
            CompactedTable(TOPIC, decode=offset_and_value, bootstrap_servers=kafka.bootstrap) as table,
            CompactedTable(
                TOPIC, decode=offset_and_value, bootstrap_servers=kafka.bootstrap, partitions=[0], on_change=replay
            ) as replayed,
        ):
            with writers.writing():
                rng, until = random.Random(3), time.monotonic() + SOAK_S
                while time.monotonic() < until:
                    pause(rng.uniform(2, 4))
                    kafka.kill()
                    kills += 1
                    pause(rng.uniform(0.1, 4))
                    kafka.restart()
                written = writers.counts["plain"]
                eventually(lambda: writers.counts["plain"] > written + 100, within=60, what="records after the kills")
            for partition in range(PARTITIONS):
                table.read_to_end(partition, 60)  # a transaction that was left open ends within 10 s
            replayed.read_to_end(0, 60)
            wanted = [read_independently(kafka.bootstrap, partition) for partition in range(PARTITIONS)]

            assert [dict(table.items(partition)) for partition in range(PARTITIONS)] == wanted
            assert dict(replayed.items()) == replay.contents == wanted[0]
            assert replay.wrong == []
            assert kills > 0
            assert all(writers.counts.values())
            print(f"{kills} kills; {writers.counts}; {table.counts}; {len(table)} keys, no difference")
