"""Waiting for brokers in slices, so that whoever waits can renew a lease, or raise to give up. Never sleeps."""

from collections.abc import Iterator

from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time

SLICE_S = 1.0
REST_S = 0.05
"""Between two questions, where a failure comes at once."""


class SlicedDeadline:
    """A deadline, and a word to whoever waits for it, once a second.

    Iterating gives the seconds that the next call may block, again and again, until the deadline has passed;
    `waiting` is called in between, and what it raises gets through. Several loops may share one patience.
    """

    def __init__(self, time: Time, timeout_s: float, waiting: KeepAlive) -> None:
        self._time = time
        self._waiting = waiting
        now = time.monotonic()
        self._deadline = now + timeout_s
        self._next_word = now + SLICE_S

    def __iter__(self) -> Iterator[float]:
        while True:
            now = self._time.monotonic()
            if now >= self._next_word:
                self._waiting()
                self._next_word = self._time.monotonic() + SLICE_S
            elif now >= self._deadline:
                return
            else:
                yield min(self._next_word, self._deadline) - now
