"""Exports the stats of consumers through prometheus_client."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from clocksvc.client.consumer.health import Health
from clocksvc.client.consumer.pauses import REASONS
from clocksvc.client.consumer.stats import ConsumerStats
from clocksvc.metrics import consumer_catalogue as catalogue
from clocksvc.metrics.catalogue import Metric


class _Consumer(Protocol):
    @property
    def stats(self) -> ConsumerStats: ...

    def health(self) -> Health: ...


class ConsumerCollector(Collector):
    """The metrics of the BufferedConsumers of a process, for a registry of prometheus_client.

        prometheus_client.REGISTRY.register(ConsumerCollector({"orders": consumer}))
        prometheus_client.start_http_server(9100)

    The values are read at each scrape. docs/metrics.md lists them.

    Args:
        consumers: by name. The name is the label `consumer`.
    """

    def __init__(self, consumers: Mapping[str, _Consumer]) -> None:
        self._consumers = dict(consumers)

    def collect(self) -> Iterator[Family]:
        """Return all metrics. Does not block."""
        read = {name: _read(consumer) for name, consumer in self._consumers.items()}
        for metric in catalogue.CONSUMER_CATALOGUE:
            make = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
            family = make(metric.name, metric.help, labels=metric.labels)
            for name, values in read.items():
                for labels, value in values[metric].items():
                    family.add_metric([name, *labels], value)
            yield family


_Values = dict[tuple[str, ...], float]
"""Values by labels, without the label `consumer`."""


def _read(consumer: _Consumer) -> dict[Metric, _Values]:
    stats = consumer.stats
    single = {
        catalogue.RECORDS: stats.records_total,
        catalogue.POISON: stats.poison_total,
        catalogue.ITEMS: stats.flushed_items_total,
        catalogue.FLUSH_SECONDS: stats.flush_seconds_total,
        catalogue.RUNNING: stats.flushes_running,
        catalogue.STUCK: stats.stuck_flushes,
        catalogue.UNCOMMITTED: stats.uncommitted_records,
        catalogue.BUFFERED: stats.buffered_records,
        catalogue.BUFFERED_BYTES: stats.buffered_bytes,
        catalogue.BUFFER_USED: stats.buffer_used_ratio,
        catalogue.OLDEST: stats.oldest_buffered_seconds,
        catalogue.PARTITIONS: stats.partitions,
        catalogue.REBALANCES: stats.rebalances_total,
        catalogue.HEALTHY: consumer.health().healthy,
    }
    values: dict[Metric, _Values] = {metric: {(): float(value)} for metric, value in single.items()}
    values[catalogue.FLUSHES] = _outcomes(stats.flushes_total, stats.flush_failures_total)
    values[catalogue.DEAD_LETTERS] = _outcomes(stats.dead_letters_total, stats.dead_letter_failures_total)
    values[catalogue.COMMITS] = _outcomes(stats.commits_total, stats.commit_failures_total)
    values[catalogue.PAUSED] = {(reason,): stats.paused_partitions.get(reason, 0) for reason in REASONS}
    values[catalogue.PAUSES] = {(reason,): stats.pauses_total.get(reason, 0) for reason in REASONS}
    values[catalogue.REMOVED] = {("revoked",): stats.revocations_total, ("lost",): stats.losses_total}
    return values


def _outcomes(success: int, failure: int) -> _Values:
    return {("success",): success, ("failure",): failure}
