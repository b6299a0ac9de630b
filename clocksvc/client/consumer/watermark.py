"""The contiguous low watermark of one partition: up to which offset all of its records are done.

Records are handed over in the order of their offsets, and are done in any order. They are tracked as segments, not one
by one: a segment is a sequence of records that are done together, because they are in the same batch. No I/O.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

_BELOW_ALL, _ABOVE_ALL = -2, 2**63


class Timestamps(NamedTuple):
    """The timestamps of a sequence of records of one partition.

    Timestamps that are so far in the future that they may be rejected are kept apart: they must not hide the others.

    Attributes:
        type: the timestamp type of the last record, as in confluent-kafka.
        lowest_ms, highest_ms: milliseconds since the epoch; -1 for a record without a timestamp. `highest_ms` is below
            -1 if all records are far in the future.
        far_ms: the highest one of those far in the future; below -1 if there is none.
    """

    type: int
    lowest_ms: int
    highest_ms: int
    far_ms: int = _BELOW_ALL

    @classmethod
    def of(cls, timestamp_type: int, times: Sequence[int], near_until_ms: int) -> "Timestamps":
        """Return at least one timestamp. Those above `near_until_ms` are far in the future."""
        highest_ms = max(times)
        if highest_ms <= near_until_ms:
            return cls(timestamp_type, min(times), highest_ms)
        near = [one for one in times if one <= near_until_ms]
        return cls(timestamp_type, min(near, default=_ABOVE_ALL), max(near, default=_BELOW_ALL), highest_ms)

    def followed_by(self, later: "Timestamps") -> "Timestamps":
        """Return the timestamps of both sequences. `later` has the records that follow."""
        return Timestamps(
            later.type,
            min(self.lowest_ms, later.lowest_ms),
            max(self.highest_ms, later.highest_ms),
            max(self.far_ms, later.far_ms),
        )


def joined(earlier: Timestamps | None, later: Timestamps | None) -> Timestamps | None:
    """Return the timestamps of two sequences, of which one or both can be without timestamps."""
    if earlier is None or later is None:
        return later if earlier is None else earlier
    return earlier.followed_by(later)


class _Segment:
    __slots__ = ("end", "timestamps", "token")

    def __init__(self, token: int, end: int, timestamps: Timestamps | None) -> None:
        self.token, self.end, self.timestamps = token, end, timestamps


class Watermark:
    """The watermark of one partition during one assignment. Not thread-safe.

    Attributes:
        position: the offset after the last record below which all are done; None before the first one. This is the
            offset to commit. It goes back only if the records go back, for example after a reset to the beginning.
        timestamps: the timestamps of the records that were passed since `take_timestamps`.
    """

    __slots__ = ("_done", "_open", "_segments", "position", "timestamps")

    def __init__(self) -> None:
        self.position: int | None = None
        self.timestamps: Timestamps | None = None
        self._segments: deque[_Segment] = deque()
        self._open: dict[int, int] = {}
        self._done: set[int] = set()

    @property
    def received(self) -> int | None:
        """The offset after the last record that was handed over; None before the first one."""
        return self._segments[-1].end if self._segments else self.position

    @property
    def idle(self) -> bool:
        """True if all records that were handed over are done."""
        return not self._segments

    def pass_over(self, end: int, timestamps: Timestamps | None) -> bool:
        """Add records up to `end` (exclusive) that need no work. Returns True if the position changed."""
        if not self._segments:
            self._advance(end, timestamps)
            return True
        # They can't be committed before the records in front of them, so they need no segment of their own.
        last = self._segments[-1]
        last.end, last.timestamps = end, joined(last.timestamps, timestamps)
        return False

    def extend(self, token: int, end: int, timestamps: Timestamps | None) -> None:
        """Add records up to `end` (exclusive) that are done when `done(token)` is called.

        Args:
            token: identifies the records that are done together. It must not be used again after `done`.
            end: the offset after the last record.
            timestamps: those of the records; None if they are not reported, or are part of a later call.
        """
        last = self._segments[-1] if self._segments else None
        if last is not None and last.token == token:
            last.end, last.timestamps = end, joined(last.timestamps, timestamps)
            return
        self._segments.append(_Segment(token, end, timestamps))
        self._open[token] = self._open.get(token, 0) + 1

    def done(self, token: int) -> bool:
        """The records of this token are done. Returns True if the position changed. Unknown tokens are ignored."""
        if token not in self._open:
            return False
        self._done.add(token)
        moved = False
        while self._segments and self._segments[0].token in self._done:
            first = self._segments.popleft()
            self._advance(first.end, first.timestamps)
            self._open[first.token] -= 1
            if not self._open[first.token]:
                del self._open[first.token]
                self._done.discard(first.token)
            moved = True
        return moved

    def take_timestamps(self) -> Timestamps | None:
        """Return the timestamps of the records that were passed since the last call."""
        taken, self.timestamps = self.timestamps, None
        return taken

    def restore_timestamps(self, taken: Timestamps | None) -> None:
        """Undo `take_timestamps`, because these records were not committed."""
        self.timestamps = joined(taken, self.timestamps)

    def _advance(self, end: int, timestamps: Timestamps | None) -> None:
        self.position = end
        self.timestamps = joined(self.timestamps, timestamps)
