"""Clocks for pipelines of Arroyo (`pip install 'clocksvc[arroyo]'`).

`ReportingStreamProcessor` takes the place of Arroyo's `StreamProcessor`, and reports what the pipeline has committed.
"""

from clocksvc.client.arroyo.buffered_strategy import BufferedStrategyFactory
from clocksvc.client.arroyo.stream_processor import ReportingStreamProcessor
from clocksvc.client.consumer.retry import RetryPolicy

__all__ = ["BufferedStrategyFactory", "ReportingStreamProcessor", "RetryPolicy"]
