"""Logs a warning if the store does not know a clock, or partitions of a clock, for some time. Logs also when this ends.

Only one thread may call this.
"""

import logging
from collections.abc import Container

from clocksvc.clock.partition import Outcome, Partition, name_first
from clocksvc.interfaces.progress import Report, ReportAnswer

logger = logging.getLogger("clocksvc.reporter")

LOG_CLOCK_AFTER_S = 5.0
LOG_CLOCK_EVERY_S = 60.0
LOG_PARTITIONS_AFTER_S = 30.0


class UnknownPartitionLog:
    """The log of one reporter. Times are monotonic seconds.

    Args:
        clock: the clock's name.
        where: the store's address, and what to check if the store does not know the clock.
    """

    def __init__(self, clock: str, where: str) -> None:
        self._clock, self._where = clock, where
        self._clock_unknown_since: float | None = None
        self._clock_logged_at: float | None = None
        self._unknown_since: dict[Partition, float] = {}
        self._logged: set[Partition] = set()

    def record(self, report: Report, answer: ReportAnswer, now: float) -> None:
        """Record which partitions an answer reports as unknown. Does not log."""
        if answer.parameters is None:
            if self._clock_unknown_since is None:
                self._clock_unknown_since = now
            return
        self._clock_unknown_since = None
        for (partition, _), outcome in zip(report.timestamps, answer.outcomes, strict=True):
            if outcome is Outcome.UNKNOWN:
                self._unknown_since.setdefault(partition, now)
            else:
                self._unknown_since.pop(partition, None)

    def log_changes(self, observed: Container[int], now: float) -> None:
        """Log what is due. `observed` contains the numbers of the partitions that this consumer still reads."""
        self._log_clock_changes(now)
        for partition in [partition for partition in self._unknown_since if partition.number not in observed]:
            del self._unknown_since[partition]
        self._log_partition_changes(observed, now)

    def _log_clock_changes(self, now: float) -> None:
        if self._clock_unknown_since is None:
            if self._clock_logged_at is not None:
                logger.info("clock %r is known now", self._clock, extra={"clock": self._clock})
            self._clock_logged_at = None
            return
        due_at = self._clock_unknown_since + LOG_CLOCK_AFTER_S
        if self._clock_logged_at is not None:
            due_at = self._clock_logged_at + LOG_CLOCK_EVERY_S
        if now >= due_at:
            self._clock_logged_at = now
            extra = {"clock": self._clock}
            logger.warning("clock %r is unknown at %s", self._clock, self._where, extra=extra)

    def _log_partition_changes(self, observed: Container[int], now: float) -> None:
        over = {partition for partition in self._logged if partition not in self._unknown_since}
        overdue = {
            partition for partition, since in self._unknown_since.items() if now - since >= LOG_PARTITIONS_AFTER_S
        }
        fresh = overdue - self._logged
        self._logged = (self._logged | fresh) - over
        extra = {"clock": self._clock}
        if fresh:
            logger.warning(
                "clock %r: partitions unknown for %.0f s: %s; check that the clock's service watches these topics, in "
                "the same Kafka cluster",
                *(self._clock, LOG_PARTITIONS_AFTER_S, name_first(sorted(fresh))),
                extra=extra,
            )
        known = [partition for partition in over if partition.number in observed]
        if known:
            logger.info("clock %r: partitions known now: %s", self._clock, name_first(sorted(known)), extra=extra)
