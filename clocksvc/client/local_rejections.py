"""Timestamps of one topic that are not reported as progress, because the reporter or the store rejects them.

No I/O besides the log. Not thread-safe.
"""

import logging
from collections.abc import Iterable
from typing import NamedTuple

from clocksvc.client.due_times import NEVER
from clocksvc.clock.partition import REJECTIONS, Outcome, describe_rejection
from clocksvc.interfaces.time import Time

logger = logging.getLogger("clocksvc.reporter")

REJECTIONS_AFTER_S = 1.0
"""When local rejections are reported, so that many of them go in one report."""


class PendingRejection(NamedTuple):
    """A timestamp of one partition that the reporter rejected. `topic` is None for the observed topic."""

    partition: int
    timestamp_ms: int
    outcome: Outcome
    topic: str | None = None


class LocalRejections:
    """The last rejection of each partition that is not reported yet, and which rejections were logged.

    Attributes:
        due_at: the monotonic time at which they are reported; NEVER if there are none.
    """

    def __init__(self, clock: str, time: Time) -> None:
        self.due_at = NEVER
        self._clock, self._time = clock, time
        self._pending: dict[tuple[str | None, int], PendingRejection] = {}
        self._logged: set[tuple[int, Outcome]] = set()

    @property
    def unsent(self) -> bool:
        """True if there are any."""
        return bool(self._pending)

    def add(self, rejection: PendingRejection) -> None:
        """Add a rejection. It replaces an earlier one of the same partition."""
        if not self._pending:
            self.due_at = self._time.monotonic() + REJECTIONS_AFTER_S
        self._pending[rejection.topic, rejection.partition] = rejection

    def select(self, now: float, *, unsent: bool) -> list[PendingRejection]:
        """Return all rejections; [] if they are not due. With `unsent`, also if they are not due."""
        return list(self._pending.values()) if unsent or now >= self.due_at else []

    def drop(self, reported: Iterable[PendingRejection]) -> None:
        """Remove rejections that are reported, unless there are newer ones."""
        for item in reported:
            if self._pending.get((item.topic, item.partition)) == item:
                del self._pending[item.topic, item.partition]
        self.due_at = self._time.monotonic() + REJECTIONS_AFTER_S if self._pending else NEVER

    def clear(self) -> None:
        """Remove all rejections."""
        self._pending.clear()
        self.due_at = NEVER

    def forget(self, partition: int) -> None:
        """Log the next rejections of a partition again."""
        self._logged -= {(partition, outcome) for outcome in REJECTIONS}

    def log(self, topic: str | None, partition: int, timestamp_ms: int, outcome: Outcome) -> None:
        """Log a rejection, once for each partition and outcome."""
        if (partition, outcome) in self._logged:
            return
        self._logged.add((partition, outcome))
        where = {"clock": self._clock, "topic": topic, "partition": partition}
        logger.warning(
            "timestamp rejected: %s:%d %s",
            *(topic or "?", partition, describe_rejection(timestamp_ms, outcome)),
            extra={**where, "timestamp_ms": timestamp_ms, "outcome": outcome.value},
        )
