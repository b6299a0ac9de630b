"""What this process's leaders did: a LeaderObserver. The only numbers that are kept between two scrapes."""

import threading
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from clocksvc.metrics.catalogue import LATENCY_BUCKETS_S


@dataclass(slots=True)
class Latencies:
    """A histogram: observations by bucket (the last one is above all bounds), and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def observe(self, latency_s: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(LATENCY_BUCKETS_S, latency_s)] += 1
        self.sum_s += latency_s

    def cumulative(self) -> list[tuple[str, float]]:
        """Prometheus's buckets: upper bound as text, and how many observations are not above it."""
        buckets, total = [], 0
        for bound, count in zip([*map(str, LATENCY_BUCKETS_S), "+Inf"], self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


@dataclass(slots=True)
class Led:
    """One clock, as this process led it."""

    leads: bool = False
    ticks: int = 0
    latencies: Latencies = field(default_factory=Latencies)


class Observed:
    """Keeps what leaders say. Safe to use from several threads."""

    def __init__(self, clocks: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._clocks = {clock: Led() for clock in clocks}

    def leading(self, clock: str, yes: bool) -> None:
        """This process began or ceased to lead."""
        with self._lock:
            self._clocks[clock].leads = yes

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Ticks were committed and published; `latency_s` None where it is not known."""
        with self._lock:
            led = self._clocks[clock]
            led.ticks += count
            if latency_s is not None:
                led.latencies.observe(max(0.0, latency_s))

    def read(self) -> dict[str, Led]:
        """All clocks, at one moment."""
        with self._lock:
            return {
                clock: Led(led.leads, led.ticks, Latencies(list(led.latencies.counts), led.latencies.sum_s))
                for clock, led in self._clocks.items()
            }
