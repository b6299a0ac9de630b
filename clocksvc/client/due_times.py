"""When each partition of a reporter must be reported next."""

import heapq

NEVER = float("inf")
NOW = -NEVER


class DueTimes:
    """The due time of each partition, in monotonic seconds. A partition without one is not due.

    Not thread-safe, except for reading `next_at`.

    Attributes:
        next_at: no partition is due before this time.
    """

    def __init__(self) -> None:
        self.next_at = NEVER
        self._at: dict[int, float] = {}
        # Entries that differ from `_at` are outdated. They are dropped when they come first.
        self._heap: list[tuple[float, int]] = []

    def advance(self, partition: int, at: float) -> bool:
        """Make a partition due at a time, unless it is due earlier. True if its due time has changed."""
        if self._at.get(partition, NEVER) <= at:
            return False
        self._set(partition, at)
        self.next_at = min(self.next_at, at)
        return True

    def take(self, now: float, again_at: float) -> list[int]:
        """Return all partitions that are due, in ascending order, and make each due again at `again_at`."""
        taken, heap = [], self._heap
        while heap and (heap[0][0] <= now or self._is_outdated(heap[0])):
            entry = heapq.heappop(heap)
            if not self._is_outdated(entry):
                del self._at[entry[1]]
                taken.append(entry[1])
        for partition in taken:
            self._set(partition, again_at)
        self.next_at = heap[0][0] if heap else NEVER
        return sorted(taken)

    def discard(self, partition: int) -> None:
        """Remove the due time of a partition, if it has one."""
        self._at.pop(partition, None)

    def clear(self) -> None:
        """Remove all due times."""
        self._at.clear()

    def _set(self, partition: int, at: float) -> None:
        self._at[partition] = at
        heapq.heappush(self._heap, (at, partition))

    def _is_outdated(self, entry: tuple[float, int]) -> bool:
        at, partition = entry
        return self._at.get(partition) != at
