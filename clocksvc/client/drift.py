"""Which partitions run so far ahead of the global clock that their consumer should pause them (`max_drift`).

No I/O, no reading of time. Timestamps and partition clocks are milliseconds, other times are monotonic seconds.

A partition is ahead if its partition clock is more than `max_drift` ahead of the global clock, until it is less than
half of `max_drift` ahead. No partition is ahead unless all of these conditions are known to be met:

- The global clock is more than `max_drift` behind the present.
- The clock waits for partitions, and an answer has confirmed this in the last CONFIRMED_S: it has a leader, every
  partition is reported, and the clock has the tick of the boundary that the slowest partition has reached, or a new
  tick since the answer before. So nothing is ahead of a paused clock, or while the store, the service or the tick log
  is unavailable.
- The slowest partition has advanced in the last MOVING_S, or the first answer came in the last STARTING_S. A partition
  that is stuck, quiet, or without a consumer has no backlog for which other partitions could wait.

The slowest partition has the lowest timestamp that the store has accepted. It is ahead only while a timestamp that is
so far ahead is pending: its record was read, and will be reported although no further records are read. Reading further
records would not make this report earlier. When the store has accepted it, the partition is not the slowest any more,
or it is near the global clock. So a pause of the slowest partition can't stop the clock.
"""

from collections.abc import Collection, Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from clocksvc.client.due_times import NEVER, NOW
from clocksvc.clock import boundary
from clocksvc.interfaces.progress import ClockParameters, ReportAnswer

CONFIRMED_S = 7.0
"""How long an answer confirms that the clock waits for partitions. A failover is shorter. A leader can have ended up to
LEADER_SEEN_MS before the answer, so nothing is ahead 10 s after the leader has ended."""
MOVING_S = 60.0
"""How long the slowest partition counts as moving after it has advanced."""
STARTING_S = 10.0
"""How long the slowest partition counts as moving after the first answer. It is not known yet whether it advances."""
MIN_ASK_S, MAX_ASK_S = 0.1, 5.0
"""The limits of the time between two reports while a partition is ahead. Within them, the time is such that the global
clock advances by about a tenth of `max_drift`. If it were longer, paused partitions would be resumed too late, and the
catch-up would be slower."""

K = TypeVar("K", bound=Hashable)


class ReadPosition(NamedTuple):
    """How far a consumer is in one partition.

    Attributes:
        timestamp_ms: the highest raw timestamp that the consumer has read.
        accepted_ms: the highest raw timestamp that the store has accepted from this consumer; -1 for none.
        pending: True if it is sure that `timestamp_ms` will be reported although no further record is read.
    """

    timestamp_ms: int
    accepted_ms: int
    pending: bool = False


def select_ahead(
    clocks_ms: Mapping[K, int], global_ms: int, max_drift_ms: int, ahead_before: Collection[K]
) -> frozenset[K]:
    """Return the partitions that are ahead of the global clock.

    Args:
        clocks_ms: the partition clocks.
        ahead_before: the previous result.
    """
    return frozenset(
        partition
        for partition, clock_ms in clocks_ms.items()
        if clock_ms - global_ms > max_drift_ms
        or (partition in ahead_before and 2 * (clock_ms - global_ms) >= max_drift_ms)
    )


class Drift(Generic[K]):
    """The drift of one consumer's partitions. Not thread-safe.

    Attributes:
        ask_at: when to report although there is nothing to report, because the answer may end that partitions are
            ahead; NEVER while no partition is ahead.
    """

    def __init__(self) -> None:
        self.ask_at = NEVER
        self._parameters: ClockParameters | None = None
        self._last_tick_ms: int | None = None
        self._lowest_ms: int | None = None
        self._global_ms = 0
        self._answered_at = self._confirmed_at = self._advanced_at = NOW
        self._ahead: frozenset[K] = frozenset()
        self._ask_s = MIN_ASK_S
        self._measured_at, self._measured_ms = NOW, 0

    def apply_answer(self, answer: ReportAnswer, asked_at: float) -> None:
        """Apply the answer to a report that was sent at `asked_at`."""
        parameters, last_ms, lowest_ms = answer.parameters, answer.last_tick_ms, answer.lowest_ms
        self._parameters, self._answered_at = parameters, asked_at
        if parameters is not None and last_ms is not None and lowest_ms is not None:
            reached_ms = boundary.reached(lowest_ms, parameters.out_of_orderness_ms, parameters.interval_ms)
            if reached_ms <= last_ms or last_ms > (self._last_tick_ms or last_ms):
                self._confirmed_at = asked_at
            if self._lowest_ms is None:
                self._advanced_at = asked_at + STARTING_S - MOVING_S
            elif lowest_ms > self._lowest_ms:
                self._advanced_at = asked_at
            self._last_tick_ms, self._lowest_ms = last_ms, lowest_ms
            self._global_ms = max(last_ms, reached_ms)
        if self._ahead:
            self._adapt_ask_s(asked_at)
        self._schedule()

    def may_pause(self, now: float, now_ms: int) -> bool:
        """True if the conditions are met that are the same for all partitions."""
        parameters = self._parameters
        return (
            parameters is not None
            and parameters.max_drift_ms is not None
            and now_ms - self._global_ms > parameters.max_drift_ms
            and now - self._confirmed_at <= CONFIRMED_S
            and now - self._advanced_at <= MOVING_S
        )

    def update(self, positions: Mapping[K, ReadPosition]) -> frozenset[K]:
        """Return the partitions that are ahead. `positions` must be {} unless `may_pause` is True."""
        parameters, lowest_ms = self._parameters, self._lowest_ms
        ahead: frozenset[K] = frozenset()
        if parameters is not None and parameters.max_drift_ms is not None and lowest_ms is not None:
            clocks_ms = {
                partition: position.timestamp_ms - parameters.out_of_orderness_ms
                for partition, position in positions.items()
                if position.accepted_ms > lowest_ms or position.pending
            }
            ahead = select_ahead(clocks_ms, self._global_ms, parameters.max_drift_ms, self._ahead)
        if ahead and not self._ahead:
            self._ask_s, self._measured_at, self._measured_ms = MIN_ASK_S, self._answered_at, self._global_ms
        self._ahead = ahead
        self._schedule()
        return ahead

    def discard(self, partition: K) -> None:
        """Forget a partition that this consumer does not have any more."""
        self._ahead -= {partition}
        self._schedule()

    def _schedule(self) -> None:
        self.ask_at = self._answered_at + self._ask_s if self._ahead else NEVER

    def _adapt_ask_s(self, asked_at: float) -> None:
        parameters = self._parameters
        if parameters is None or parameters.max_drift_ms is None or asked_at - self._measured_at < self._ask_s:
            return
        advance = (self._global_ms - self._measured_ms) / parameters.max_drift_ms
        if advance > 0.1:
            self._ask_s = max(MIN_ASK_S, self._ask_s / 2)
        elif advance < 0.05:
            self._ask_s = min(MAX_ASK_S, self._ask_s * 2)
        self._measured_at, self._measured_ms = asked_at, self._global_ms
