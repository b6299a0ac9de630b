"""Counts what the observer asks Kafka, for metrics."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.committed_offsets import CommittedOffsets, GroupOffsets, PartitionEnds, ReadRequest, ReadResult


@dataclass(frozen=True, slots=True)
class ObserverStats:
    """Totals of the observer of a process.

    Attributes:
        polls: the number of polls; each is of all clocks that were due.
        poll_seconds: how long all polls together took.
        requests: by the method of CommittedOffsets, except `read`. A question about several groups counts for each.
        record_reads: the number of reads of records.
        failures: the number of requests and reads that were not answered, or not for all partitions.
        restarts: how many times the observer's process ended and was started again.
    """

    polls: int = 0
    poll_seconds: float = 0.0
    requests: Mapping[str, int] = field(default_factory=dict)
    record_reads: int = 0
    failures: int = 0
    restarts: int = 0

    def plus(self, other: "ObserverStats") -> "ObserverStats":
        """Return the sums of all fields."""
        kinds = sorted({*self.requests, *other.requests})
        return ObserverStats(
            polls=self.polls + other.polls,
            poll_seconds=self.poll_seconds + other.poll_seconds,
            requests={kind: self.requests.get(kind, 0) + other.requests.get(kind, 0) for kind in kinds},
            record_reads=self.record_reads + other.record_reads,
            failures=self.failures + other.failures,
            restarts=self.restarts + other.restarts,
        )


class CountedOffsets:
    """A CommittedOffsets that counts the requests to another one, and its failures."""

    def __init__(self, offsets: CommittedOffsets) -> None:
        self._offsets = offsets
        self._requests: dict[str, int] = {}
        self._record_reads = self._failures = 0

    def stats(self) -> ObserverStats:
        """Return what was counted. The fields of polls are 0."""
        return ObserverStats(requests=dict(self._requests), record_reads=self._record_reads, failures=self._failures)

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, tuple[str, int]]:
        self._count("topic_ids")
        found = self._offsets.topic_ids(topics)
        self._failures += len(found) < len(set(topics))
        return found

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        self._count("ends")
        found = self._offsets.ends(partitions)
        self._failures += len(found) < len(set(partitions))
        return found

    def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, GroupOffsets]:
        self._count("committed", len(groups))
        found = self._offsets.committed(groups)
        self._failures += sum(group not in found or bool(found[group].problem) for group in groups)
        return found

    def offsets_at(self, timestamps: Mapping[Partition, int]) -> Mapping[Partition, int]:
        self._count("offsets_at")
        return self._offsets.offsets_at(timestamps)

    def read(self, requests: Collection[ReadRequest]) -> Mapping[ReadRequest, ReadResult]:
        self._record_reads += len(requests)
        found = self._offsets.read(requests)
        self._failures += len(set(requests)) - len(found)
        return found

    def problem(self, topic: str) -> str:
        return self._offsets.problem(topic)

    def close(self) -> None:
        self._offsets.close()

    def _count(self, kind: str, number: int = 1) -> None:
        self._requests[kind] = self._requests.get(kind, 0) + number
