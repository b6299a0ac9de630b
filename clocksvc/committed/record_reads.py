"""Reads of single records, for many partitions and clocks at the same time.

Kafka reads forward only. To find the last visible record below an offset, the reads go back step by step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from clocksvc.clock.partition import Partition
from clocksvc.committed.rules import PartitionProgress, ReadAhead
from clocksvc.interfaces.committed_offsets import CommittedOffsets, ReadRequest

MAX_READS = 1_000
"""The most reads of one poll. The others are made with the next poll of their clocks."""
STEPS_BACK = (1, 8, 64, 512, 4_096)
"""How many offsets before the committed offset the reads begin, one after the other, until a record is found."""


@dataclass(frozen=True, slots=True)
class _Search:
    partition: Partition
    progress: PartitionProgress
    now_ms: int
    below: int
    low: int
    end: int

    def request(self, step: int) -> ReadRequest:
        return ReadRequest(self.partition, max(self.low, self.below - step), self.end)


def read_ahead(
    offsets: CommittedOffsets, partitions: Iterable[tuple[Partition, PartitionProgress]], at_s: float
) -> int:
    """Read from the committed offset of each partition for which this can prove something.

    Returns:
        The number of reads.
    """
    reads: list[tuple[ReadRequest, PartitionProgress]] = []
    for partition, progress in partitions:
        start, end = progress.wants_read_ahead(at_s), progress.end
        if start is not None and end is not None and len(reads) < MAX_READS:
            reads.append((ReadRequest(partition, start, end.high, first_only=True), progress))
    results = offsets.read({request for request, _ in reads}) if reads else {}
    for request, progress in reads:
        result = results.get(request)
        if result is not None:
            progress.note_read_ahead(ReadAhead(request.start, result.reached, found=result.first is not None), at_s)
    return len(reads)


def read_last_records(
    offsets: CommittedOffsets, partitions: Iterable[tuple[Partition, PartitionProgress, int]], limit: int = MAX_READS
) -> None:
    """Read the last visible record below the committed offset of each partition.

    Args:
        partitions: with the earlier one of the observer's and the store's clocks.
        limit: for how many partitions at most.
    """
    searches: list[_Search] = []
    for partition, progress, now_ms in partitions:
        below, end = progress.wants_record(), progress.end
        if below is not None and end is not None and len(searches) < limit:
            searches.append(_Search(partition, progress, now_ms, below, end.low, below))
    for step in STEPS_BACK:
        searches = _go_back(offsets, searches, step)
    for search in searches:
        search.progress.note_record(search.below, None, search.now_ms)


def _go_back(offsets: CommittedOffsets, searches: Sequence[_Search], step: int) -> list[_Search]:
    """Do one step. Return the searches that have found nothing."""
    requests = {search.request(step) for search in searches if search.low < search.end}
    results = offsets.read(requests) if requests else {}
    left: list[_Search] = []
    for search in searches:
        request = search.request(step)
        result = results.get(request)
        if search.low >= search.end:
            left.append(search)
        elif result is not None and result.last is not None:
            search.progress.note_record(search.below, result.last, search.now_ms)
        elif result is not None:
            left.append(replace(search, end=request.start))
    return left
