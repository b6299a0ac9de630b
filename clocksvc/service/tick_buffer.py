"""The newest ticks of one clock in memory, without gaps: those that a replica shows. One thread adds, any may read."""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice

from clocksvc.clock.tick import Tick


class TickBuffer:
    """The newest ticks, at most `size`, ascending."""

    def __init__(self, size: int) -> None:
        self._ticks: deque[Tick] = deque(maxlen=size)
        self._lock = threading.Lock()

    def extend(self, ticks: Sequence[Tick]) -> None:
        """Add ticks that continue the chain."""
        with self._lock:
            self._ticks.extend(ticks)

    def reset(self, ticks: Sequence[Tick]) -> None:
        """Replace all ticks by later ones."""
        with self._lock:
            self._ticks.clear()
            self._ticks.extend(ticks)

    def first(self) -> Tick | None:
        """The oldest tick; None if there is none."""
        with self._lock:
            return self._ticks[0] if self._ticks else None

    def last(self) -> Tick | None:
        """The newest tick; None if there is none."""
        with self._lock:
            return self._ticks[-1] if self._ticks else None

    def newest(self, limit: int) -> list[Tick]:
        """The newest ticks, at most `limit`, ascending."""
        with self._lock:
            return list(islice(self._ticks, max(0, len(self._ticks) - limit), None))

    def after(self, cursor_ms: int, limit: int) -> list[Tick] | None:
        """The ticks after a cursor, at most `limit`, ascending.

        Returns:
            None if there may be ticks between the cursor and the oldest one in memory.
        """
        with self._lock:
            if not self._ticks:
                return None
            first, last = self._ticks[0], self._ticks[-1]
            if first.previous_ms is not None and cursor_ms < first.previous_ms:
                return None
            if cursor_ms >= last.at_ms:
                return []
            begin = bisect_right(self._ticks, cursor_ms, key=lambda tick: tick.at_ms)
            return list(islice(self._ticks, begin, begin + limit))
