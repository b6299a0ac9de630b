"""docs/reading-ticks.md: its programs read exactly the ticks of their clock from a real log. Its schema is right."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from confluent_kafka import Producer
from hypothesis import given

from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.clock.log_record import ClockState, Message, Record, encode_message
from clocksvc.clock.log_state import snapshot_messages
from clocksvc.clock.logs import LOGS, log_of
from clocksvc.clock.tick import Tick
from clocksvc.dev.kafka_jars import default_cache_dir, kafka_jars
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.process import Process
from tests.repository import ROOT
from tests.system.docs.blocks import blocks, text_of
from tests.unit.clock.random_values import RECORDS
from tests.waiting import eventually

PAGE = "docs/reading-ticks.md"
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "tick-log-record.schema.json").read_text(encoding="utf-8"))
TYPE = "clocksvc-type"
CLOCK = "checkins"
OWNER = LogOwner(Installation("clocksvc", "redis:6379"), "a1")
MINUTE_MS, BEGIN_MS, TICKS = 60_000, 1_795_348_800_000, 5
WITHIN_S = 60.0


def neighbour() -> str:
    """Another clock in the log of the page's clock."""
    return next(name for name in (f"other-{number}" for number in range(1_000)) if log_of(name) == log_of(CLOCK))


class Log:
    """The log of the page's clock in Kafka, as a leader writes it."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap, self.topic = bootstrap, topic
        self._log = KafkaTickLog(topic, log_of(CLOCK), {"bootstrap.servers": bootstrap}, SystemTime(), 30 * 86_400_000)
        self._log.ensure_topic(lambda: None)
        self._log.fence(lambda: None)
        self._end = self._log.bounds(lambda: None).end
        self._newest: dict[str, Message] = {}

    def append(self, *records: Record) -> None:
        """One transaction of records."""
        messages = [encode_message(record) for record in records]
        self._newest |= {record.clock: message for record, message in zip(records, messages, strict=True)}
        self._end = self._log.append(messages, self._end, lambda: None)

    def append_snapshot(self) -> None:
        """The transaction of a snapshot."""
        snapshot = snapshot_messages(OWNER, self._newest, self._end, complete=True)
        self._end = self._log.append(snapshot, self._end, lambda: None)

    def abort(self, record: Record) -> None:
        """A transaction of another producer that is aborted."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.topic}-aborted"})
        producer.init_transactions(WITHIN_S)
        producer.begin_transaction()
        key, value, kind = encode_message(record)
        producer.produce(self.topic, value, key, partition=log_of(CLOCK), headers={TYPE: kind})
        producer.flush(WITHIN_S)
        producer.abort_transaction(WITHIN_S)
        self._end = self._log.bounds(lambda: None).end

    def close(self) -> None:
        """Close connections."""
        self._log.close()


def tick(clock: str, number: int) -> Record:
    """A record with a tick. Each of them is a minute after the last one."""
    at_ms = BEGIN_MS + number * MINUTE_MS
    previous_ms = at_ms - MINUTE_MS if number else None
    return Record(clock, ClockState(at_ms, at_ms), Tick(clock, at_ms, previous_ms, MINUTE_MS, at_ms))


@pytest.fixture(scope="module")
def log(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A log with ticks of two clocks, control records, snapshots and an aborted tick."""
    made = Log(bootstrap, f"reading-{tmp_path_factory.mktemp('reading').stat().st_ino}-ticks")
    made.append_snapshot()
    for number in range(TICKS):
        made.append(replace(tick(CLOCK, max(0, number - 1)), tick=None))
        made.append(tick(neighbour(), number), tick(CLOCK, number))
        made.abort(tick(CLOCK, number + 1))
        made.append_snapshot()
    yield made
    made.close()


def text(name: str, log: Log) -> str:
    """A program of the page, with the names of this test."""
    (block,) = [block for block in blocks(PAGE) if block.name == name]
    return block.text.replace("localhost:9092", log.bootstrap).replace("clocksvc-ticks", log.topic)


@contextmanager
def running(command: list[str | Path], folder: Path) -> Iterator[Process]:
    """A program that runs until the end of the block."""
    process = Process(command, folder / "output.log", cwd=folder)
    try:
        yield process
    finally:
        process.kill()


TIMES = [f"2026-11-22T12:0{number}:00Z" for number in range(TICKS + 1)]
"""The times of the ticks, and of one that is written later."""


@pytest.mark.servers
def test_the_python_reader(log: Log, tmp_path: Path) -> None:
    """Each tick once, nothing else; another run of the same group continues after the last one."""
    (tmp_path / "read_ticks.py").write_text(text("read_ticks.py", log))

    def times(process: Process) -> list[str]:
        assert "missing" not in process.output()
        return re.findall(r"^everything before (\S+) is processed$", process.output(), re.MULTILINE)

    def read(expected: list[str]) -> None:
        with running([sys.executable, "read_ticks.py"], tmp_path) as process:
            eventually(lambda: len(times(process)) >= len(expected), within=WITHIN_S, what="the ticks")
            assert times(process) == expected

    read(TIMES[:TICKS])
    log.append(tick(CLOCK, TICKS))
    read(TIMES)


@pytest.mark.servers
@pytest.mark.skipif(shutil.which("javac") is None, reason="there is no Java compiler")
def test_the_java_reader(log: Log, tmp_path: Path) -> None:
    """The same with kafka-clients: it compiles without a warning, and prints each tick once."""
    libraries = f"{kafka_jars(default_cache_dir())}/*"
    (tmp_path / "ReadTicks.java").write_text(text("ReadTicks.java", log))
    compiled = subprocess.run(
        ["javac", "-Xlint:all", "-cp", libraries, "ReadTicks.java"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (compiled.returncode, compiled.stderr) == (0, "")

    def times(process: Process) -> list[str]:
        return [json.loads(line)["time"] for line in process.output().splitlines() if line.startswith('{"')]

    with running(["java", "-cp", f"{libraries}:.", "ReadTicks"], tmp_path) as process:
        eventually(lambda: len(times(process)) >= TICKS, within=WITHIN_S, what="the ticks")
        assert times(process)[:TICKS] == TIMES[:TICKS]


def valid(value: object) -> None:
    """Validate a record's value by the schema."""
    jsonschema.Draft202012Validator(SCHEMA).validate(value)


@pytest.mark.core
@given(RECORDS)
def test_every_record_follows_the_schema(record: Record) -> None:
    """With and without a tick."""
    value = encode_message(record).value
    assert value is not None
    valid(json.loads(value))


@pytest.mark.core
@pytest.mark.parametrize("field", ["clock", "format", "state", "time", "previous", "emitted_at", "excluded"])
def test_a_record_without_a_field_does_not(field: str) -> None:
    """The schema requires the fields on which readers rely."""
    body = json.loads(encode_message(tick(CLOCK, 1)).value or b"")
    valid(body)
    del body[field]

    with pytest.raises(jsonschema.ValidationError):
        valid(body)


@pytest.mark.core
def test_the_value_on_the_page_follows_the_schema() -> None:
    """Apart from its shortened state."""
    (block,) = blocks(PAGE, "json")
    body = json.loads(block.text)
    body["state"] = json.loads(encode_message(tick(CLOCK, 1)).value or b"")["state"]

    valid(body)


@pytest.mark.core
def test_the_page_has_the_right_number_of_logs() -> None:
    """The number is in the text and in both programs."""
    assert len(re.findall(rf"% {LOGS}\b", text_of(PAGE))) == 3
