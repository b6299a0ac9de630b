"""A deadline that calls a keep-alive once a second while its user waits for brokers. It never sleeps."""

from collections.abc import Iterator

from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time

SLICE_S = 1.0
PAUSE_S = 0.05
"""The pause between two attempts of a request that fails at once."""


class SlicedDeadline:
    """Splits a wait into slices of at most one second, and calls `keep_alive` between them.

    Iterate over it: each value is the number of seconds that the next call may block. The iteration ends at the
    deadline. What `keep_alive` raises ends the wait: a leader renews its lease there, or gives up. Several loops may
    share one deadline.
    """

    def __init__(self, time: Time, timeout_s: float, keep_alive: KeepAlive = lambda: None) -> None:
        self._time = time
        self._keep_alive = keep_alive
        now = time.monotonic()
        self._deadline = now + timeout_s
        self._next_keep_alive = now + SLICE_S

    def __iter__(self) -> Iterator[float]:
        while True:
            now = self._time.monotonic()
            if now >= self._next_keep_alive:
                self._keep_alive()
                self._next_keep_alive = self._time.monotonic() + SLICE_S
            elif now >= self._deadline:
                return
            else:
                yield min(self._next_keep_alive, self._deadline) - now
