"""Compares the settings of the tick log's topic with the wanted ones, and lists what to change. Does no I/O."""

from dataclasses import dataclass

from clocksvc.clock.log_record import MAX_RECORD_BYTES
from clocksvc.clock.logs import LOGS
from clocksvc.errors import TickLogMisconfigured

MIN_COMPACTION_LAG_MS = 30 * 86_400_000
MIN_MESSAGE_BYTES = 2 * MAX_RECORD_BYTES
"""Every batch of a writer is smaller than this: it has one record, or at most 64 KiB."""
REPLICATION = 3
MIN_INSYNC = 2


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


def wanted_config(brokers: int, keep_ms: int = MIN_COMPACTION_LAG_MS) -> dict[str, str]:
    """Return the topic settings with which the tick log is created. `keep_ms` is the setting `tick_log.keep`."""
    return {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(keep_ms),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(MIN_INSYNC if brokers >= REPLICATION else 1),
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
            f"{_alter(topic, 'cleanup.policy', 'compact')}"
        )
    if topic.max_message_bytes < MIN_MESSAGE_BYTES:
        found.append(
            f"{topic} has max.message.bytes={topic.max_message_bytes}, so brokers can reject a clock's records: "
            f"{_alter(topic, 'max.message.bytes', str(MIN_MESSAGE_BYTES))}"
        )
    return found


def warnings(topic: TickLogTopic, keep_ms: int = MIN_COMPACTION_LAG_MS) -> list[str]:
    """List settings that should be changed although no record is lost. The entries have the same form as `problems`."""
    found = []
    if topic.timestamp_type != "LogAppendTime":
        found.append(
            f"{topic} has message.timestamp.type={topic.timestamp_type}: "
            f"{_alter(topic, 'message.timestamp.type', 'LogAppendTime')}"
        )
    if topic.min_compaction_lag_ms < keep_ms:
        found.append(
            f"{topic} has min.compaction.lag.ms={topic.min_compaction_lag_ms}, so ticks younger than tick_log.keep can "
            f"be compacted away before a subscriber reads them: "
            f"{_alter(topic, 'min.compaction.lag.ms', str(keep_ms))}"
        )
    return found + _durability(topic)


def raise_if_unsafe(topic: TickLogTopic) -> None:
    """Raise TickLogMisconfigured with all `problems` of a topic, if there are any."""
    found = problems(topic)
    if found:
        raise TickLogMisconfigured("; ".join(found))


def _durability(topic: TickLogTopic) -> list[str]:
    if topic.brokers < REPLICATION:
        return [] if topic.brokers == 1 else [f"{topic.brokers} brokers can't keep 3 replicas of a {topic.kind}"]
    found = []
    if topic.replication < REPLICATION:
        found.append(
            f"{topic} has {topic.replication} replicas, wanted {REPLICATION}: a broker's loss can stop or lose ticks "
            f"(kafka-reassign-partitions)"
        )
    elif topic.min_insync < MIN_INSYNC:
        found.append(
            f"{topic} has min.insync.replicas={topic.min_insync}: "
            f"{_alter(topic, 'min.insync.replicas', str(MIN_INSYNC))}"
        )
    return found


def _alter(topic: TickLogTopic, name: str, value: str) -> str:
    return (
        f"change it with kafka-configs --bootstrap-server ADDRESS --alter --entity-type topics "
        f"--entity-name {topic.topic} --add-config {name}={value}"
    )
