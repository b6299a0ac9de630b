"""The time of a test, which changes only when the test changes it."""

from clocksvc.clock.time_format import parse_timestamp


class ManualTime:
    """A `Time` that changes only when a test calls `set` or `advance`."""

    def __init__(self, now: str | int | float = "2026-11-22T12:00:00Z") -> None:
        self._now_ms = parse_timestamp("now", now)
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def set(self, now: str | int | float) -> None:
        """Set the wall clock, forward or back. The monotonic clock does not change."""
        self._now_ms = parse_timestamp("now", now)

    def advance(self, seconds: float) -> None:
        """Advance the wall clock and the monotonic clock."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds
