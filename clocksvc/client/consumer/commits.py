"""Which offsets are committed, when, and which timestamps are reported afterwards. No I/O, no reading of time."""

from collections.abc import Iterable, Mapping

from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.watermark import Timestamps
from clocksvc.clock.partition import Partition

COMMIT_TIMEOUT_S = 60.0
"""After this time, a commit without an answer counts as failed."""
FIRST_RETRY_S = 0.5
"""The shortest time between a failed commit and the next one."""


class Commits:
    """The commits of a consumer. At most one is in progress, not counting those of `take`.

    Attributes:
        moved: True if a watermark has moved since the last commit began.
        interval_s: the shortest time between two commits. The caller may change it.

    Args:
        assignments: the present assignments. The caller adds and removes them.
    """

    def __init__(self, assignments: Mapping[Partition, Assignment], interval_s: float) -> None:
        self.moved = False
        self.interval_s = interval_s
        self._assignments = assignments
        self._begin_at = 0.0
        self._awaiting: dict[Partition, int] = {}
        self._awaiting_since = 0.0
        self._reports: dict[Partition, Timestamps] = {}

    @property
    def awaiting(self) -> bool:
        """True while a commit has no answer."""
        return bool(self._awaiting)

    @property
    def empty(self) -> bool:
        """True if nothing is left to be committed or reported."""
        return not (self._awaiting or self.moved or self._reports)

    @property
    def due_at(self) -> float | None:
        """When the next commit is due; None if there is nothing to commit, or a commit is in progress."""
        return self._begin_at if self.moved and not self._awaiting else None

    def begin_due(self, now: float, *, at_once: bool) -> dict[Partition, int]:
        """Begin a commit if it is due, and return its offsets; {} if it is not due.

        Args:
            at_once: True not to wait until the interval is over.
        """
        if self._awaiting and now - self._awaiting_since >= COMMIT_TIMEOUT_S:
            self.fail(dict(self._awaiting), now)
        if self._awaiting or not self.moved or (now < self._begin_at and not at_once):
            return {}
        self.moved = False
        offsets = self.take(self._assignments)
        if offsets:
            self._awaiting, self._awaiting_since = dict(offsets), now
            self._begin_at = now + self.interval_s
        return offsets

    def take(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Begin a commit of these partitions. An offset whose commit is in progress is contained again."""
        offsets = {}
        for partition in partitions:
            assignment = self._assignments.get(partition)
            if assignment is not None and assignment.uncommitted:
                offsets[partition] = assignment.begin_commit()
        return offsets

    def acknowledge(self, offsets: Mapping[Partition, int]) -> None:
        """Kafka acknowledged a commit of these offsets."""
        for partition, offset in offsets.items():
            self._answered(partition, offset)
            assignment = self._assignments.get(partition)
            timestamps = None if assignment is None else assignment.acknowledge(offset)
            if timestamps is not None:
                earlier = self._reports.get(partition)
                self._reports[partition] = timestamps if earlier is None else earlier.followed_by(timestamps)

    def fail(self, offsets: Mapping[Partition, int], now: float) -> None:
        """A commit of these offsets failed, or its outcome is not known."""
        self._begin_at = max(self._begin_at, now + FIRST_RETRY_S)
        for partition, offset in offsets.items():
            self._answered(partition, offset)
            assignment = self._assignments.get(partition)
            if assignment is not None:
                assignment.fail(offset)
                self.moved = True

    def remove(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions that were revoked or lost."""
        for partition in partitions:
            self._awaiting.pop(partition, None)
            self._reports.pop(partition, None)

    def take_reports(self) -> dict[Partition, Timestamps]:
        """Return the timestamps of records whose commit was acknowledged since the last call."""
        reports, self._reports = self._reports, {}
        return reports

    def _answered(self, partition: Partition, offset: int) -> None:
        if self._awaiting.get(partition) == offset:
            del self._awaiting[partition]
