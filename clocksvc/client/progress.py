"""How far a consumer has processed one partition, and which tracker deserve a second look. No I/O, no threads.

All tracker are raw record timestamps in milliseconds since the epoch; -1 stands for none.
"""

from clocksvc.clock import boundary
from clocksvc.interfaces.store import ClockParameters

NONE = -1
NEVER = 2**63
DEFAULT_MAX_FUTURE_MS = 60_000
"""How far ahead of local time a number may be while the clock's own `max_future` is not known: the default of that."""


class Progress:
    """One partition's tracker.

    Attributes:
        high_ms: the highest timestamp processed that is above suspicion.
        ahead_ms: the highest one so far ahead of local time that the store may refuse it. It stands beside the other,
            not above it: when it is refused, nothing good was hidden by it.
        accepted_ms: the number that the store last kept.
        boundary_ms: a record at or after this carries the partition past a boundary: worth a report.
        fast_path_limit_ms: a record at or after this needs a second look; never above `boundary_ms`.
        late_below_ms: a record below this stands before a tick that was given, or has no timestamp.
    """

    __slots__ = ("accepted_ms", "ahead_ms", "boundary_ms", "fast_path_limit_ms", "high_ms", "late_below_ms")

    def __init__(self) -> None:
        self.high_ms = self.ahead_ms = self.accepted_ms = NONE
        self.boundary_ms = self.fast_path_limit_ms = self.late_below_ms = 0

    @property
    def timestamp_ms(self) -> int:
        """What there is to report."""
        return self.high_ms if self.high_ms > self.ahead_ms else self.ahead_ms

    @property
    def stored(self) -> bool:
        """Whether the store has kept what there is to report."""
        return self.timestamp_ms == self.accepted_ms

    def add(self, timestamp_ms: int, bounds: ClockParameters | None, now_ms: int) -> None:
        """Keep a number that was not refused."""
        if timestamp_ms <= trusted_until(bounds, now_ms):
            # The comparison again: another thread may have brought a higher one.
            if timestamp_ms > self.high_ms:
                self.high_ms = timestamp_ms
        elif timestamp_ms > self.ahead_ms:
            self.ahead_ms = timestamp_ms

    def recompute_thresholds(self, bounds: ClockParameters | None, last_tick_ms: int, now_ms: int) -> None:
        """Set anew which tracker deserve a second look. `last_tick_ms` is 0 before the first tick."""
        self.boundary_ms = NEVER if bounds is None else _next_boundary(self.timestamp_ms, bounds)
        self.late_below_ms = last_tick_ms
        if self.high_ms < self.late_below_ms:
            self.fast_path_limit_ms = (
                0  # every record, until this partition has caught up with the last tick: it may be late
            )
        else:
            self.fast_path_limit_ms = min(self.boundary_ms, trusted_until(bounds, now_ms) + 1)

    def mark_accepted(self, timestamp_ms: int) -> None:
        """The store has kept a number."""
        if timestamp_ms > self.accepted_ms:
            self.accepted_ms = timestamp_ms
        if self.ahead_ms <= timestamp_ms:
            if self.ahead_ms > self.high_ms:
                self.high_ms = self.ahead_ms
            self.ahead_ms = NONE

    def mark_rejected(self, timestamp_ms: int) -> None:
        """The store has refused a number: forget it, and all above it, so that the next ordinary record counts."""
        if self.ahead_ms >= timestamp_ms:
            self.ahead_ms = NONE
        if self.high_ms >= timestamp_ms:
            self.high_ms = self.accepted_ms

    def mark_unknown(self) -> None:
        """The store does not know the partition, or no longer: report again what was reported."""
        self.accepted_ms = NONE


def max_future_ms(bounds: ClockParameters | None) -> int:
    """How far ahead of local time a number may be."""
    return DEFAULT_MAX_FUTURE_MS if bounds is None else bounds.max_future_ms


def trusted_until(bounds: ClockParameters | None, now_ms: int) -> int:
    """Up to where the store will accept a number for sure, unless its clock and ours differ by a lot."""
    return now_ms if bounds is None else now_ms + bounds.max_future_ms // 2


def _next_boundary(timestamp_ms: int, bounds: ClockParameters) -> int:
    return boundary.next_threshold(timestamp_ms, bounds.out_of_orderness_ms, bounds.interval_ms)
