"""Metrics for Prometheus: the catalogue, what is read of each clock, and the text of `/metrics`.

A value that is not known is absent: never NaN, never 0. Only what this process counted itself is kept between scrapes.
"""

from clocksvc.metrics.exposition import Metrics

__all__ = ["Metrics"]
