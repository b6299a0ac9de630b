"""Clocks for pipelines of Arroyo (`pip install 'clocksvc[arroyo]'`).

`ReportingStreamProcessor` takes the place of Arroyo's `StreamProcessor`, and reports what the pipeline has committed.
"""

from clocksvc.client.arroyo.stream_processor import ReportingStreamProcessor

__all__ = ["ReportingStreamProcessor"]
