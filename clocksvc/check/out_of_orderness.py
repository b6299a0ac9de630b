"""How far out of order a partition's records are, and what `max_out_of_orderness` would cover that. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

_STEPS_S = (0, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800)
_HOUR_MS = 3_600_000
_STRAY = 10
"""A maximum so many times the 99th percentile (at least of a second) comes from strays, not from a topic's nature."""


@dataclass(frozen=True, slots=True)
class Disorder:
    """What was seen in samples of a topic's partitions.

    Attributes:
        records: how many.
        behind: how many came behind a later timestamp of their partition.
        p99_ms, max_ms: how far behind the highest timestamp before them, over all records.
    """

    records: int
    behind: int
    p99_ms: int
    max_ms: int

    @property
    def strays(self) -> bool:
        """A few records are much further behind than all others."""
        return self.max_ms > _STRAY * max(self.p99_ms, 1000)

    @property
    def recommended_ms(self) -> int:
        """What would have covered the sample (without strays), rounded up to a handy number of seconds."""
        wanted_ms = self.p99_ms if self.strays else self.max_ms
        whole_hours_ms = -(-wanted_ms // _HOUR_MS) * _HOUR_MS
        return next((step * 1000 for step in _STEPS_S if step * 1000 >= wanted_ms), whole_hours_ms)


def measure(partitions: Iterable[Sequence[int]]) -> Disorder:
    """From each partition's timestamps (ms) in order of offset; those without a timestamp (-1) are passed over."""
    lags: list[int] = []
    for timestamps in partitions:
        stamped = [timestamp for timestamp in timestamps if timestamp >= 0]
        lags += [highest - timestamp for highest, timestamp in zip(accumulate(stamped, max), stamped, strict=True)]
    lags.sort()
    p99_ms = lags[min(len(lags) - 1, len(lags) * 99 // 100)] if lags else 0
    return Disorder(len(lags), sum(lag > 0 for lag in lags), p99_ms, lags[-1] if lags else 0)
