"""Compares the settings of the tick log's topic with the wanted ones, and lists what to change. Does no I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clocksvc.clock.log_record import MAX_RECORD_BYTES
from clocksvc.clock.logs import LOGS
from clocksvc.errors import TickLogMisconfigured
from clocksvc.kafka.topic_settings import (
    DescribedTopic,
    WantedTopic,
    durability_warnings,
    how_to_change,
    wanted_min_insync,
)

MIN_COMPACTION_LAG_MS = 30 * 86_400_000
MIN_MESSAGE_BYTES = 2 * MAX_RECORD_BYTES
"""Every batch of a writer is smaller than this: it has one record, or at most 64 KiB."""


@dataclass(frozen=True, slots=True)
class TickLogTopic:
    """The topic of the tick log or of checkpoints, as brokers describe it.

    Attributes:
        kind: what error messages call the topic.
        replication: the number of replicas of the partition that has the fewest.
        brokers: how many brokers the cluster has. With fewer than three brokers, three replicas are not possible.
    """

    topic: str
    partitions: int = LOGS
    cleanup_policy: str = "compact"
    timestamp_type: str = "LogAppendTime"
    min_compaction_lag_ms: int = MIN_COMPACTION_LAG_MS
    max_message_bytes: int = 1_048_588
    replication: int = 1
    min_insync: int = 1
    brokers: int = 1
    kind: str = "tick log"

    def __str__(self) -> str:
        return f"{self.kind} {self.topic!r}"


def described_log_topic(described: DescribedTopic, kind: str) -> TickLogTopic:
    """Return a topic as brokers describe it. A setting that they do not list has Kafka's default."""
    settings = described.settings
    return TickLogTopic(
        topic=described.name,
        kind=kind,
        partitions=described.partitions,
        cleanup_policy=settings.get("cleanup.policy", "delete"),
        timestamp_type=settings.get("message.timestamp.type", "CreateTime"),
        min_compaction_lag_ms=int(settings.get("min.compaction.lag.ms", "0")),
        max_message_bytes=int(settings.get("max.message.bytes", "1048588")),
        replication=described.replication,
        min_insync=described.min_insync,
        brokers=described.brokers,
    )


def wanted_config(brokers: int, keep_ms: int = MIN_COMPACTION_LAG_MS) -> dict[str, str]:
    """Return the topic settings with which the tick log is created. `keep_ms` is the setting `tick_log.keep`."""
    return {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(keep_ms),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": wanted_min_insync(brokers),
    }


def problems(topic: TickLogTopic) -> list[str]:
    """List why this topic could lose records. No clock runs if there is an entry.

    Each entry has the form `WHAT IS WRONG: WHAT TO DO`.
    """
    found = []
    if topic.partitions != LOGS:
        found.append(
            f"{topic} has {topic.partitions} partitions, wanted {LOGS}: a clock's partition is computed from its name. "
            f"Configure another topic, or delete this topic if it is empty (kafka-topics --delete --topic "
            f"{topic.topic}). clocksvc creates a missing topic with the right settings"
        )
    policies = {policy.strip() for policy in topic.cleanup_policy.split(",")}
    if "delete" in policies:
        found.append(
            f"{topic} has cleanup.policy={topic.cleanup_policy}, which can delete a clock's last record: "
            f"{how_to_change(topic.topic, 'cleanup.policy', 'compact')}"
        )
    if topic.max_message_bytes < MIN_MESSAGE_BYTES:
        found.append(
            f"{topic} has max.message.bytes={topic.max_message_bytes}, so brokers can reject a clock's records: "
            f"{how_to_change(topic.topic, 'max.message.bytes', str(MIN_MESSAGE_BYTES))}"
        )
    return found


def warnings(topic: TickLogTopic, keep_ms: int = MIN_COMPACTION_LAG_MS) -> list[str]:
    """List settings that should be changed although no record is lost. The entries have the same form as `problems`."""
    found = []
    if topic.timestamp_type != "LogAppendTime":
        found.append(
            f"{topic} has message.timestamp.type={topic.timestamp_type}: "
            f"{how_to_change(topic.topic, 'message.timestamp.type', 'LogAppendTime')}"
        )
    if topic.min_compaction_lag_ms < keep_ms:
        found.append(
            f"{topic} has min.compaction.lag.ms={topic.min_compaction_lag_ms}, so ticks younger than tick_log.keep can "
            f"be compacted away before a subscriber reads them: "
            f"{how_to_change(topic.topic, 'min.compaction.lag.ms', str(keep_ms))}"
        )
    return found + durability_warnings(topic, "stop or lose ticks")


def raise_if_unsafe(topic: TickLogTopic) -> None:
    """Raise TickLogMisconfigured with all `problems` of a topic, if there are any."""
    found = problems(topic)
    if found:
        raise TickLogMisconfigured("; ".join(found))


def wanted_log_topic(kind: str, config: Callable[[int], Mapping[str, str]]) -> WantedTopic:
    """Return how a topic with a partition for each log must be."""
    return WantedTopic(LOGS, config, lambda described: raise_if_unsafe(described_log_topic(described, kind)))
