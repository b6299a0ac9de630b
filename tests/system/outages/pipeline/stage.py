"""A member of one stage of the pipeline, as a process of its own: python -m tests.system.outages.pipeline.stage JSON

It knows nothing of clocksvc. It ends at the first error, like many programs that run under a supervisor.

- `transactional` writes its output and its offsets in one Kafka transaction.
- `plain` commits its offsets after its output was acknowledged: at least once.
- `sink` commits its offsets after its rows were committed in a database.
"""

import faulthandler
import json
import os
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.system.installation import wall_ms

_TIMEOUT_S = 6.0
_STUCK_S = 15.0
"""After an outage of the broker, a call of librdkafka's transactions can hang for longer than its timeout."""
SCHEMA = "CREATE TABLE IF NOT EXISTS rows (origin TEXT PRIMARY KEY, timestamp_ms INTEGER, flushed_ms INTEGER)"


@dataclass(frozen=True)
class Member:
    """What a member does.

    Attributes:
        name: unique; a part of the transactional id.
        kind: `transactional`, `plain` or `sink`.
        output: the topic that it writes, and `outputs` its number of partitions.
        file: where it notes what it has handled, before it commits: a text file, or the sink's database.
        first: True if its topic is the first one: it names each record by partition and offset there.
    """

    name: str
    kind: str
    bootstrap: str
    topic: str
    group: str
    file: str
    output: str = ""
    outputs: int = 1
    first: bool = False

    def to_json(self) -> str:
        """The argument of the process."""
        return json.dumps(asdict(self))


class Input(NamedTuple):
    """A record with its origin: its partition and offset in the first topic, and its timestamp there."""

    partition: int
    origin: str
    timestamp_ms: int


def read(member: Member, message: Message) -> Input:
    """Return the origin of a record."""
    partition = message.partition() or 0
    if member.first:
        return Input(partition, f"{partition}:{message.offset()}", message.timestamp()[1])
    origin, _, timestamp_ms = (message.value() or b"").decode().partition(" ")
    return Input(partition, origin, int(timestamp_ms))


def run(member: Member, stop: threading.Event) -> None:
    """Handle records until `stop` is set."""
    consumer = Consumer(
        {
            "bootstrap.servers": member.bootstrap,
            "group.id": member.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "session.timeout.ms": 6000,
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
    )
    faulthandler.dump_traceback_later(_STUCK_S, exit=True)
    producer = _producer(member)
    consumer.subscribe([member.topic])
    while not stop.is_set():
        faulthandler.dump_traceback_later(_STUCK_S, exit=True)
        messages = [message for message in consumer.consume(500, 0.1) if message.error() is None]
        if messages:
            _handle(member, consumer, producer, messages)
    consumer.close()


def _producer(member: Member) -> Producer | None:
    if not member.output:
        return None
    settings = {"bootstrap.servers": member.bootstrap, "acks": "all", "enable.idempotence": True, "log_level": 0}
    if member.kind != "transactional":
        return Producer(settings)
    producer = Producer(settings | {"transactional.id": member.name, "transaction.timeout.ms": 10_000})
    producer.init_transactions(_TIMEOUT_S)
    return producer


def _handle(member: Member, consumer: Consumer, producer: Producer | None, messages: Sequence[Message]) -> None:
    inputs = [read(member, message) for message in messages]
    if member.kind == "transactional":
        assert producer is not None
        producer.begin_transaction()
        try:
            _write(member, producer, inputs)
            _note(member, inputs)
            producer.send_offsets_to_transaction(_offsets(messages), consumer.consumer_group_metadata(), _TIMEOUT_S)
            producer.commit_transaction(_TIMEOUT_S)
        except BaseException:
            producer.abort_transaction(_TIMEOUT_S)
            raise
        return
    if producer is not None:
        _write(member, producer, inputs)
        _note(member, inputs)
    else:
        store(member, inputs)
    consumer.commit(offsets=_offsets(messages), asynchronous=False)


def _write(member: Member, producer: Producer, inputs: Sequence[Input]) -> None:
    """Write the output. Returns when it is acknowledged."""
    for one in inputs:
        value = f"{one.origin} {one.timestamp_ms}".encode()
        producer.produce(member.output, value, partition=(one.partition + len(value)) % member.outputs)
    assert producer.flush(_TIMEOUT_S) == 0, "the output was not acknowledged in time"


def _note(member: Member, inputs: Sequence[Input]) -> None:
    now_ms = wall_ms()
    with Path(member.file).open("ab", buffering=0) as file:
        file.write("".join(f"{one.origin} {one.timestamp_ms} {now_ms}\n" for one in inputs).encode())


def store(member: Member, inputs: Sequence[Input]) -> None:
    """Write rows. The time in `flushed_ms` is taken after they were committed."""
    with closing(sqlite3.connect(member.file, timeout=_TIMEOUT_S)) as database:
        database.execute(SCHEMA)
        rows = [(one.origin, one.timestamp_ms) for one in inputs]
        database.executemany("INSERT OR IGNORE INTO rows (origin, timestamp_ms) VALUES (?, ?)", rows)
        database.commit()
        flushed = [(wall_ms(), one.origin) for one in inputs]
        database.executemany("UPDATE rows SET flushed_ms = ? WHERE origin = ? AND flushed_ms IS NULL", flushed)
        database.commit()


def _offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    """The offsets after these records."""
    after: dict[int, int] = {}
    for message in messages:
        after[message.partition() or 0] = (message.offset() or 0) + 1
    return [TopicPartition(messages[0].topic() or "", number, offset) for number, offset in after.items()]


def main() -> None:
    """Run the member of the first argument until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        run(Member(**json.loads(sys.argv[1])), stop)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # without the end of Python, which can wait for librdkafka


if __name__ == "__main__":
    main()
