"""What Kafka has after a run, given to the judge of the simulation. All times are of the wall clock, in ms.

The judge excuses two things that can't be known from outside: a change counts for a tick if its writer knew before the
tick that it was written, and may count if it was appended before the tick's due record.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.scheduler_simulation.judge.due_judge import DueJudge, Found
from tests.scheduler_simulation.judge.violation import Violation
from tests.system.scheduler_outages.changes import Acknowledged
from tests.system.scheduler_outages.target import CLOCK

_READ_WITHIN_S = 30.0
_NEVER_KNOWN_MS = 4 * 10**12


class Record(NamedTuple):
    """A committed record."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: dict[str, str]
    appended_ms: int


class Evidence(NamedTuple):
    """The judgement: how much was judged, and every violation, by partition at most the first."""

    counts: Mapping[str, int]
    ticks: int
    changes: int
    longest_delay_ms: int
    undecided: int
    violations: list[str]


def read_committed(bootstrap: str, topic: str) -> Iterator[Record]:
    """Read a topic from its beginning to its end, partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "evidence",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    try:
        count = len(consumer.list_topics(topic, timeout=_READ_WITHIN_S).topics[topic].partitions)
        for partition in range(count):
            consumer.assign([TopicPartition(topic, partition, 0)])
            yield from _to_end(consumer, partition)
    finally:
        consumer.close()


def judge(bootstrap: str, tick_log: str, partitions: int, acknowledged: Acknowledged) -> Evidence:
    """Judge all that the topics contain."""
    judge = DueJudge(CLOCK, partitions)
    ticks = [
        _tick(record) for record in read_committed(bootstrap, tick_log) if record.headers.get("clocksvc-type") == "tick"
    ]
    changes = list(read_committed(bootstrap, f"{CLOCK}-schedules"))
    known = _known(changes, acknowledged.at_ms)
    for record in changes:
        at_ms = known[record.partition, record.offset]
        judge.wrote(record.partition, record.offset, record.key, record.value, record.appended_ms, known=at_ms)
    for partition in range(partitions):
        judge.began(partition)
    for at_ms, previous_ms, appended_ms in ticks:
        judge.ticked(at_ms, previous_ms, at_ms - previous_ms, appended_ms, appended_ms)
    violations = _judge_due(judge, bootstrap, partitions)
    violations += judge.behind(ticks[-1][0]) if ticks else ["no tick came"]
    return Evidence(
        dict(judge.counts), len(ticks), len(changes), judge.longest_delay_ms, judge.counts["undecided"], violations
    )


def _judge_due(judge: DueJudge, bootstrap: str, partitions: int) -> list[str]:
    failed: dict[int, str] = {}
    for record in read_committed(bootstrap, f"{CLOCK}-due"):
        if record.partition in failed:
            continue
        value = record.value or b""
        found = Found(record.offset, record.key, value, record.headers, record.appended_ms, record.appended_ms)
        try:
            judge.read(record.partition, found)
        except Violation as violation:
            failed[record.partition] = f"partition {record.partition}: {violation}"
    return list(failed.values())


def _known(changes: list[Record], acknowledged: Mapping[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    """When a writer knew at the latest that a record was written: a later one of its partition was acknowledged."""
    known: dict[tuple[int, int], int] = {}
    soonest: dict[int, int] = {}
    for record in reversed(changes):
        place = (record.partition, record.offset)
        at_ms = min(soonest.get(record.partition, _NEVER_KNOWN_MS), acknowledged.get(place, _NEVER_KNOWN_MS))
        soonest[record.partition] = known[place] = at_ms
    return known


def _tick(record: Record) -> tuple[int, int, int]:
    fields: dict[str, Any] = json.loads(record.value or b"{}")
    at_ms = fields["timestamp_seconds"] * 1000
    previous_ms = _ms(fields["previous"]) if fields["previous"] else at_ms - fields["interval_seconds"] * 1000
    return at_ms, previous_ms, record.appended_ms


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def _to_end(consumer: Consumer, partition: int) -> Iterator[Record]:
    while True:
        messages = consumer.consume(1, _READ_WITHIN_S)
        messages += consumer.consume(1000, 0.0)
        assert messages, f"partition {partition} can't be read to its end"
        for message in messages:
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                return
            pairs: Any = message.headers() or []
            headers = {name: (value or b"").decode() for name, value in pairs}
            offset, appended_ms = cast(int, message.offset()), message.timestamp()[1]
            yield Record(partition, offset, message.key() or b"", message.value(), headers, appended_ms)
