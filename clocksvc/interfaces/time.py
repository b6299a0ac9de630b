"""The interface to the computer's clock, and its implementation. No other module reads the clock.

`clock/` must not import this: its functions receive times as arguments.
"""

import time
from typing import Protocol


class Time(Protocol):
    """Where code outside the core reads the time."""

    def now_ms(self) -> int:
        """Wall-clock time, milliseconds since the epoch. Can jump in both directions."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. Never goes back; for timeouts and back-offs."""


class SystemTime:
    """The computer's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
