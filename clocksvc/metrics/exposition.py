"""Renders `/metrics` in Prometheus's text format: the counts of this process, and values read from its clocks."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version

from prometheus_client import generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from clocksvc.clock.logs import log_of
from clocksvc.metrics.catalogue import (
    BUILD_INFO,
    CATALOGUE,
    INVALID_HTTP,
    LATENCY_BUCKETS_S,
    LEADER,
    PARTITION_CLOCK,
    STREAMS,
    STREAMS_DROPPED,
    TICK_LATENCY,
    TICKS,
)
from clocksvc.metrics.families import Families
from clocksvc.metrics.readings import ClockReadings, ClockSource, Reading, read

_FAMILIES = [one for one in CATALOGUE if one is not PARTITION_CLOCK]
_MAX_THREADS = 16
_PARTITION_CLOCK_HEAD = (
    f"# HELP {PARTITION_CLOCK.name} {PARTITION_CLOCK.help}\n# TYPE {PARTITION_CLOCK.name} {PARTITION_CLOCK.type}\n"
)


class Metrics:
    """All metrics of one process. This is a LeaderObserver that also renders `/metrics`. Thread-safe.

    Args:
        clocks: the names of all clocks of this process.
        per_partition: whether to export partition clocks. Partitions that hold a clock are exported in both cases.
    """

    def __init__(self, clocks: Iterable[str], *, per_partition: bool = True) -> None:
        self._lock = threading.Lock()
        self._led = {clock: _LedClock() for clock in clocks}
        self._per_partition = per_partition
        self._sources: tuple[ClockSource, ...] = ()
        self._invalid_http: Callable[[], int] | None = None
        self._streams: Callable[[], Mapping[str, tuple[int, int]]] = dict

    def leading(self, log: int, yes: bool) -> None:
        """Record that this process began (`yes`) or stopped to lead a log, and with it the log's clocks."""
        with self._lock:
            for clock, led in self._led.items():
                if log_of(clock) == log:
                    led.leads = yes

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Count ticks that this process committed and published. `latency_s` is None if it is not known."""
        with self._lock:
            led = self._led[clock]
            led.ticks += count
            if latency_s is not None:
                led.latencies.observe(max(0.0, latency_s))

    def watch(self, sources: Iterable[ClockSource]) -> None:
        """Set the clocks that are read at each scrape. They must be among the `clocks` of the constructor."""
        self._sources = tuple(sources)

    def watch_streams(self, streams: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        """Set a function that returns, for each clock, the number of open streams and the number of dropped streams."""
        self._streams = streams

    def watch_invalid_http(self, count: Callable[[], int]) -> None:
        """Set a function that returns the number of requests that were not valid HTTP."""
        self._invalid_http = count

    def render(self) -> tuple[bytes, str]:
        """Return the body of `/metrics` and its content type.

        Blocks at most for the timeout of the stores. Outages raise no exception. All clocks are read in parallel, so
        that the slow store of one clock does not delay the others.
        """
        led = self._read_led()
        clocks = self._read_sources({clock for clock, own in led.items() if own.leads})
        histogram = HistogramMetricFamily(TICK_LATENCY.name, TICK_LATENCY.help, labels=TICK_LATENCY.labels)
        readings = [Reading(BUILD_INFO, (version("clocksvc"),), 1)]
        for clock, own in led.items():
            histogram.add_metric([clock], own.latencies.cumulative(), own.latencies.sum_s)
            readings += Reading(LEADER, (clock,), float(own.leads)), Reading(TICKS, (clock,), own.ticks)
        if self._invalid_http is not None:
            readings.append(Reading(INVALID_HTTP, (), self._invalid_http()))
        for clock, (open_now, dropped) in self._streams().items():
            readings += Reading(STREAMS, (clock,), open_now), Reading(STREAMS_DROPPED, (clock,), dropped)
        for one in clocks:
            readings += one.readings
        lines = _PARTITION_CLOCK_HEAD + "".join(line for one in clocks for line in one.partition_clocks)
        families = Families(_FAMILIES, readings, {TICK_LATENCY.name: histogram})
        return generate_latest(families) + lines.encode(), CONTENT_TYPE_LATEST

    def _read_led(self) -> dict[str, "_LedClock"]:
        with self._lock:
            return {
                clock: _LedClock(led.leads, led.ticks, _Latencies(list(led.latencies.counts), led.latencies.sum_s))
                for clock, led in self._led.items()
            }

    def _read_sources(self, led: set[str]) -> list[ClockReadings]:
        if not self._sources:
            return []
        with ThreadPoolExecutor(min(len(self._sources), _MAX_THREADS), "metrics") as pool:
            return list(pool.map(lambda one: read(one, one.spec.name in led, self._per_partition), self._sources))


@dataclass(slots=True)
class _Latencies:
    """A histogram: the number of observations in each bucket, and their sum in seconds. The last bucket has no
    bound."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def observe(self, latency_s: float) -> None:
        self.counts[bisect_left(LATENCY_BUCKETS_S, latency_s)] += 1
        self.sum_s += latency_s

    def cumulative(self) -> list[tuple[str, float]]:
        """Return Prometheus's buckets: each upper bound as text, and the number of observations up to this bound."""
        buckets, total = [], 0
        for bound, count in zip([*map(str, LATENCY_BUCKETS_S), "+Inf"], self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


@dataclass(slots=True)
class _LedClock:
    """What this process has counted for one clock as its leader."""

    leads: bool = False
    ticks: int = 0
    latencies: _Latencies = field(default_factory=_Latencies)
