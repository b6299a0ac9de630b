"""The one module that reads the computer's clock. Logic takes times as arguments, or a Time.

It must not be imported by `clock/`, which knows no time but what it is told.
"""

import time
from typing import Protocol


class Time(Protocol):
    """Where logic outside the core gets the time from."""

    def now_ms(self) -> int:
        """Wall time, milliseconds since the epoch. May jump, either way."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary beginning; never goes back. For time-outs and back-offs."""


class SystemTime:
    """The computer's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
