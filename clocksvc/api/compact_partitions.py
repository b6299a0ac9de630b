"""Partition clocks in a few bytes each, for a picture of thousands. Pure: it asks nobody."""

import json

from clocksvc.clock.partition import Partition
from clocksvc.service.clock_view import PartitionPage
from clocksvc.service.public_state import PublicPartition

MOST = 5_000
"""So many partitions are on a page at most, however few bytes they take."""
PAGE_BYTES = 60_000
_AROUND = 600
"""For what stands around the runs: the moment, and a cursor with the longest name of a topic."""
_AROUND_RUN = 64
_MARK_BYTES = 1


def page(found: PartitionPage) -> str:
    """The JSON of one page, at most PAGE_BYTES long: as many of these partitions as fit, in order, by runs.

    `found` has one partition more than MOST where there are more.
    """
    runs: list[_Run] = []
    left, last = PAGE_BYTES - _AROUND, None
    for count, one in enumerate(found.partitions):
        partition, text = one.partition, "null" if one.behind_ms is None else str(one.behind_ms)
        begins = not runs or not runs[-1].goes_on_with(partition)
        left -= len(text) + 1 + _MARK_BYTES + (len(partition.topic) + _AROUND_RUN if begins else 0)
        if left < 0 or count == MOST:
            break
        if begins:
            runs.append(_Run(partition))
        runs[-1].add(text, _mark(one))
        last = partition
    else:
        last = None
    listed = ",".join(run.to_json() for run in runs)
    return f'{{"now_ms":{found.now_ms},"runs":[{listed}],"next":{json.dumps(None if last is None else str(last))}}}'


class _Run:
    """Neighbours of one topic."""

    def __init__(self, first: Partition) -> None:
        self._first = first
        self._behind: list[str] = []
        self._marks: list[str] = []

    def goes_on_with(self, partition: Partition) -> bool:
        return partition == (self._first.topic, self._first.number + len(self._marks))

    def add(self, behind: str, mark: str) -> None:
        self._behind.append(behind)
        self._marks.append(mark)

    def to_json(self) -> str:
        topic, marks, behind = json.dumps(self._first.topic), "".join(self._marks), ",".join(self._behind)
        return f'{{"topic":{topic},"first":{self._first.number},"behind_ms":[{behind}],"marks":"{marks}"}}'


def _mark(partition: PublicPartition) -> str:
    if partition.excluded:
        return "x"
    if partition.rejected is not None:
        return "!"
    return "." if partition.reported_timestamp_ms is not None else "?"
