"""The catalogue of the metrics of consumers. The consumer's own process exports them, not the service."""

from typing import Literal

from clocksvc.metrics.catalogue import Exporter, Metric


def _metric(name: str, kind: Literal["counter", "gauge"], text: str, *labels: str) -> Metric:
    return Metric(f"clocksvc_consumer_{name}", kind, ("consumer", *labels), text, Exporter.CONSUMER)


RECORDS = _metric("records_total", "counter", "Received records, including heartbeats and repeated deliveries.")
POISON = _metric("poison_total", "counter", "Records for which the function process raised.")
ITEMS = _metric("flushed_items_total", "counter", "Items that were flushed.")
FLUSHES = _metric("flushes_total", "counter", "Attempts of flush, by outcome: success or failure.", "outcome")
FLUSH_SECONDS = _metric("flush_seconds_total", "counter", "The duration of all attempts of flush.")
RUNNING = _metric("running_flushes", "gauge", "Flushes that run now.")
STUCK = _metric("stuck_flushes", "gauge", "Flushes that have run longer than stuck_after_seconds.")
DEAD_LETTERS = _metric(
    "dead_letters_total",
    "counter",
    "Records sent to the dead-letter topic, by outcome: success if the topic has the record, or failure.",
    "outcome",
)
COMMITS = _metric("commits_total", "counter", "Commits of offsets, by outcome: success or failure.", "outcome")
UNCOMMITTED = _metric("uncommitted_records", "gauge", "Offsets between the last received record and the last commit.")
BUFFERED = _metric("buffered_records", "gauge", "Records in the buffer whose items are not flushed.")
BUFFERED_BYTES = _metric("buffered_bytes", "gauge", "The sum of the sizes of their values.")
BUFFER_USED = _metric(
    "buffer_used_ratio",
    "gauge",
    "The size of the buffer in records or bytes divided by its bound, whichever is higher; 1 if it is full.",
)
OLDEST = _metric("oldest_buffered_seconds", "gauge", "The age of the oldest item in the buffer; 0 if it is empty.")
PARTITIONS = _metric("partitions", "gauge", "Assigned partitions.")
PAUSED = _metric(
    "paused_partitions",
    "gauge",
    "Assigned partitions that are paused, by reason: buffer_full, ahead (of the clock), or draining.",
    "reason",
)
PAUSES = _metric("pauses_total", "counter", "How often a partition was paused, by reason.", "reason")
REBALANCES = _metric("rebalances_total", "counter", "Calls in which Kafka assigned, revoked or lost partitions.")
REMOVED = _metric("removed_partitions_total", "counter", "Partitions that were revoked or lost, by cause.", "cause")
HEALTHY = _metric("healthy", "gauge", "1 if the consumer works, 0 if a flush or its loop is stuck, or it has failed.")

CONSUMER_CATALOGUE = (
    RECORDS,
    POISON,
    ITEMS,
    FLUSHES,
    FLUSH_SECONDS,
    RUNNING,
    STUCK,
    DEAD_LETTERS,
    COMMITS,
    UNCOMMITTED,
    BUFFERED,
    BUFFERED_BYTES,
    BUFFER_USED,
    OLDEST,
    PARTITIONS,
    PAUSED,
    PAUSES,
    REBALANCES,
    REMOVED,
    HEALTHY,
)
