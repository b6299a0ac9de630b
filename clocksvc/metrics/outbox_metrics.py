"""The metrics of a relay of an outbox, and the HTTP server for them. The relay's own process exports them."""

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from clocksvc.errors import InvalidValue
from clocksvc.metrics.catalogue import Exporter, Metric, Reading
from clocksvc.outbox.relay import RelayStats


def _metric(name: str, kind: Literal["counter", "gauge"], text: str, *labels: str) -> Metric:
    return Metric(f"clocksvc_outbox_{name}", kind, ("clock", *labels), text, Exporter.OUTBOX)


RECORDS = _metric(
    "records_total", "counter", "Records written to the topic of schedules, by kind: put, delete.", "kind"
)
REJECTED = _metric("rejected_total", "counter", "Changes that can't be relayed. They are in clocksvc_outbox_rejected.")
ACTIVE = _metric("active", "gauge", "1 if this process relays, 0 if it is a standby or has not begun.")
PENDING = _metric("pending_changes", "gauge", "Changes that wait, counted each 10 s. Absent until the first count.")
OLDEST = _metric(
    "oldest_pending_timestamp_seconds",
    "gauge",
    "When the oldest waiting change was written. Absent if none waits.",
)
OUTBOX_CATALOGUE = (RECORDS, REJECTED, ACTIVE, PENDING, OLDEST)
_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class _Relay(Protocol):
    @property
    def stats(self) -> RelayStats: ...


class RelayCollector(Collector):
    """The metrics of one relay, for a registry of prometheus_client. The values are read at each scrape."""

    def __init__(self, clock: str, relay: _Relay) -> None:
        self._clock, self._relay = clock, relay

    def collect(self) -> Iterable[Family]:
        """Return all metrics. Does not block."""
        families = {one.name: _FAMILIES[one.type](one.name, one.help, labels=one.labels) for one in OUTBOX_CATALOGUE}
        for metric, labels, value in _readings(self._clock, self._relay.stats):
            families[metric.name].add_metric(labels, value)
        return families.values()


def _readings(clock: str, stats: RelayStats) -> Iterator[Reading]:
    yield Reading(RECORDS, (clock, "put"), stats.puts)
    yield Reading(RECORDS, (clock, "delete"), stats.deletes)
    yield Reading(REJECTED, (clock,), stats.rejected)
    yield Reading(ACTIVE, (clock,), float(stats.active))
    if stats.pending is not None:
        yield Reading(PENDING, (clock,), stats.pending)
    if stats.oldest_ms is not None:
        yield Reading(OLDEST, (clock,), stats.oldest_ms / 1000)


def serve_metrics(collector: Collector, host: str, port: int) -> int:
    """Serve `/metrics` in a thread, and return the port.

    Args:
        port: 0 for any free port.

    Raises:
        InvalidValue: the process can't listen on the address.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise InvalidValue("--metrics-port", f"{host}:{port}", f"wanted a free port ({error.strerror})") from None
    return int(server.server_port)
