"""The samples of one scrape in the form that prometheus_client renders."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family

from clocksvc.metrics.catalogue import Metric, Reading

_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class Families(CollectorRegistry):
    """All metric families of one scrape, in the order of a catalogue without histograms."""

    def __init__(self, catalogue: Iterable[Metric], readings: Iterable[Reading]) -> None:
        super().__init__()
        self._families = {one.name: _FAMILIES[one.type](one.name, one.help, labels=one.labels) for one in catalogue}
        for one, labels, value in readings:
            self._families[one.name].add_metric(labels, value)

    def collect(self) -> Iterable[Family]:
        """Return all families."""
        return self._families.values()
