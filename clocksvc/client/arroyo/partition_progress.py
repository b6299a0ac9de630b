"""How far a pipeline has processed one assigned partition. Pure: no I/O, no reading of time.

Offsets are Kafka's: a committed offset is that of the next record. Timestamps are milliseconds since the epoch.
"""

import heapq
from datetime import datetime, timedelta
from typing import Any

from arroyo.types import BrokerValue, Partition

from clocksvc.client.consumer.watermark import Timestamps

MAX_STEPS = 1_024
"""How many steps of the timestamps of uncommitted records are kept for a partition. With more, every second one is
dropped, and new ones are made at twice the distance. A timestamp is then reported with a later commit."""
_NO_TYPE = 0
"""Arroyo does not have the type of a timestamp."""
_NOTHING = -2
"""Below -1, which is the timestamp of a record without one."""


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 Arroyo's timestamps are UTC, without a time zone
_MILLISECOND = timedelta(milliseconds=1)


class ContiguousOffsets(dict[Partition, int]):
    """Offsets to commit. All records below them are done, also those in front of an invalid record.

    Arroyo passes such a mapping on to the consumer without a copy.
    """


def timestamp_ms(value: BrokerValue[Any]) -> int:
    """Return the timestamp of a record in milliseconds since the epoch."""
    return (value.timestamp - _EPOCH) // _MILLISECOND


class TimestampSteps:
    """The highest timestamp below each offset, for offsets that are not committed yet. Bounded.

    A step is made where the maximum changes. It has the offset after the record, the maximum up to it, and the lowest
    timestamp since the step before.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[int, int, int]] = []
        self._distance = 1
        self._highest_ms = _NOTHING
        self._lowest_ms: int | None = None

    def add(self, offset: int, timestamp_ms: int) -> None:
        """Add the next record of the partition."""
        lowest_ms = timestamp_ms if self._lowest_ms is None else min(self._lowest_ms, timestamp_ms)
        if timestamp_ms <= self._highest_ms:
            self._lowest_ms = lowest_ms
            return
        self._highest_ms, self._lowest_ms = timestamp_ms, None
        steps = self._steps
        if len(steps) > 1 and offset + 1 - steps[-2][0] <= self._distance:
            lowest_ms = min(lowest_ms, steps.pop()[2])
        elif len(steps) >= MAX_STEPS:
            self._drop_every_second()
        self._steps.append((offset + 1, timestamp_ms, lowest_ms))

    def take(self, committed: int) -> Timestamps | None:
        """Remove the steps below a committed offset, and return their timestamps; None if there is no such step."""
        count = 0
        for next_offset, _, _ in self._steps:
            if next_offset > committed:
                break
            count += 1
        if count == 0:
            return None
        taken = self._steps[:count]
        del self._steps[:count]
        if len(self._steps) < MAX_STEPS // 4:
            self._distance = max(1, self._distance // 2)
        return Timestamps(_NO_TYPE, min(lowest_ms for _, _, lowest_ms in taken), taken[-1][1])

    def _drop_every_second(self) -> None:
        self._distance *= 2
        kept = self._steps[1::2]
        self._steps = [
            (next_offset, highest_ms, min(lowest_ms, dropped[2]))
            for (next_offset, highest_ms, lowest_ms), dropped in zip(kept, self._steps[::2], strict=True)
        ]


class PartitionProgress:
    """One assignment of a partition, from the offset at which it begins.

    A pipeline can stage an invalid record before the records in front of it: Arroyo's `Reduce` forwards invalid ones
    at once, and keeps the others in its buffer. So an invalid record, a heartbeat and a gap between two offsets are
    ranges that are done by themselves. `done` passes a range when it reaches it.

    Attributes:
        done: all records below this offset are done.
    """

    def __init__(self, position: int) -> None:
        self.done = self._position = self._staged = position
        self._ranges: list[tuple[int, int]] = []
        self._invalid: set[int] = set()
        self._timestamps, self._far_timestamps = TimestampSteps(), TimestampSteps()

    @property
    def has_unfinished(self) -> bool:
        """True if a record was polled that is not done."""
        return self.done < self._position

    def add(self, offset: int, timestamp_ms: int, *, far_ahead: bool = False, heartbeat: bool = False) -> None:
        """Add the next record.

        Args:
            far_ahead: True if the timestamp is so far in the future that it may be rejected. Such timestamps are kept
                apart: they must not hide the timestamps of ordinary records.
            heartbeat: True if the record needs no work.
        """
        if offset > self._position:
            self._add_range(self._position, offset)  # compacted records, or the marker of a transaction
        self._position = offset + 1
        (self._far_timestamps if far_ahead else self._timestamps).add(offset, timestamp_ms)
        if heartbeat:
            self._add_range(offset, offset + 1)

    def add_invalid(self, offset: int) -> None:
        """Record that the pipeline raised InvalidMessage for a record."""
        self._invalid.add(offset)

    def stage(self, next_offset: int, *, contiguous: bool = False) -> bool:
        """Record that the pipeline has staged an offset.

        Args:
            contiguous: True if all records below the offset are done, even if the last one is invalid.

        Returns:
            False if the offset is below one that was staged before: records below that one were not done.
        """
        if not contiguous and next_offset - 1 in self._invalid:
            for offset in [each for each in self._invalid if each < next_offset]:
                self._invalid.remove(offset)
                self._add_range(offset, offset + 1)
            return True
        if next_offset < self._staged:
            self.done = self._staged = next_offset
            return False
        if self._invalid and (contiguous or len(self._invalid) > MAX_STEPS):
            self._invalid = {offset for offset in self._invalid if offset >= next_offset}
        self._staged = next_offset
        self.done = max(self.done, next_offset)
        self._pass_ranges()
        return True

    def commit(self, next_offset: int) -> list[Timestamps]:
        """Return the timestamps of the records below a committed offset since the last call.

        Those that are far ahead are kept apart.
        """
        taken = (steps.take(next_offset) for steps in (self._timestamps, self._far_timestamps))
        return [timestamps for timestamps in taken if timestamps is not None]

    def _add_range(self, start: int, end: int) -> None:
        heapq.heappush(self._ranges, (start, end))
        self._pass_ranges()

    def _pass_ranges(self) -> None:
        while self._ranges and self._ranges[0][0] <= self.done:
            self.done = max(self.done, heapq.heappop(self._ranges)[1])
