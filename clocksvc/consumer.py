"""Consumers: `BufferedConsumer` processes records, flushes them in batches, and commits and reports them afterwards."""

from clocksvc.client.consumer.buffered_consumer import BufferedConsumer
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.client.consumer.stats import ConsumerStats

__all__ = ["BufferedConsumer", "ConsumerStats", "RetryPolicy"]
