"""What the store does not know: a clock, or partitions of it. Said once it lasts, and once more when it is over.

It only listens to answers and logs; one thread calls it.
"""

import logging
from collections.abc import Collection, Container

from clocksvc.clock.partition import Outcome, Partition
from clocksvc.interfaces.store import (
    Report,
    ReportAnswer,
)

logger = logging.getLogger("clocksvc.reporter")

CLOCK_AFTER_S = 5.0
CLOCK_AGAIN_S = 60.0
PARTITIONS_AFTER_S = 60.0
NAMED = 5


class UnknownPartitionLog:
    """What one reporter is not known for. Times are monotonic seconds.

    Args:
        clock: the clock's name.
        where: the store's address, and what may be wrong when it knows nothing, in words.
    """

    def __init__(self, clock: str, where: str) -> None:
        self._clock, self._where = clock, where
        self._nothing_since: float | None = None
        self._said_nothing_at: float | None = None
        self._since: dict[Partition, float] = {}
        self._said: set[Partition] = set()

    def heard(self, report: Report, answer: ReportAnswer, now: float) -> None:
        """Take an answer in."""
        if answer.parameters is None:
            if self._nothing_since is None:
                self._nothing_since = now
            return
        self._nothing_since = None
        for (partition, _), outcome in zip(report.timestamps, answer.outcomes, strict=True):
            if outcome is Outcome.UNKNOWN:
                self._since.setdefault(partition, now)
            else:
                self._since.pop(partition, None)

    def look(self, observed: Container[int], now: float) -> None:
        """Say what is due. `observed` has the numbers of the partitions that are this consumer's still."""
        self._look_at_the_clock(now)
        for partition in [partition for partition in self._since if partition.number not in observed]:
            del self._since[partition]
        self._look_at_partitions(observed, now)

    def _look_at_the_clock(self, now: float) -> None:
        if self._nothing_since is None:
            if self._said_nothing_at is not None:
                logger.info("clock %r is known now", self._clock, extra={"clock": self._clock})
            self._said_nothing_at = None
            return
        due_at = self._nothing_since + CLOCK_AFTER_S
        if self._said_nothing_at is not None:
            due_at = self._said_nothing_at + CLOCK_AGAIN_S
        if now >= due_at:
            self._said_nothing_at = now
            extra = {"clock": self._clock}
            logger.warning("nothing is known of clock %r at %s", self._clock, self._where, extra=extra)

    def _look_at_partitions(self, observed: Container[int], now: float) -> None:
        over = {partition for partition in self._said if partition not in self._since}
        overdue = {partition for partition, since in self._since.items() if now - since >= PARTITIONS_AFTER_S}
        fresh = overdue - self._said
        self._said = (self._said | fresh) - over
        extra = {"clock": self._clock}
        if fresh:
            logger.warning(
                "clock %r has not known %s for %.0f s: are they of the topics, and in the Kafka, that its service "
                "watches?",
                *(self._clock, _named(fresh), PARTITIONS_AFTER_S),
                extra=extra,
            )
        known = [partition for partition in over if partition.number in observed]
        if known:
            logger.info("clock %r knows %s now", self._clock, _named(known), extra=extra)


def _named(partitions: Collection[Partition]) -> str:
    listed = sorted(partitions)
    shown = ", ".join(str(partition) for partition in listed[:NAMED])
    return shown if len(listed) <= NAMED else f"{shown} and {len(listed) - NAMED} more"
