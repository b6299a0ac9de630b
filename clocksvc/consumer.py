"""Consumers: `BufferedConsumer` processes records, flushes them in batches, and commits and reports them afterwards.

`CompactedTable` keeps the newest value of each key of a compacted topic in memory. `ConsumerCollector` exports the
metrics of consumers.
"""

from clocksvc.client.consumer.buffered_consumer import BufferedConsumer
from clocksvc.client.consumer.compacted_table import CompactedTable
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.client.consumer.stats import ConsumerStats
from clocksvc.client.consumer.table_partition import PartitionProgress, Unreadable
from clocksvc.client.consumer.table_state import TableCounts, TableProgress, TableState
from clocksvc.interfaces.compacted_topic import TableRecord
from clocksvc.metrics.consumer_collector import ConsumerCollector

__all__ = [
    "BufferedConsumer",
    "CompactedTable",
    "ConsumerCollector",
    "ConsumerStats",
    "PartitionProgress",
    "RetryPolicy",
    "TableCounts",
    "TableProgress",
    "TableRecord",
    "TableState",
    "Unreadable",
]
