"""The rules by which a partition has passed a time, from the offsets that its group has committed. Pure, without I/O.

Two rules prove that a group has processed everything before a boundary T:

- By a record: the last visible record below the committed offset has a timestamp of T plus `max_out_of_orderness` or
  later, and not beyond `max_future`.
- Drained: the committed offset has reached the end of the partition that was read when no more records before T could
  be appended. For a clock of its own this is the case when all clocks concerned have passed T plus
  `max_out_of_orderness` plus `drain_delay`; for a clock after other clocks when these have emitted tick T.

One poll asks in this order, and each step needs it: the end of each partition (its leader is alive), the committed
offset, the end once more. So the committed offset is older than the end, and an offset above it belongs to another
topic.
"""

from dataclasses import dataclass
from enum import StrEnum

from clocksvc.clock import boundary
from clocksvc.clock.partition import SECONDS_BELOW_MS

ANSWERED_WITHIN_S = 5.0
"""A partition's leader must have answered within this time before the question about its end. A broker that was
suspended for longer may have been deposed, and its end can be out of date."""


class Obstacle(StrEnum):
    """Why a partition has not passed the next boundary."""

    NOT_OBSERVED = "not_observed"
    NO_ANSWER = "no_answer"
    RECREATED = "recreated"
    ABOVE_END = "above_end"
    NOTHING_COMMITTED = "nothing_committed"
    LEADER_CHANGED = "leader_changed"
    NOT_PROCESSED = "not_processed"
    OPEN_TRANSACTION = "open_transaction"
    TOO_FAR_AHEAD = "too_far_ahead"
    NO_TIMESTAMP = "no_timestamp"


@dataclass(frozen=True, slots=True)
class Ends:
    """One answer of a partition's leader about its offsets.

    Attributes:
        asked_at, answered_at: monotonic times before the question and after the answer, in seconds.
        known_ms: a wall time at or before which all clocks concerned were, after the answer: the latest of them. The
            epoch was the leader's at this time.
        low, high: the low watermark, and the high watermark, which includes records of open transactions.
        epoch: the leader's epoch.
    """

    asked_at: float
    answered_at: float
    known_ms: int
    low: int
    high: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Look:
    """The result of reading committed records from a committed offset.

    Attributes:
        start: the committed offset.
        reached: the offset before which there is no visible record, from `start` on.
        found: True if there is a visible record at `reached`. If not, the read ended there: at the end of the
            partition, or at the last stable offset while a transaction is open.
    """

    start: int
    reached: int
    found: bool


@dataclass(frozen=True, slots=True)
class VisibleRecord:
    """The last visible record below an offset: no marker, and not aborted."""

    below: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class _Target:
    """An end that the committed offset must reach to pass a boundary."""

    boundary_ms: int
    end: int


class PartitionProgress:
    """What was observed of one partition, and how far its group has processed it.

    Attributes:
        raw_ms: the raw timestamp to report: that of a record, or a passed boundary plus `max_out_of_orderness`. It
            never decreases. None while the partition is unknown.
        obstacle: why the partition has not passed the newest boundary that it could have passed; None if it has.

    Args:
        max_future_ms: how far a record's timestamp may be ahead.
    """

    def __init__(self, out_of_orderness_ms: int, max_future_ms: int) -> None:
        self.raw_ms: int | None = None
        self.obstacle: Obstacle | None = Obstacle.NOT_OBSERVED
        self._out_of_orderness_ms, self._max_future_ms = out_of_orderness_ms, max_future_ms
        self._distrust: Obstacle | None = None
        self._first_trusted_offset: int | None = None
        self._committed: int | None = None
        self._moved = False
        self._ends: Ends | None = None
        self._epoch_known_ms = 0
        self._passed_ms = -1
        self._oldest: _Target | None = None
        self._newest: _Target | None = None
        self._looked: tuple[int, int] | None = None
        self._searched_below: int | None = None

    @property
    def committed(self) -> int | None:
        """The committed offset that counts; None if there is none, or if it may belong to another topic."""
        return self._committed if self._distrust is None else None

    def recreate(self) -> None:
        """Note that the topic has another id: what was committed until now belongs to the former topic."""
        self.__init__(self._out_of_orderness_ms, self._max_future_ms)  # type: ignore[misc]
        self._doubt(Obstacle.RECREATED)

    def note_alive(self, ends: Ends) -> None:
        """Note an answer of the partition's leader. Its end proves nothing: it was read before the committed offset."""
        if self._ends is None or self._ends.epoch != ends.epoch:
            self._epoch_known_ms = ends.known_ms
        self._ends = ends

    def note_no_answer(self) -> None:
        """Note that the partition's leader, or the group's coordinator, did not answer."""
        self.obstacle = Obstacle.NO_ANSWER

    def observe(self, committed: int | None, ends: Ends, boundary_ms: int) -> None:
        """Apply the rules to a committed offset and an end that was read after it.

        Args:
            committed: None if the group has committed nothing, or if its offset expired.
            boundary_ms: the boundary before which no record could be appended any more when the end was asked for.
        """
        before = self._ends
        recent = before is not None and ends.asked_at - before.answered_at <= ANSWERED_WITHIN_S
        self.note_alive(ends)
        self._note_committed(committed, ends)
        counts = recent and self._epoch_known_ms <= boundary_ms
        if counts and boundary_ms > self._passed_ms:
            self._newest = _Target(boundary_ms, ends.high)
        if counts and ends.low == ends.high:
            self._pass(boundary_ms)
        self._follow(ends)
        self._explain(ends, boundary_ms, recent)

    def wants_look(self) -> int | None:
        """Return the offset from which committed records must be read; None if that would prove nothing new.

        While the committed offset moves, a look would only find the next record.
        """
        committed, target, ends = self.committed, self._oldest, self._ends
        if committed is None or target is None or ends is None or committed >= target.end:
            return None
        near = target.end - committed <= 2
        return committed if (near or not self._moved) and self._looked != (committed, ends.high) else None

    def note_look(self, look: Look) -> None:
        """Note what a read from the committed offset found."""
        if look.start != self.committed or self._ends is None:
            return
        stable = look.found or look.reached >= self._ends.high
        self._looked = (look.start, self._ends.high) if stable else None
        self._advance(look.reached)
        if self._oldest is not None and look.reached < self._oldest.end:
            self.obstacle = Obstacle.NOT_PROCESSED if look.found else Obstacle.OPEN_TRANSACTION

    def threshold_ms(self, interval_ms: int) -> int:
        """Return the timestamp from which a record moves this partition; for the question which offset has it."""
        return (
            0 if self.raw_ms is None else boundary.next_threshold(self.raw_ms, self._out_of_orderness_ms, interval_ms)
        )

    def wants_record(self, nominated: int | None) -> int | None:
        """Return the offset below which the last visible record must be read; None if it is of no use.

        Args:
            nominated: the first offset with a timestamp of `threshold_ms` or later; None if there is none. It proves
                nothing: it can be a marker, an aborted record, or a record with a wrong timestamp.
        """
        committed = self.committed
        if committed is None or nominated is None or nominated >= committed or self._searched_below == committed:
            return None
        return committed

    def note_record(self, below: int, record: VisibleRecord | None, now_ms: int) -> None:
        """Note the last visible record below an offset; None if none was found, which proves nothing.

        Args:
            now_ms: the earlier one of the observer's and the store's clocks.
        """
        if self.committed is None or below > self.committed:
            return
        self._searched_below = below
        if record is None:
            return
        if record.timestamp_ms < SECONDS_BELOW_MS:
            self.obstacle = Obstacle.NO_TIMESTAMP
        elif record.timestamp_ms > now_ms + self._max_future_ms:
            self.obstacle = Obstacle.TOO_FAR_AHEAD
        else:
            self.raw_ms = max(self.raw_ms or 0, record.timestamp_ms)

    # -- the committed offset ---------------------------------------------------------------------------------------

    def _note_committed(self, committed: int | None, ends: Ends) -> None:
        self._moved = committed != self._committed
        self._committed = committed
        if committed is not None and committed > ends.high:
            self._doubt(Obstacle.ABOVE_END)
        elif self._distrust is not None and committed is not None:
            # It must have been at or below the end, and have moved since: a member of the group is at work there.
            if self._first_trusted_offset is None:
                self._first_trusted_offset = committed
            elif committed != self._first_trusted_offset:
                self._distrust = self._first_trusted_offset = None

    def _doubt(self, why: Obstacle) -> None:
        self._distrust, self._first_trusted_offset = why, None
        self._looked = self._searched_below = None

    # -- drained ------------------------------------------------------------------------------------------------------

    def _follow(self, ends: Ends) -> None:
        """Keep the oldest target until it is reached, then take the newest: so each target is reached some time."""
        if self._oldest is not None and self._oldest.end > ends.high:
            self._oldest = None  # records were lost; a later end is complete, too
        self._oldest = self._oldest or self._newest
        if self.committed is not None:
            self._advance(self.committed)

    def _advance(self, reached: int) -> None:
        for target in (self._oldest, self._newest):
            if target is not None and reached >= target.end:
                self._pass(target.boundary_ms)
        self._oldest = self._oldest or self._newest

    def _pass(self, boundary_ms: int) -> None:
        self._passed_ms = max(self._passed_ms, boundary_ms)
        self.raw_ms = max(self.raw_ms or 0, boundary_ms + self._out_of_orderness_ms)
        self._oldest, self._newest = (
            None if target is None or target.boundary_ms <= self._passed_ms else target
            for target in (self._oldest, self._newest)
        )

    def _explain(self, ends: Ends, boundary_ms: int, recent: bool) -> None:
        passed_ms = -1 if self.raw_ms is None else self.raw_ms - self._out_of_orderness_ms
        if passed_ms >= boundary_ms:
            self.obstacle = None
        elif self._distrust is not None:
            self.obstacle = self._distrust
        elif self._committed is None:
            self.obstacle = Obstacle.NOTHING_COMMITTED
        elif not recent:
            self.obstacle = Obstacle.NO_ANSWER
        elif self._committed < ends.high:
            self.obstacle = Obstacle.NOT_PROCESSED
        elif self._epoch_known_ms > boundary_ms:
            self.obstacle = Obstacle.LEADER_CHANGED
        else:
            self.obstacle = Obstacle.NOT_PROCESSED


def drained_boundary(now_ms: int, out_of_orderness_ms: int, drain_delay_ms: int, interval_ms: int) -> int:
    """Return the last boundary before which no record can be appended any more, for a clock without upstream clocks.

    Args:
        now_ms: the earliest of all clocks concerned, before the end is asked for.
        drain_delay_ms: the skew of all clocks, plus the longest time for which an appended record can stay above the
            high watermark.
    """
    return boundary.floor(now_ms - out_of_orderness_ms - drain_delay_ms, interval_ms)
