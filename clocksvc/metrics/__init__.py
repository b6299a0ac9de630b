"""Metrics for Prometheus: one catalogue, equal to what `/metrics` shows and to `docs/metrics.md`.

What is not known is absent: never NaN, never 0. Nothing but what this process did itself is kept between two scrapes.
"""

from clocksvc.metrics.exposition import Metrics

__all__ = ["Metrics"]
