"""Renders `/metrics` in Prometheus's text format: the counts of this process, and values read from its clocks."""

import logging
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Protocol

from clocksvc.clock.logs import log_of
from clocksvc.committed.stats import ObserverStats
from clocksvc.errors import ClocksvcError
from clocksvc.metrics.catalogue import (
    BUILD_INFO,
    CATALOGUE,
    INVALID_HTTP,
    LATENCY_BUCKETS_S,
    LEADER,
    OBSERVER_FAILURES,
    OBSERVER_POLLS,
    OBSERVER_READS,
    OBSERVER_REQUESTS,
    OBSERVER_RESTARTS,
    OBSERVER_SECONDS,
    STREAMS,
    STREAMS_DROPPED,
    TICK_LATENCY,
    TICKS,
    Reading,
)
from clocksvc.metrics.readings import ClockSource, partition_lines, read, store_answers
from clocksvc.metrics.text_format import CONTENT_TYPE, render, sample_line
from clocksvc.service.public_state import PublicState

logger = logging.getLogger("clocksvc.metrics")


class ClockSources(Protocol):
    """All clocks of a process. `ClockViews` implements this interface."""

    def __getitem__(self, clock: str, /) -> ClockSource:
        """Return one clock."""

    def states(self, clocks: Iterable[str], /) -> list[PublicState]:
        """Return the public states of some clocks, in the given order. An outage raises no exception."""


class Metrics:
    """All metrics of one process. This is a LeaderObserver that also renders `/metrics`. Thread-safe.

    Args:
        clocks: the names of all clocks of this process.
        per_partition: whether to export partition clocks and the offsets of groups. Partitions that hold a clock are
            exported in both cases.
    """

    def __init__(self, clocks: Iterable[str], *, per_partition: bool = True) -> None:
        self._lock = threading.Lock()
        self._logs = {clock: log_of(clock) for clock in clocks}
        self._ticks = dict.fromkeys(self._logs, 0)
        self._led: set[int] = set()
        self._latencies: dict[int, _Latencies] = {}
        self._per_partition = per_partition
        self._sources: ClockSources | None = None
        self._invalid_http: Callable[[], int] | None = None
        self._observer: Callable[[], ObserverStats | None] = lambda: None
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

    def watch(self, sources: ClockSources) -> None:
        """Set the clocks that are read at each scrape. They must be the `clocks` of the constructor."""
        self._sources = sources

    def watch_streams(self, streams: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        """Set a function that returns, for each clock, the number of open streams and the number of dropped streams."""
        self._streams = streams

    def watch_observer(self, stats: Callable[[], ObserverStats | None]) -> None:
        """Set a function that returns the totals of this process's observer; None if it has none."""
        self._observer = stats

    def watch_invalid_http(self, count: Callable[[], int]) -> None:
        """Set a function that returns the number of requests that were not valid HTTP."""
        self._invalid_http = count

    def render(self) -> tuple[bytes, str]:
        """Return the body of `/metrics` and its content type.

        The states of all clocks need one call to the store for each log. Blocks for at most a few times the store's
        timeout. Outages raise no exception.
        """
        with self._lock:
            led, ticks = set(self._led), dict(self._ticks)
            latencies = [line for log, each in sorted(self._latencies.items()) for line in each.lines(str(log))]
        readings = [Reading(BUILD_INFO, (version("clocksvc"),), 1)]
        for clock, log in self._logs.items():
            readings += Reading(LEADER, (clock, str(log)), float(log in led)), Reading(TICKS, (clock,), ticks[clock])
        if self._invalid_http is not None:
            readings.append(Reading(INVALID_HTTP, (), self._invalid_http()))
        readings += _observer_readings(self._observer())
        for clock, (open_now, dropped) in self._streams().items():
            readings += Reading(STREAMS, (clock,), open_now), Reading(STREAMS_DROPPED, (clock,), dropped)
        clocks = self._read_states()
        last_ticks_ms = {state.clock: state.last_tick.at_ms for _, state in clocks if state.last_tick is not None}
        for source, state in clocks:
            readings += read(source, state, self._logs[state.clock] in led, last_ticks_ms)
        lines = self._partition_lines([one for one in clocks if self._logs[one[1].clock] in led])
        return render(CATALOGUE, readings, {TICK_LATENCY.name: latencies, **lines}), CONTENT_TYPE

    def _read_states(self) -> list[tuple[ClockSource, PublicState]]:
        if self._sources is None:
            return []
        return [(self._sources[state.clock], state) for state in self._sources.states(self._logs)]

    def _partition_lines(self, led: Iterable[tuple[ClockSource, PublicState]]) -> dict[str, list[str]]:
        """Return the lines of all partitions by the metric's name. Ends at the first failed read of the store."""
        lines = defaultdict[str, list[str]](list)
        for source, state in led if self._per_partition else ():
            if not store_answers(state):
                continue
            try:
                for metric, more in partition_lines(source, state).items():
                    lines[metric.name] += more
            except ClocksvcError as error:
                logger.warning(
                    "scrape lacks the metrics of partitions, the store does not answer",
                    extra={"clock": state.clock, "error": str(error)},
                )
                break
        return lines


def _observer_readings(stats: ObserverStats | None) -> Iterator[Reading]:
    if stats is None:
        return
    yield Reading(OBSERVER_POLLS, (), stats.polls)
    yield Reading(OBSERVER_SECONDS, (), stats.poll_seconds)
    for kind, count in stats.requests.items():
        yield Reading(OBSERVER_REQUESTS, (kind,), count)
    yield Reading(OBSERVER_READS, (), stats.record_reads)
    yield Reading(OBSERVER_FAILURES, (), stats.failures)
    yield Reading(OBSERVER_RESTARTS, (), stats.restarts)


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
