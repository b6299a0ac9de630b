"""Renders `/metrics` in Prometheus's text format: the counts of this process, and values read from its clocks."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version

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
    Reading,
)
from clocksvc.metrics.readings import ClockReadings, ClockSource, read
from clocksvc.metrics.text_format import CONTENT_TYPE, render, sample_line

_MAX_THREADS = 16


class Metrics:
    """All metrics of one process. This is a LeaderObserver that also renders `/metrics`. Thread-safe.

    Args:
        clocks: the names of all clocks of this process.
        per_partition: whether to export partition clocks. Partitions that hold a clock are exported in both cases.
    """

    def __init__(self, clocks: Iterable[str], *, per_partition: bool = True) -> None:
        self._lock = threading.Lock()
        self._logs = {clock: log_of(clock) for clock in clocks}
        self._ticks = dict.fromkeys(self._logs, 0)
        self._led: set[int] = set()
        self._latencies: dict[int, _Latencies] = {}
        self._per_partition = per_partition
        self._sources: tuple[ClockSource, ...] = ()
        self._invalid_http: Callable[[], int] | None = None
        self._streams: Callable[[], Mapping[str, tuple[int, int]]] = dict

    def leading(self, log: int, yes: bool) -> None:
        """Record that this process began (`yes`) or stopped to lead a log, and with it the log's clocks."""
        with self._lock:
            if yes:
                self._led.add(log)
                self._latencies.setdefault(log, _Latencies())
            else:
                self._led.discard(log)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Count ticks that this process committed and published. `latency_s` is None if it is not known."""
        with self._lock:
            self._ticks[clock] += count
            if latency_s is not None:
                self._latencies.setdefault(self._logs[clock], _Latencies()).observe(max(0.0, latency_s))

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
        with self._lock:
            led, ticks = set(self._led), dict(self._ticks)
            latencies = [line for log, each in sorted(self._latencies.items()) for line in each.lines(str(log))]
        clocks = self._read_sources(led)
        readings = [Reading(BUILD_INFO, (version("clocksvc"),), 1)]
        for clock, log in self._logs.items():
            readings += Reading(LEADER, (clock, str(log)), float(log in led)), Reading(TICKS, (clock,), ticks[clock])
        if self._invalid_http is not None:
            readings.append(Reading(INVALID_HTTP, (), self._invalid_http()))
        for clock, (open_now, dropped) in self._streams().items():
            readings += Reading(STREAMS, (clock,), open_now), Reading(STREAMS_DROPPED, (clock,), dropped)
        for one in clocks:
            readings += one.readings
        partitions = (line for one in clocks for line in one.partition_clocks)
        lines = {TICK_LATENCY.name: latencies, PARTITION_CLOCK.name: partitions}
        return render(CATALOGUE, readings, lines), CONTENT_TYPE

    def _read_sources(self, led: set[int]) -> list[ClockReadings]:
        if not self._sources:
            return []
        with ThreadPoolExecutor(min(len(self._sources), _MAX_THREADS), "metrics") as pool:
            return list(
                pool.map(lambda one: read(one, self._logs[one.spec.name] in led, self._per_partition), self._sources)
            )


@dataclass(slots=True)
class _Latencies:
    """A histogram: the number of observations in each bucket, and their sum in seconds. The last bucket has no
    bound."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def observe(self, latency_s: float) -> None:
        self.counts[bisect_left(LATENCY_BUCKETS_S, latency_s)] += 1
        self.sum_s += latency_s

    def lines(self, log: str) -> Iterator[str]:
        """Return the histogram as text. A bucket counts all observations up to its bound."""
        total = 0
        for bound, count in zip([*map(str, LATENCY_BUCKETS_S), "+Inf"], self.counts, strict=True):
            total += count
            yield sample_line(f"{TICK_LATENCY.name}_bucket", (*TICK_LATENCY.labels, "le"), (log, bound), total)
        yield sample_line(f"{TICK_LATENCY.name}_sum", TICK_LATENCY.labels, (log,), self.sum_s)
        yield sample_line(f"{TICK_LATENCY.name}_count", TICK_LATENCY.labels, (log,), total)
