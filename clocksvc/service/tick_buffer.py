"""The newest ticks of one clock that a replica shows, in memory and without gaps.

One thread adds ticks; any thread may read them.
"""

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
        """Add ticks that follow the last one in the chain."""
        with self._lock:
            self._ticks.extend(ticks)

    def reset(self, ticks: Sequence[Tick]) -> None:
        """Replace all ticks by later ticks."""
        with self._lock:
            self._ticks.clear()
            self._ticks.extend(ticks)

    def first(self) -> Tick | None:
        """Return the oldest tick; None if the buffer is empty."""
        with self._lock:
            return self._ticks[0] if self._ticks else None

    def last(self) -> Tick | None:
        """Return the newest tick; None if the buffer is empty."""
        with self._lock:
            return self._ticks[-1] if self._ticks else None

    def newest(self, limit: int) -> list[Tick]:
        """Return the newest ticks, at most `limit`, ascending."""
        with self._lock:
            return list(islice(self._ticks, max(0, len(self._ticks) - limit), None))

    def after(self, cursor_ms: int, limit: int) -> list[Tick] | None:
        """Return the ticks after a cursor, at most `limit`, ascending.

        Returns:
            None if there may be ticks between the cursor and the oldest tick in memory.
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
