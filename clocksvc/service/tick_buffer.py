"""The newest ticks of one clock that a replica shows, in memory and without gaps.

One thread adds ticks; any thread may read them.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import islice

from clocksvc.clock.tick import Tick

_TICK_BYTES = 250
_EXCLUDED_BYTES = 150
"""Of each excluded partition, without the topic's name."""


def size_of(tick: Tick) -> int:
    """Return about how many bytes a tick needs in memory."""
    if not tick.excluded:
        return _TICK_BYTES
    return _TICK_BYTES + sum(_EXCLUDED_BYTES + len(partition.topic) for partition in tick.excluded)


class TickBuffer:
    """The newest ticks, ascending: at most `max_ticks`, and at most `max_bytes`. The last tick is always kept."""

    def __init__(self, max_ticks: int, max_bytes: int) -> None:
        self._max_ticks = max_ticks
        self._max_bytes = max_bytes
        self._bytes = 0
        self._ticks: deque[Tick] = deque()
        self._lock = threading.Lock()

    def extend(self, ticks: Iterable[Tick]) -> None:
        """Add ticks that follow the last one in the chain."""
        with self._lock:
            self._extend(ticks)

    def reset(self, ticks: Iterable[Tick]) -> None:
        """Replace all ticks by later ticks."""
        with self._lock:
            self._ticks.clear()
            self._bytes = 0
            self._extend(ticks)

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

    def has_newest(self, limit: int) -> bool:
        """True if the newest ticks of the clock, at most `limit`, are in the buffer."""
        with self._lock:
            return len(self._ticks) >= limit or (bool(self._ticks) and self._ticks[0].previous_ms is None)

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

    def _extend(self, ticks: Iterable[Tick]) -> None:
        for tick in ticks:
            self._ticks.append(tick)
            self._bytes += size_of(tick)
            while len(self._ticks) > 1 and (len(self._ticks) > self._max_ticks or self._bytes > self._max_bytes):
                self._bytes -= size_of(self._ticks.popleft())
