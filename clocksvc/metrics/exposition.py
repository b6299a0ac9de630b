"""The page that Prometheus scrapes. It reads all clocks at once, so that one slow store delays no other's series."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from clocksvc.metrics import partition_clocks
from clocksvc.metrics.catalogue import (
    BUILD_INFO,
    CATALOGUE,
    LEADER,
    PARTITION_CLOCK,
    STREAMS,
    STREAMS_DROPPED,
    TICK_LATENCY,
    TICKS,
)
from clocksvc.metrics.observed import Observed
from clocksvc.metrics.readings import Page, Reading, View, read

_SIMPLE_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
_CLOCKS_AT_ONCE = 16


class Metrics:
    """All metrics of one process: an observer of its leaders, and the page. Safe to use from several threads.

    Without `per_partition` the page has no partition clocks; the partitions that hold a clock are named all the same.
    """

    def __init__(self, clocks: Iterable[str], *, per_partition: bool = True) -> None:
        self._observed = Observed(clocks)
        self._per_partition = per_partition
        self._views: tuple[View, ...] = ()
        self._streams: Callable[[], Mapping[str, tuple[int, int]]] = dict

    def leading(self, clock: str, yes: bool) -> None:
        """A LeaderObserver's: this process began or ceased to lead."""
        self._observed.leading(clock, yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """A LeaderObserver's: ticks were committed and published."""
        self._observed.ticked(clock, count, latency_s)

    def watch(self, views: Iterable[View]) -> None:
        """The clocks whose state is read at each scrape; each must have been named at the beginning."""
        self._views = tuple(views)

    def watch_streams(self, streams: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        """What is asked at each scrape for the streams that are open, and for those that were dropped, by clock."""
        self._streams = streams

    def render(self) -> tuple[bytes, str]:
        """The page and its content type. Blocks for as long as a store's time-out; raises for no outage."""
        led = self._observed.read()
        pages = self._read_views({clock for clock, own in led.items() if own.leads})
        histogram = HistogramMetricFamily(TICK_LATENCY.name, TICK_LATENCY.help, labels=TICK_LATENCY.labels)
        readings = [Reading(BUILD_INFO, (version("clocksvc"),), 1)]
        for clock, own in led.items():
            histogram.add_metric([clock], own.latencies.cumulative(), own.latencies.sum_s)
            readings += Reading(LEADER, (clock,), float(own.leads)), Reading(TICKS, (clock,), own.ticks)
        for clock, (open_now, dropped) in self._streams().items():
            readings += Reading(STREAMS, (clock,), open_now), Reading(STREAMS_DROPPED, (clock,), dropped)
        for page in pages:
            readings += page.readings
        lines = partition_clocks.text(line for page in pages for line in page.partition_clocks)
        return generate_latest(_Families(readings, histogram)) + lines.encode(), CONTENT_TYPE_LATEST

    def _read_views(self, led: set[str]) -> list[Page]:
        if not self._views:
            return []
        with ThreadPoolExecutor(min(len(self._views), _CLOCKS_AT_ONCE), "metrics") as pool:
            return list(pool.map(lambda view: read(view, view.spec.name in led, self._per_partition), self._views))


class _Families(CollectorRegistry):
    """One scrape's families but the partition clocks, in the form that prometheus_client asks for."""

    def __init__(self, readings: Iterable[Reading], histogram: HistogramMetricFamily) -> None:
        super().__init__()
        simple = {
            one.name: _SIMPLE_FAMILIES[one.type](one.name, one.help, labels=one.labels)
            for one in CATALOGUE
            if one.type != "histogram"
        }
        for one, labels, value in readings:
            simple[one.name].add_metric(labels, value)
        self._made: list[Metric] = [
            simple.get(one.name, histogram) for one in CATALOGUE if one.name != PARTITION_CLOCK.name
        ]

    def collect(self) -> Iterable[Metric]:
        """All of them, in the catalogue's order."""
        return self._made
