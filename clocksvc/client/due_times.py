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
        self._drop_outdated()
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
        self._drop_outdated()
        self.next_at = self._heap[0][0] if self._heap else NEVER
        return sorted(taken)

    def discard(self, partition: int) -> None:
        """Remove the due time of a partition, if it has one."""
        self._at.pop(partition, None)

    def clear(self) -> None:
        """Remove all due times."""
        self._at.clear()
        self._heap.clear()

    def _set(self, partition: int, at: float) -> None:
        self._at[partition] = at
        heapq.heappush(self._heap, (at, partition))

    def _drop_outdated(self) -> None:
        """Keep the heap small: each crossing of a boundary adds an entry to it."""
        if len(self._heap) > 2 * len(self._at) + 100:
            self._heap = [(at, partition) for partition, at in self._at.items()]
            heapq.heapify(self._heap)

    def _is_outdated(self, entry: tuple[float, int]) -> bool:
        at, partition = entry
        return self._at.get(partition) != at
