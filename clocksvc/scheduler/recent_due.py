"""How many due records an owner sends for each minute of its clock."""

from collections import deque
from typing import NamedTuple

MINUTE_MS = 60_000


class _Sent(NamedTuple):
    previous_ms: int
    tick_ms: int
    due: int


class RecentDue:
    """The due records of the ticks of the last minute, or of one tick if ticks are further apart. Not thread-safe."""

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque()

    def add(self, previous_ms: int, tick_ms: int, due: int) -> None:
        """Add the due records of one or more ticks: of all that was due after `previous_ms`, up to `tick_ms`."""
        if self._sent and self._sent[-1].tick_ms != previous_ms:
            self._sent.clear()
        self._sent.append(_Sent(previous_ms, tick_ms, due))
        while len(self._sent) > 1 and tick_ms - self._sent[1].previous_ms >= MINUTE_MS:
            self._sent.popleft()

    def per_minute(self) -> float | None:
        """Return the number for a minute; None until ticks of a minute were added."""
        span_ms = self._sent[-1].tick_ms - self._sent[0].previous_ms if self._sent else 0
        if span_ms < MINUTE_MS:
            return None
        return sum(one.due for one in self._sent) * MINUTE_MS / span_ms
