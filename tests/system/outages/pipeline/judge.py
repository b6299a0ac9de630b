"""Judges a pipeline by the contents of its sink, the notes of its stages, and the first topic. No code of the service.

`early` compares each tick with the records before it: each must have been handled when the tick was appended.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from tests.system.evidence import TickWithOffset, broken_links
from tests.system.plain_group import early


class Stage(NamedTuple):
    """What is known of a stage at the end.

    Attributes:
        handled_ms: when each record of the first topic was handled for the first time, by its origin.
    """

    clock: str
    ticks: Sequence[TickWithOffset]
    handled_ms: Mapping[str, int]


class Judgement(NamedTuple):
    """What was wrong, and how much happened.

    Attributes:
        wrong: texts by error.
        latencies_s: for each clock, how long after its boundaries ticks were appended: median, 99 % and maximum.
    """

    records: int
    ticks: Mapping[str, int]
    wrong: Mapping[str, Sequence[str]]
    latencies_s: Mapping[str, tuple[float, float, float]]


def judge(timestamps: Mapping[str, int], stages: Sequence[Stage], interval_ms: int, calm: Sequence[range]) -> Judgement:
    """Judge a run.

    Args:
        timestamps: of all records of the first topic, by origin.
        stages: in order; the last one is the sink.
        calm: the times in ms without a fault: the boundaries for the latencies.
    """
    wrong: dict[str, list[str]] = {"early": [], "missing": [], "broken": []}
    for stage in stages:
        wrong["early"] += [
            f"{stage.clock}: tick {at_ms} before record {origin} was handled"
            for at_ms, origin in early(stage.ticks, timestamps, stage.handled_ms)
        ]
        wrong["broken"] += [f"{stage.clock}: {text}" for text in broken_links(list(stage.ticks), interval_ms)]
    wrong["missing"] = sorted(timestamps.keys() - stages[-1].handled_ms.keys())
    return Judgement(
        len(timestamps),
        {stage.clock: len(stage.ticks) for stage in stages},
        wrong,
        {stage.clock: _latency(stage.ticks, calm) for stage in stages},
    )


def _latency(ticks: Iterable[TickWithOffset], calm: Sequence[range]) -> tuple[float, float, float]:
    found = sorted((tick.appended_ms - tick.at_ms) / 1000 for tick in ticks if any(tick.at_ms in one for one in calm))
    if len(found) < 2:
        return (0.0, 0.0, 0.0)
    percentiles = quantiles(found, n=100, method="inclusive")
    return percentiles[49], percentiles[98], found[-1]


def read_timestamps(bootstrap: str, topic: str, partitions: int) -> dict[str, int]:
    """The timestamps of all records of the first topic, by origin."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "judge", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: dict[str, int] = {}
    ends = 0
    while ends < partitions:
        message = consumer.poll(10.0)
        assert message is not None, f"the end of {topic} did not come"
        if message.error() is None:
            found[f"{message.partition()}:{message.offset()}"] = message.timestamp()[1]
        else:
            ends += 1
    consumer.close()
    return found


def read_notes(files: Iterable[Path]) -> dict[str, int]:
    """When records were handled for the first time, by origin, from the notes of a stage's members.

    The last line can be incomplete: its member was killed.
    """
    found: dict[str, int] = {}
    for file in files:
        text = file.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():
            origin, _, at_ms = line.split()
            found[origin] = min(found.get(origin, int(at_ms)), int(at_ms))
    return found


def read_sink(file: Path) -> dict[str, int]:
    """When the rows of the sink were committed, by origin."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT origin, flushed_ms FROM rows WHERE flushed_ms IS NOT NULL")
        return dict(rows.fetchall())
