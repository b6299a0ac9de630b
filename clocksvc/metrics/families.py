"""The samples of one scrape in the form that prometheus_client renders."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family

from clocksvc.metrics.catalogue import Metric
from clocksvc.metrics.readings import Reading

_SIMPLE = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class Families(CollectorRegistry):
    """All metric families of one scrape, in the order of a catalogue.

    Args:
        histograms: by name. All histograms of the catalogue must be there.
    """

    def __init__(
        self,
        catalogue: Iterable[Metric],
        readings: Iterable[Reading],
        histograms: Mapping[str, HistogramMetricFamily] | None = None,
    ) -> None:
        super().__init__()
        metrics = list(catalogue)
        simple = {
            one.name: _SIMPLE[one.type](one.name, one.help, labels=one.labels)
            for one in metrics
            if one.type != "histogram"
        }
        for one, labels, value in readings:
            simple[one.name].add_metric(labels, value)
        every: Mapping[str, Family] = simple | dict(histograms or {})
        self._families = [every[one.name] for one in metrics]

    def collect(self) -> Iterable[Family]:
        """Return all families."""
        return self._families
