"""The open batch, which collects items until it is cut by count, bytes or age. No I/O, no reading of time."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.watermark import Timestamps

Item = TypeVar("Item")


class BufferedRecord(Protocol):
    """The record of an item. `len(record)` is its size in bytes. Messages of confluent-kafka are such records."""

    def offset(self) -> Any:
        """Return the offset."""

    def timestamp(self) -> Any:
        """Return the timestamp type and the milliseconds since the epoch."""

    def __len__(self) -> int: ...


class BatchLimits(NamedTuple):
    """When the open batch is cut, whichever comes first.

    Attributes:
        records: the largest number of items in a batch.
        bytes: the largest sum of the sizes of their records. A larger record has a batch of its own.
        age_s: the longest time in seconds since the first item of the batch.
    """

    records: int
    bytes: int
    age_s: float


class Span(NamedTuple):
    """Consecutive items of a batch that are of one partition: their assignment, number, and sum of sizes in bytes."""

    assignment: Assignment
    length: int
    bytes: int


class Batch(Generic[Item]):
    """Items of one or more partitions that are flushed together.

    Attributes:
        token: the batch's token in the watermarks.
        since: when the first item was added, in seconds.
        items: the items, in the order of the offsets for each partition.
        records: the record of each item; empty if records are not kept.
        spans: the partitions of the items, in the order of `items`.
        added, bytes: how many items were added, and the sum of their records' sizes. They include removed items.
    """

    __slots__ = ("added", "bytes", "items", "records", "since", "spans", "token")

    def __init__(self, token: int, now: float) -> None:
        self.token, self.since = token, now
        self.added = self.bytes = 0
        self.items: list[Item] = []
        self.records: list[BufferedRecord] = []
        self.spans: list[Span] = []

    def add(self, span: Span, items: Sequence[Item], kept: Sequence[BufferedRecord]) -> None:
        """Add items of one partition, and their records if they are kept."""
        self.items += items
        self.records += kept
        self.added += span.length
        self.bytes += span.bytes
        self.spans.append(span)

    def remove_inactive(self) -> None:
        """Remove the items of assignments that have ended, because another consumer processes their records."""
        if all(span.assignment.active for span in self.spans):
            return
        keep = [assignment.active for assignment in self.assignments()]
        self.items = [item for item, kept in zip(self.items, keep, strict=True) if kept]
        if self.records:
            self.records = [record for record, kept in zip(self.records, keep, strict=True) if kept]
        self.spans = [span for span in self.spans if span.assignment.active]

    def assignments(self) -> list[Assignment]:
        """Return the assignment of each item."""
        return [span.assignment for span in self.spans for _ in range(span.length)]


class OpenBatch(Generic[Item]):
    """Collects items, and hands over each batch when it is full.

    Args:
        limits: when a batch is full.
        keep_records: True to keep the record of each item, so that it can be sent to a dead-letter topic.
        next_token: returns a new token.
        full: called with each batch that is cut.
    """

    def __init__(
        self,
        limits: BatchLimits,
        keep_records: bool,
        next_token: Callable[[], int],
        full: Callable[[Batch[Item]], None],
    ) -> None:
        self._limits, self._keep_records, self._next_token, self._full = limits, keep_records, next_token, full
        self.batch: Batch[Item] | None = None

    @property
    def due_at(self) -> float | None:
        """When the open batch reaches its age; None if it is empty."""
        return None if self.batch is None else self.batch.since + self._limits.age_s

    def add(
        self,
        assignment: Assignment,
        items: Sequence[Item],
        records: Sequence[BufferedRecord],
        end: int,
        timestamps: Timestamps | None,
        now: float,
    ) -> int:
        """Add the items of consecutive records of one partition, and return the sum of the records' sizes.

        Args:
            items: at least one item.
            records: the record of each item.
            end: the offset after the last record, including records without an item.
            timestamps: the timestamps of all records, including those without an item; None if they are not reported.
        """
        size = sum(map(len, records))
        batch = self.batch or self._begin(now)
        limits = self._limits
        count = len(batch.items) + len(items)
        if count > limits.records or batch.bytes + size > limits.bytes:
            self._add_in_parts(assignment, items, records, end, timestamps, now)
            return size
        batch.add(Span(assignment, len(items), size), items, records if self._keep_records else ())
        assignment.watermark.extend(batch.token, end, timestamps)
        if count == limits.records or batch.bytes == limits.bytes:
            self.cut()
        return size

    def cut(self) -> None:
        """Hand over the open batch, unless it is empty."""
        batch, self.batch = self.batch, None
        if batch is not None:
            self._full(batch)

    def _begin(self, now: float) -> Batch[Item]:
        self.batch = Batch(self._next_token(), now)
        return self.batch

    def _add_in_parts(
        self,
        assignment: Assignment,
        items: Sequence[Item],
        records: Sequence[BufferedRecord],
        end: int,
        timestamps: Timestamps | None,
        now: float,
    ) -> None:
        """Add items that need more than one batch."""
        limits, start = self._limits, 0
        sizes = [0, *accumulate(map(len, records))]
        while start < len(items):
            batch = self.batch or self._begin(now)
            # As many as fit. A record that is larger than a batch is added to an empty one.
            fitting = bisect_right(sizes, sizes[start] + limits.bytes - batch.bytes, lo=start) - 1
            stop = min(fitting, start + limits.records - len(batch.items), len(items))
            if stop <= start:
                if batch.items:
                    self.cut()
                    continue
                stop = start + 1
            part = records[start:stop]
            span = Span(assignment, stop - start, sizes[stop] - sizes[start])
            batch.add(span, items[start:stop], part if self._keep_records else ())
            last = stop == len(items)
            # A part may be committed alone. It must not be reported with the timestamps of the records after it.
            own = timestamps if last or timestamps is None else timestamps_of(part, timestamps.highest_ms)
            assignment.watermark.extend(batch.token, end if last else part[-1].offset() + 1, own)
            if not last or len(batch.items) >= limits.records or batch.bytes >= limits.bytes:
                self.cut()
            start = stop


def timestamps_of(records: Sequence[BufferedRecord], near_until_ms: int) -> Timestamps:
    """Return the timestamps of at least one record. Those above `near_until_ms` are far in the future."""
    return Timestamps.of(records[-1].timestamp()[0], [record.timestamp()[1] for record in records], near_until_ms)
