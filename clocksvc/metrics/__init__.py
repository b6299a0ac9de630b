"""Metrics for Prometheus: the catalogue, the reading of each clock, and the text of `/metrics`.

If a value is not known, its series is absent; it is never NaN or 0 instead. Only the counts of this process itself are
kept between scrapes. All other values are read at each scrape.
"""

from clocksvc.metrics.exposition import Metrics

__all__ = ["Metrics"]
