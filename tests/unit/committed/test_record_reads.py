"""Which records are read to find the last visible one below an offset, and how many at most."""

from collections.abc import Collection, Mapping

from clocksvc.clock.partition import Partition
from clocksvc.committed.leadership import End
from clocksvc.committed.record_reads import MAX_READS, read_ahead, read_last_records
from clocksvc.committed.rules import PartitionProgress
from clocksvc.interfaces.committed_offsets import ReadRequest, ReadResult
from clocksvc.memory.committed_offsets import MemoryCommittedOffsets, MemoryTransaction

P0 = Partition("orders", 0)
T0 = 1_796_000_040_000


class Recorded(MemoryCommittedOffsets):
    """A cluster that keeps what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[ReadRequest] = []

    def read(self, requests: Collection[ReadRequest]) -> Mapping[ReadRequest, ReadResult]:
        self.asked += sorted(requests, key=lambda request: (request.partition, request.start))
        return super().read(requests)


def observed(committed: int, high: int, low: int = 0, boundary_ms: int = T0) -> PartitionProgress:
    """The progress of a partition after two polls in which the group has not moved."""
    progress = PartitionProgress(0, 60_000)
    for at_s in (0.0, 5.0):
        progress.observe(committed, End(low, high), boundary_ms, at_s)
    return progress


def aborted(count: int) -> Recorded:
    """A partition with one record, then `count` aborted ones."""
    cluster = Recorded()
    cluster.create("orders", 1)
    cluster.append(P0, T0 + 5)
    transaction = MemoryTransaction()
    cluster.append(P0, *([T0] * count), transaction=transaction)
    cluster.finish(transaction, T0, commit=False)
    return cluster


def test_reads_go_back_step_by_step() -> None:
    """No offset is read twice."""
    cluster, progress = aborted(400), observed(402, 402)
    read_last_records(cluster, [(P0, progress, T0)])
    assert [(one.start, one.end) for one in cluster.asked] == [(401, 402), (394, 401), (338, 394), (0, 338)]
    assert progress.raw_ms == T0 + 5


def test_nothing_near_is_nothing() -> None:
    """It is not looked for again until the group commits something else."""
    cluster = aborted(5_000)
    progress = observed(5_002, 6_000, boundary_ms=T0 - 60_000)
    read_last_records(cluster, [(P0, progress, T0)])
    assert cluster.asked[-1] == ReadRequest(P0, 5_002 - 4_096, 5_002 - 512)
    assert progress.raw_ms is None
    assert progress.wants_record() is None


def test_reads_end_at_the_low_watermark() -> None:
    cluster, progress = aborted(20), observed(22, 30, low=18)
    cluster.delete_before(P0, 18)
    read_last_records(cluster, [(P0, progress, T0)])
    assert [(one.start, one.end) for one in cluster.asked] == [(21, 22), (18, 21)]
    assert progress.wants_record() is None


def test_an_offset_at_the_low_watermark_has_nothing_below() -> None:
    cluster, progress = aborted(20), observed(18, 30, low=18)
    read_last_records(cluster, [(P0, progress, T0)])
    assert cluster.asked == []
    assert progress.wants_record() is None


def test_without_an_answer_it_is_asked_again() -> None:
    cluster, progress = aborted(20), observed(22, 30)
    cluster.partition(P0).reachable = False
    read_last_records(cluster, [(P0, progress, T0)])
    assert progress.wants_record() == 22
    assert len(cluster.asked) == 1


def test_a_poll_reads_a_bounded_number_of_partitions() -> None:
    """The others are read with the next polls."""
    cluster = Recorded()
    cluster.create("orders", MAX_READS + 5)
    partitions = [Partition("orders", number) for number in range(MAX_READS + 5)]
    for partition in partitions:
        cluster.append(partition, T0, T0)
    found = [(partition, observed(1, 2)) for partition in partitions]
    assert read_ahead(cluster, found, 5.0) == MAX_READS
    assert read_ahead(cluster, found, 6.0) == 5
    read_last_records(cluster, [(partition, progress, T0) for partition, progress in found])
    assert sum(progress.raw_ms == T0 for _, progress in found) == MAX_READS
