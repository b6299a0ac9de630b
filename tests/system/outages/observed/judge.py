"""What was early, and how late ticks were, by the topic's own records and what the group noted before it committed."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

from confluent_kafka import Consumer, TopicPartition

from tests.system.evidence import TickWithOffset

NEVER_MS = 10**15

Place = tuple[int, int]
"""Partition and offset."""


def read_timestamps(bootstrap: str, topic: str, partitions: int) -> dict[Place, int]:
    """The timestamp of every visible record of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: dict[Place, int] = {}
    ended: set[int] = set()
    while len(ended) < partitions:
        for message in consumer.consume(10_000, 10.0):
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            if message.error() is not None:
                ended.add(partition)
            elif offset is not None:
                found[partition, offset] = message.timestamp()[1]
    consumer.close()
    return found


def early(
    ticks: Iterable[TickWithOffset], timestamps: Mapping[Place, int], handled_ms: Mapping[Place, int]
) -> list[str]:
    """The ticks that were appended before a record with an earlier timestamp was handled for the first time."""
    by_time = sorted(timestamps.items(), key=lambda item: item[1])
    wrong, ahead, latest_ms, latest = [], 0, 0, (0, 0)
    for tick in sorted(ticks):
        while ahead < len(by_time) and by_time[ahead][1] < tick.at_ms:
            place = by_time[ahead][0]
            at_ms = handled_ms.get(place, NEVER_MS)
            if at_ms > latest_ms:
                latest_ms, latest = at_ms, place
            ahead += 1
        if latest_ms > tick.appended_ms:
            wrong.append(f"tick {tick.at_ms} at {tick.appended_ms} before {latest} was handled at {latest_ms}")
    return wrong


@dataclass(frozen=True)
class Passed:
    """When the rules could see that partitions have passed boundaries, by the notes of the group alone.

    Args:
        out_of_orderness_ms, drain_delay_ms: of the clock.
    """

    timestamps: Mapping[Place, int]
    handled_ms: Mapping[Place, int]
    partitions: int
    out_of_orderness_ms: int
    drain_delay_ms: int

    def times(self, boundaries: Sequence[int]) -> dict[int, int]:
        """For each boundary, the time at which the last partition had passed it: by a record, or because it was
        drained `drain_delay` after the boundary."""
        found = dict.fromkeys(boundaries, 0)
        for partition in range(self.partitions):
            for boundary_ms, at_ms in self._times_of(partition, boundaries).items():
                found[boundary_ms] = max(found[boundary_ms], at_ms)
        return found

    def _times_of(self, partition: int, boundaries: Sequence[int]) -> dict[int, int]:
        records = sorted(
            (timestamp_ms, self.handled_ms.get(place, NEVER_MS))
            for place, timestamp_ms in self.timestamps.items()
            if place[0] == partition
        )
        stamps = [timestamp_ms for timestamp_ms, _ in records]
        done = [at_ms for _, at_ms in records]
        before = [0]
        for at_ms in done:
            before.append(max(before[-1], at_ms))
        after = [NEVER_MS]
        for at_ms in reversed(done):
            after.append(min(after[-1], at_ms))
        found = {}
        for boundary_ms in boundaries:
            by_record = after[len(stamps) - bisect_left(stamps, boundary_ms + self.out_of_orderness_ms)]
            drained_ms = boundary_ms + self.out_of_orderness_ms + self.drain_delay_ms
            all_before_ms = before[bisect_left(stamps, boundary_ms)]
            found[boundary_ms] = min(max(by_record, all_before_ms), max(drained_ms, all_before_ms))
        return found


def describe(values_ms: Sequence[int]) -> str:
    """Median, 99th percentile and maximum, in seconds."""
    if len(values_ms) < 2:
        return f"{len(values_ms)} values"
    cuts = quantiles(values_ms, n=100)
    return f"p50 {cuts[49] / 1000:.2f} s, p99 {cuts[98] / 1000:.2f} s, max {max(values_ms) / 1000:.2f} s"
