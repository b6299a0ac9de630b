"""The interface to the computer's clock, and its implementation. No other module reads the clock.

`clock/` must not import this module, because its functions receive times as arguments.
"""

import time
from typing import Protocol


class Time(Protocol):
    """Reads the time for all code outside the core."""

    def now_ms(self) -> int:
        """Return wall-clock time in milliseconds since the epoch. It can jump forward and back."""

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary moment, for timeouts and back-offs. They never go back."""


class SystemTime:
    """The computer's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
