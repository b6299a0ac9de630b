"""What a consumer counts: plain numbers, which any metrics library can expose."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class ConsumerStats:
    """Counters (`*_total`) and present values of one consumer.

    The consumer's thread writes them, and other threads may read them. Each value is consistent, but two values can be
    of different moments.

    Attributes:
        records_total: received records, including heartbeats.
        heartbeats_total: heartbeats of clocksvc, which are not processed.
        poison_total: records for which the author's function raised.
        flushes_total: flushes that succeeded.
        flushed_items_total: items in these flushes.
        flush_failures_total: attempts of a flush that raised.
        flush_seconds_total: the duration of all attempts, in seconds.
        dead_letters_total: records that the dead-letter topic has acknowledged.
        dead_letter_failures_total: attempts to send a dead letter that failed.
        commits_total, commit_failures_total: commits that Kafka acknowledged, and those that failed.
        pauses_total: how often a partition was paused, by reason: `buffer_full`, `ahead` (of the clock by more than its
            `max_drift`), and `draining`.
        assignments_total, revocations_total, losses_total: partitions that were assigned, revoked and lost.
        rebalances_total: calls of Kafka that assigned, revoked or lost partitions.
        stuck_flushes: flushes that run longer than `stuck_after_seconds`.
        flushes_running: flushes that run.
        buffered_records, buffered_bytes: the size of the buffer.
        buffer_used_ratio: the size of the buffer in records or in bytes divided by its bound, whichever is higher; 1 if
            it is full.
        oldest_buffered_seconds: the age of the oldest item that is not flushed; 0 if there is none.
        partitions: assigned partitions.
        paused_partitions: assigned partitions that are paused, by reason. A partition can have several reasons.
        uncommitted_records: the sum over all partitions of the offsets between the last received record and the last
            acknowledged commit.
        last_flush_seconds: the duration of the last attempt.
    """

    records_total: int = 0
    heartbeats_total: int = 0
    poison_total: int = 0
    flushes_total: int = 0
    flushed_items_total: int = 0
    flush_failures_total: int = 0
    flush_seconds_total: float = 0.0
    dead_letters_total: int = 0
    dead_letter_failures_total: int = 0
    commits_total: int = 0
    commit_failures_total: int = 0
    pauses_total: Mapping[str, int] = field(default_factory=dict)
    assignments_total: int = 0
    revocations_total: int = 0
    losses_total: int = 0
    rebalances_total: int = 0
    stuck_flushes: int = 0
    flushes_running: int = 0
    buffered_records: int = 0
    buffered_bytes: int = 0
    buffer_used_ratio: float = 0.0
    oldest_buffered_seconds: float = 0.0
    partitions: int = 0
    paused_partitions: Mapping[str, int] = field(default_factory=dict)
    uncommitted_records: int = 0
    last_flush_seconds: float = 0.0
