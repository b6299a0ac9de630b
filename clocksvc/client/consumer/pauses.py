"""Which partitions are paused, and why. A partition is paused while there is at least one reason. No I/O."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from clocksvc.clock.partition import Partition

BUFFER_FULL = "buffer_full"
DRAINING = "draining"
AHEAD = "ahead"
"""The partition runs ahead of the clock, by more than its `max_drift`."""
REASONS = (BUFFER_FULL, AHEAD, DRAINING)


class Pauses:
    """The paused partitions of a consumer, by reason. Each reason belongs to one part of the program.

    Changes are collected until `take_changes`, because partitions can't be paused in a callback of a rebalance.

    Attributes:
        totals: how often a partition was paused, by reason.
    """

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self._assigned: set[Partition] = set()
        self._wanted: dict[str, set[Partition]] = {}
        self._paused: set[Partition] = set()
        self._changed = False

    @property
    def paused(self) -> Collection[Partition]:
        """The partitions that were paused by the last changes."""
        return self._paused

    def set(self, reason: str, partitions: Iterable[Partition]) -> None:
        """Pause exactly these partitions for a reason. Partitions that other reasons pause stay paused."""
        wanted, before = set(partitions), self._wanted.get(reason, set())
        if wanted != before:
            self.totals[reason] += len(wanted - before)
            self._wanted[reason] = wanted
            self._changed = True

    def wants(self, reason: str) -> bool:
        """True if a partition is paused for this reason, or will be with the next changes."""
        return bool(self._wanted.get(reason))

    def by_reason(self) -> Mapping[str, int]:
        """Return the number of paused partitions for each reason. A partition can have several reasons."""
        return {reason: len(self._paused & wanted) for reason, wanted in self._wanted.items()}

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """Add partitions. Kafka fetches their records until they are paused."""
        self._assigned.update(partitions)
        self._paused.difference_update(partitions)
        self._changed = True

    def removed(self, partitions: Iterable[Partition]) -> None:
        """Remove partitions that were revoked or lost."""
        self._assigned.difference_update(partitions)
        self._paused.difference_update(partitions)

    def take_changes(self) -> tuple[list[Partition], list[Partition]]:
        """Return the partitions to pause and those to resume since the last call."""
        if not self._changed:
            return [], []
        self._changed = False
        wanted = self._assigned & set().union(*self._wanted.values())
        to_pause, to_resume = sorted(wanted - self._paused), sorted(self._paused - wanted)
        self._paused = wanted
        return to_pause, to_resume
