"""What the observer gets when it asks Kafka: in time, late, from a former leader, or not at all."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.committed_offsets import FoundRecord, GroupOffsets, PartitionEnds, ReadRequest, ReadResult
from tests.observer_simulation.sometimes import Path
from tests.observer_simulation.world.cluster import Cluster
from tests.observer_simulation.world.log import PartitionLog, Record

TIMEOUT_MS = 6_000
"""After this time without an answer, a request has failed."""

SLOW = 0.03
"""How many calls are slow without a fault."""


class Killed(BaseException):
    """The observer's process was killed. A BaseException, so that no code of the product catches it."""


class Answers:
    """`CommittedOffsets` of the cluster. Time passes in each call.

    Attributes:
        slow_ms: how much longer calls take.
        killed_in: in how many calls the process is killed; None if it is not.
        calls: the number of calls, by method.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._timeline, self._sometimes = cluster, cluster.timeline, cluster.sometimes
        self.slow_ms = 0
        self.slow_until_ms = 0
        self.killed_in: int | None = None
        self.calls: dict[str, int] = {}

    def close(self) -> None:
        """Nothing to close."""

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Time passes before and after what the body does."""
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.killed_in is not None:
            self.killed_in -= 1
            if self.killed_in < 0:
                self.killed_in = None
                raise Killed
        rng = self._timeline.rng
        slow_ms = self.slow_ms if self._timeline.now_ms < self.slow_until_ms else 0
        if rng.random() < SLOW:
            slow_ms += 1_000
        self._timeline.wait(rng.randint(0, 5) + rng.random() * slow_ms)
        yield
        self._timeline.wait(rng.randint(0, 5) + rng.random() * slow_ms)

    # -- questions ----------------------------------------------------------------------------------------------------

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, tuple[str, int]]:
        with self.call("topic_ids"):
            return {topic: self._cluster.described(topic, old=True) for topic in topics}

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        with self.call("ends"):
            # Sorted, because time passes while a suspended leader is asked: a seed must be the same in each process.
            answers = {partition: self._ends(partition) for partition in sorted(partitions)}
        return {partition: found for partition, found in answers.items() if found is not None}

    def _ends(self, partition: Partition) -> PartitionEnds | None:
        log = self._answering(partition)
        if log is None:
            return None
        now_ms, former = self._timeline.now_ms, log.former
        if former is not None and former.from_ms <= now_ms < former.until_ms and former.still_asked:
            self._sometimes.took(Path.STALE_END)
            self._timeline.say(f"the former leader of {log} answers {former.high}, epoch {former.epoch}")
            return PartitionEnds(former.low, former.high, former.epoch)
        return PartitionEnds(log.low, log.high, log.epoch)

    def _answering(self, partition: Partition) -> PartitionLog | None:
        """Wait for the leader. None if there is none, or if it does not answer in time."""
        log, timeline = self._cluster.log(partition), self._timeline
        if log is None:
            return None
        left_ms = log.suspended_until_ms - timeline.now_ms
        if left_ms > 0 and (log.former is None or log.former.still_asked):
            timeline.wait(min(left_ms, TIMEOUT_MS))
            if left_ms > TIMEOUT_MS:
                return None
            self._sometimes.took(Path.LATE_ANSWER)
        return log if timeline.now_ms >= log.available_from_ms and not log.deleted else None

    def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, GroupOffsets]:
        with self.call("committed"):
            return {
                group: self._offsets(group, partitions)
                for group, partitions in groups.items()
                if self._timeline.now_ms >= self._cluster.unavailable_until_ms.get(group, 0)
            }

    def _offsets(self, group: str, partitions: Collection[Partition]) -> GroupOffsets:
        if self._timeline.now_ms < self._cluster.refused_until_ms.get(group, 0):
            return GroupOffsets({}, f"the Kafka user lacks Describe on group {group}")
        found = {partition: self._cluster.committed(group, partition) for partition in partitions}
        return GroupOffsets({partition: offset for partition, offset in found.items() if offset is not None})

    def offsets_at(self, timestamps: Mapping[Partition, int]) -> Mapping[Partition, int]:
        with self.call("offsets_at"):
            found = {partition: self._offset_at(partition, ms) for partition, ms in timestamps.items()}
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def _offset_at(self, partition: Partition, timestamp_ms: int) -> int | None:
        log = self._cluster.log(partition)
        if log is None or self._timeline.now_ms < log.available_from_ms:
            return None
        kept = (record for record in log.records[log.low : log.high] if not record.gone)
        found = next((record for record in kept if record.timestamp_ms >= timestamp_ms), None)
        if found is not None and (found.marker or found.aborted):
            self._sometimes.took(Path.MARKER_NOMINATED if found.marker else Path.ABORTED_NOMINATED)
        return None if found is None else found.offset

    def read(self, requests: Collection[ReadRequest]) -> Mapping[ReadRequest, ReadResult]:
        with self.call("read"):
            results = {request: self._read(request) for request in requests}
        return {request: found for request, found in results.items() if found is not None}

    def _read(self, request: ReadRequest) -> ReadResult | None:
        log = self._cluster.log(request.partition)
        if log is None or self._timeline.now_ms < log.available_from_ms:
            return None
        reached = min(request.end, log.last_stable)
        visible = list(log.read(request.start, reached))
        if log.last_stable < min(request.end, log.high):
            self._sometimes.took(Path.READ_TO_LAST_STABLE)
        if request.first_only:
            return ReadResult(_found(visible[:1]), None, visible[0].offset if visible else max(request.start, reached))
        return ReadResult(_found(visible[:1]), _found(visible[-1:]), max(request.start, reached))

    def problem(self, topic: str) -> str:
        return ""


def _found(records: list[Record]) -> FoundRecord | None:
    return FoundRecord(records[0].offset, records[0].timestamp_ms) if records else None
