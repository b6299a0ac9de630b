"""Compares the settings of the tick log's topic with the wanted ones, and lists what to change. Does no I/O."""

from dataclasses import dataclass

from clocksvc.clock.logs import LOGS
from clocksvc.errors import TickLogMisconfigured

MIN_COMPACTION_LAG_MS = 30 * 86_400_000
REPLICATION = 3
MIN_INSYNC = 2


@dataclass(frozen=True, slots=True)
class TickLogTopic:
    """The topic of a tick log or of checkpoints, as brokers describe it.

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
    replication: int = 1
    min_insync: int = 1
    brokers: int = 1
    kind: str = "tick log"

    def __str__(self) -> str:
        return f"{self.kind} {self.topic!r}"


def wanted_config(brokers: int) -> dict[str, str]:
    """Return the topic settings with which a tick log is created."""
    return {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(MIN_COMPACTION_LAG_MS),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(MIN_INSYNC if brokers >= REPLICATION else 1),
    }


def problems(topic: TickLogTopic) -> list[str]:
    """List why this topic could lose records. A clock does not run if there is an entry.

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
            f"{topic} has cleanup.policy={topic.cleanup_policy}, which can delete its newest record: "
            f"{_alter(topic, 'cleanup.policy', 'compact')}"
        )
    return found


def warnings(topic: TickLogTopic) -> list[str]:
    """List settings that should be changed although no record is lost. The entries have the same form as `problems`."""
    found = []
    if topic.timestamp_type != "LogAppendTime":
        found.append(
            f"{topic} has message.timestamp.type={topic.timestamp_type}: "
            f"{_alter(topic, 'message.timestamp.type', 'LogAppendTime')}"
        )
    if topic.min_compaction_lag_ms < MIN_COMPACTION_LAG_MS:
        found.append(
            f"{topic} has min.compaction.lag.ms={topic.min_compaction_lag_ms}, so ticks younger than 30 days can be "
            f"compacted away before a subscriber reads them: "
            f"{_alter(topic, 'min.compaction.lag.ms', str(MIN_COMPACTION_LAG_MS))}"
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
