"""How far a consumer has processed one partition, and which timestamps need the slow path. No I/O, no threads.

All values are raw record timestamps in milliseconds since the epoch; -1 means none.
"""

from clocksvc.clock import boundary
from clocksvc.clock.partition import SECONDS_BELOW_MS
from clocksvc.interfaces.progress import ClockParameters

NONE = -1
NEVER = 2**63
CREATE_TIME = 1
"""The timestamp type of a record whose producer set the timestamp, as in confluent-kafka's `TIMESTAMP_CREATE_TIME`."""
DEFAULT_MAX_FUTURE_MS = 60_000
"""The default of the setting `max_future`. It is used until the clock's own value is known."""


class Progress:
    """The timestamps of one partition.

    Attributes:
        high_ms: the highest processed timestamp that the store is sure to accept.
        ahead_ms: the highest processed timestamp that the store may reject, because it is ahead of local time. It is
            kept apart from `high_ms`, so that a rejection does not also drop a valid timestamp.
        accepted_ms: the timestamp that the store accepted last.
        boundary_ms: a record at or after this crosses a boundary of the clock, so a report is due.
        fast_path_limit_ms: a record at or after this needs the slow path; never above `boundary_ms`.
        late_below_ms: a record below this is before the last tick, has no timestamp, or has no milliseconds.
        timestamp_type: the timestamp type of the newest message; a message with another type needs the slow path.
        create_time: True if a message with CreateTime was seen, and no report that states it was accepted since.
        paused_until: no report of this partition is due before this monotonic time.
    """

    __slots__ = (
        "accepted_ms",
        "ahead_ms",
        "boundary_ms",
        "create_time",
        "fast_path_limit_ms",
        "high_ms",
        "late_below_ms",
        "paused_until",
        "timestamp_type",
    )

    def __init__(self) -> None:
        self.high_ms = self.ahead_ms = self.accepted_ms = NONE
        self.boundary_ms = self.fast_path_limit_ms = self.late_below_ms = 0
        self.timestamp_type = 0
        self.create_time = False
        self.paused_until = float("-inf")

    @property
    def timestamp_ms(self) -> int:
        """The timestamp to report."""
        return self.high_ms if self.high_ms > self.ahead_ms else self.ahead_ms

    @property
    def stored(self) -> bool:
        """True if the store has already accepted the newest timestamp, so nothing is left to report."""
        return self.timestamp_ms == self.accepted_ms

    def add(self, timestamp_ms: int, parameters: ClockParameters | None, now_ms: int) -> None:
        """Add a timestamp that passed the local checks."""
        if timestamp_ms <= trusted_until(parameters, now_ms):
            # Compare again, because another thread may have set a higher timestamp.
            if timestamp_ms > self.high_ms:
                self.high_ms = timestamp_ms
        elif timestamp_ms > self.ahead_ms:
            self.ahead_ms = timestamp_ms

    def set_timestamp_type(self, timestamp_type: int) -> None:
        """Set the timestamp type of the newest message."""
        self.timestamp_type = timestamp_type
        self.create_time = self.create_time or timestamp_type == CREATE_TIME

    def set_last_tick(self, last_tick_ms: int) -> None:
        """Set `late_below_ms`. `last_tick_ms` is 0 before the first tick."""
        self.late_below_ms = max(last_tick_ms, SECONDS_BELOW_MS)

    def recompute_thresholds(self, parameters: ClockParameters | None, last_tick_ms: int, now_ms: int) -> None:
        """Compute which timestamps need the slow path. `last_tick_ms` is 0 before the first tick."""
        self.boundary_ms = NEVER if parameters is None else _next_boundary(self.timestamp_ms, parameters)
        self.set_last_tick(last_tick_ms)
        if self.high_ms < self.late_below_ms:
            # Any record may be late until this partition has caught up with the last tick.
            self.fast_path_limit_ms = 0
        else:
            self.fast_path_limit_ms = min(self.boundary_ms, trusted_until(parameters, now_ms) + 1)

    def mark_accepted(self, timestamp_ms: int) -> None:
        """Record that the store has accepted a timestamp."""
        if timestamp_ms > self.accepted_ms:
            self.accepted_ms = timestamp_ms
        if self.ahead_ms <= timestamp_ms:
            if self.ahead_ms > self.high_ms:
                self.high_ms = self.ahead_ms
            self.ahead_ms = NONE

    def mark_create_time_stated(self) -> None:
        """Record that a report which states CreateTime for this partition was accepted."""
        self.create_time = self.timestamp_type == CREATE_TIME

    def mark_rejected(self, timestamp_ms: int) -> None:
        """Forget a timestamp that the store has rejected, and all higher ones, so that the next valid record counts."""
        if self.ahead_ms >= timestamp_ms:
            self.ahead_ms = NONE
        if self.high_ms >= timestamp_ms:
            self.high_ms = self.accepted_ms

    def mark_unknown(self) -> None:
        """Record that the store does not know the partition, so its timestamp must be reported again."""
        self.accepted_ms = NONE


def max_future_ms(parameters: ClockParameters | None) -> int:
    """Return how far, in ms, a timestamp may be ahead of local time."""
    return DEFAULT_MAX_FUTURE_MS if parameters is None else parameters.max_future_ms


def trusted_until(parameters: ClockParameters | None, now_ms: int) -> int:
    """Return the highest timestamp that the store is sure to accept.

    This is local time plus half of `max_future`. The other half allows for a difference between the store's clock and
    the local clock. While the parameters are unknown (None), return local time.
    """
    return now_ms if parameters is None else now_ms + parameters.max_future_ms // 2


def _next_boundary(timestamp_ms: int, parameters: ClockParameters) -> int:
    return boundary.next_threshold(timestamp_ms, parameters.out_of_orderness_ms, parameters.interval_ms)
