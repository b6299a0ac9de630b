"""The rules by which a partition has passed a time, from the offsets that its group has committed. Pure, without I/O.

Two rules prove that a group has processed everything before a boundary T:

- By a record: the last visible record below the committed offset has a timestamp of T plus `max_out_of_orderness` or
  later, and not beyond `max_future`.
- Drained: the committed offset has reached the end of the partition that was read when no more records before T could
  be appended. Without upstream clocks, this is the case when the wall clocks of brokers, producers, store and observer
  have passed T plus `max_out_of_orderness` plus `drain_delay`; with upstream clocks, when these have emitted tick T.

One poll asks for the committed offset first, and for the end of the partition after it. So the committed offset is
older than the end, and an offset above it belongs to other records.
"""

from dataclasses import dataclass
from enum import StrEnum

from clocksvc.clock import boundary
from clocksvc.clock.partition import rejection_reason
from clocksvc.committed.commits import Commits
from clocksvc.committed.leadership import End
from clocksvc.interfaces.committed_offsets import FoundRecord

READ_AGAIN_S = 60.0
"""How long a record that was found above the committed offset is taken to be there. It can be compacted."""
_MAX_TARGETS = 16


class WaitsFor(StrEnum):
    """What a partition waits for: why it has not passed the next boundary."""

    NOT_OBSERVED = "not_observed"
    NO_ANSWER = "no_answer"
    RECREATED = "recreated"
    ABOVE_END = "above_end"
    NOTHING_COMMITTED = "nothing_committed"
    LEADER_UNCONFIRMED = "leader_unconfirmed"
    NOT_PROCESSED = "not_processed"
    OPEN_TRANSACTION = "open_transaction"
    TOO_FAR_AHEAD = "too_far_ahead"
    NO_TIMESTAMP = "no_timestamp"


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """The result of a read from the committed offset, which finds out whether there is a visible record before the end.

    Attributes:
        start: the offset.
        reached: the offset before which there is no visible record, from `start` on.
        found: True if there is a visible record at `reached`. If not, the read ended there: at the end of the
            partition, or at the last stable offset while a transaction is open.
    """

    start: int
    reached: int
    found: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """An end that the group must reach to pass a boundary."""

    boundary_ms: int
    end: int


class PartitionProgress:
    """What was observed of one partition, and how far its group has processed it.

    Attributes:
        raw_ms: the raw timestamp to report: that of a record, or a passed boundary plus `max_out_of_orderness`. It
            never decreases. None while the partition is unknown.
        commits: what the group has committed.
        end: the newest end of the partition; None if it is not known.
        create_time: True once a record with the timestamp type CreateTime has moved the partition. The caller sets it
            to False after it has reported this.
        waits_for: why the partition has not passed the newest boundary that it could have passed; None if it has.

    Args:
        out_of_orderness_ms: 0 for a clock after other clocks.
        max_future_ms: how far a record's timestamp may be ahead.
        commits: those of the former topic, or commits in doubt; None for new ones.
    """

    def __init__(self, out_of_orderness_ms: int, max_future_ms: int, commits: Commits | None = None) -> None:
        self.raw_ms: int | None = None
        self.commits = commits or Commits()
        self.end: End | None = None
        self.create_time = False
        self._out_of_orderness_ms, self._max_future_ms = out_of_orderness_ms, max_future_ms
        self.waits_for: WaitsFor | None = WaitsFor.NOT_OBSERVED
        self._doubt = WaitsFor.RECREATED
        self._boundary_ms: int | None = None
        self._targets: list[_Target] = []
        self._clear_from = self._clear_to = 0
        self._found_at: int | None = None
        self._read_again_at = 0.0
        self._open_transaction = False
        self._searched_below: int | None = None
        self._rejected_offset = -1
        self._above_in_epoch: int | None = None
        self._rejected: WaitsFor | None = None

    def recreated(self, at_s: float) -> "PartitionProgress":
        """Return the progress in the partition of a topic that has the same name and another id.

        Args:
            at_s: monotonic time in seconds.
        """
        self.commits.doubt(at_s, other_topic=True)
        return PartitionProgress(self._out_of_orderness_ms, self._max_future_ms, self.commits)

    def note_no_answer(self) -> None:
        """Note that the partition's leader, or the group's coordinator, did not answer."""
        self.end, self.waits_for = None, WaitsFor.NO_ANSWER

    def observe(self, committed: int | None, end: End, boundary_ms: int | None, at_s: float) -> None:
        """Apply the rules to a committed offset and an end that was read after it.

        Args:
            committed: None if the group has committed nothing, or if its offset expired.
            boundary_ms: the boundary before which no record could be appended any more when the end was asked for; None
                if there is none, because an upstream clock has no tick yet.
            at_s: monotonic time in seconds.
        """
        if committed is not None and committed > end.high and not end.alive:
            # The leader may be a former one. If the next answers show that it is not, the offset is in doubt.
            self._above_in_epoch = end.epoch
            self.note_no_answer()
            return
        self._note_committed(committed, end, at_s)
        self.end, self._boundary_ms = end, boundary_ms
        if boundary_ms is not None and end.counts:
            self._aim(end, boundary_ms)
        self._advance()
        self.waits_for = self._explain()

    def wants_read_ahead(self, at_s: float) -> int | None:
        """Return the offset from which committed records must be read; None if that would prove nothing new.

        While the committed offset moves, such a read would only find the next record.
        """
        position, end = self._position(), self.end
        if position is None or end is None or not self._targets or position >= self._targets[0].end:
            return None
        if self.commits.moved and self._targets[0].end - position > 2:
            return None
        known = self._found_at is not None and end.low <= self._found_at and at_s < self._read_again_at
        return None if known else max(position, end.low)

    def note_read_ahead(self, read: ReadAhead, at_s: float) -> None:
        """Note what a read found that `wants_read_ahead` asked for."""
        position, end = self._position(), self.end
        if position is None or end is None or read.start < position or read.start > max(position, end.low):
            return
        self._clear_to = max(position, read.reached)
        self._found_at, self._read_again_at = (read.reached if read.found else None), at_s + READ_AGAIN_S
        self._open_transaction = not read.found and read.reached < end.high
        self._advance()
        self.waits_for = self._explain()

    def threshold_ms(self, interval_ms: int) -> int:
        """Return the timestamp from which a record moves this partition; for the question which offset has it."""
        if self.raw_ms is None:
            return 0
        return boundary.next_threshold(self.raw_ms, self._out_of_orderness_ms, interval_ms)

    def wants_record(self) -> int | None:
        """Return the offset below which the last visible record proves something new; None if none does."""
        committed = self.commits.counting
        return None if self.end is None or committed == self._searched_below else committed

    def note_record(self, below: int, record: FoundRecord | None, now_ms: int) -> None:
        """Note the last visible record below an offset; None if none was found, which proves nothing.

        A record that was rejected once stays rejected: the wall clock reaches each wrong timestamp one day.

        Args:
            now_ms: the earlier one of the observer's and the store's clocks.
        """
        committed = self.commits.counting
        if committed is None or below > committed:
            return
        self._searched_below, self._rejected = below, None
        if record is None or record.offset >= below:
            return
        if rejection_reason(record.timestamp_ms, now_ms, self._max_future_ms) is None:
            if record.offset > self._rejected_offset:
                self._raise(record.timestamp_ms)
                self.create_time = self.create_time or record.create_time
        else:
            self._rejected_offset = max(self._rejected_offset, record.offset)
            ahead = record.timestamp_ms > now_ms
            self._rejected = WaitsFor.TOO_FAR_AHEAD if ahead else WaitsFor.NO_TIMESTAMP
        self.waits_for = self._explain()

    # -- the committed offset ---------------------------------------------------------------------------------------

    def _note_committed(self, committed: int | None, end: End, at_s: float) -> None:
        if end.alive:
            if self._above_in_epoch == end.epoch:
                self.commits.doubt(at_s, other_topic=False)
                self._doubt = WaitsFor.ABOVE_END
            self._above_in_epoch = None
        if committed is not None and committed > end.high:
            self._doubt = WaitsFor.ABOVE_END
        before = self.commits.offset
        self.commits.note(committed, end.low, end.high, at_s)
        if self.commits.doubted or (before is not None and committed is not None and committed < before):
            self._searched_below = None
        cleared = committed is not None and self._clear_from <= committed <= self._clear_to <= end.high
        if not cleared or self.commits.doubted:
            self._clear_from = self._clear_to = committed or 0
        if self.commits.moved or not cleared:
            self._found_at, self._open_transaction = None, False

    def _position(self) -> int | None:
        """Return the offset before which the group has processed every visible record."""
        committed = self.commits.counting
        return None if committed is None else max(committed, self._clear_to)

    # -- drained ------------------------------------------------------------------------------------------------------

    def _aim(self, end: End, boundary_ms: int) -> None:
        """Add a target. The first end that was read for a boundary is kept: it is reached first.

        If there are too many, some between the oldest and the newest are dropped.
        """
        self._targets = [target for target in self._targets if target.end <= end.high]  # above it, records were lost
        if end.low == end.high:
            self._pass(boundary_ms)
        elif not self._has_passed() and (not self._targets or self._targets[-1].boundary_ms < boundary_ms):
            self._targets.append(_Target(boundary_ms, end.high))
            if len(self._targets) > _MAX_TARGETS:
                del self._targets[1:-1:2]

    def _advance(self) -> None:
        position = self._position()
        reached = [target for target in self._targets if position is not None and target.end <= position]
        if reached:
            self._pass(reached[-1].boundary_ms)

    def _pass(self, boundary_ms: int) -> None:
        self._raise(boundary_ms + self._out_of_orderness_ms)

    def _raise(self, raw_ms: int) -> None:
        self.raw_ms = raw_ms = max(self.raw_ms or 0, raw_ms)
        passed_ms = raw_ms - self._out_of_orderness_ms
        self._targets = [target for target in self._targets if target.boundary_ms > passed_ms]

    def _has_passed(self) -> bool:
        if self._boundary_ms is None:
            return True
        return self.raw_ms is not None and self.raw_ms - self._out_of_orderness_ms >= self._boundary_ms

    def _explain(self) -> WaitsFor | None:
        end, position = self.end, self._position()
        if end is None:
            return WaitsFor.NOT_OBSERVED
        if self._has_passed():
            return None
        if not end.alive:
            return WaitsFor.NO_ANSWER
        if not end.settled and (end.low == end.high or (position is not None and position >= end.high)):
            return WaitsFor.LEADER_UNCONFIRMED
        if self.commits.doubted:
            return self._doubt
        if position is None:
            return WaitsFor.NOTHING_COMMITTED
        if self._open_transaction:
            return WaitsFor.OPEN_TRANSACTION
        return self._rejected or WaitsFor.NOT_PROCESSED


def drained_boundary(now_ms: int, out_of_orderness_ms: int, drain_delay_ms: int, interval_ms: int) -> int:
    """Return the last boundary before which no record can be appended any more, for a clock without upstream clocks.

    Args:
        now_ms: the earliest wall time of the computers concerned, before the end is asked for.
        drain_delay_ms: the skew of these wall clocks, plus the longest time for which an appended record can stay above
            the high watermark.
    """
    return boundary.floor(now_ms - out_of_orderness_ms - drain_delay_ms, interval_ms)
