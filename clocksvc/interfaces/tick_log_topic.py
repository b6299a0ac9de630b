"""What a tick log's topic must look like, as words for whoever has to change it. Asks no broker."""

from dataclasses import dataclass

from clocksvc.errors import TickLogRefused

MIN_COMPACTION_LAG_MS = 30 * 86_400_000
REPLICATION = 3
MIN_INSYNC = 2


@dataclass(frozen=True, slots=True)
class TickLogTopic:
    """A tick log's topic as the brokers describe it.

    Attributes:
        replication: the fewest replicas that a partition has.
        brokers: how many there are, so that one broker is not asked for three replicas.
    """

    topic: str
    partitions: int = 1
    cleanup_policy: str = "compact"
    timestamp_type: str = "LogAppendTime"
    min_compaction_lag_ms: int = MIN_COMPACTION_LAG_MS
    replication: int = 1
    min_insync: int = 1
    brokers: int = 1


def wanted_config(brokers: int) -> dict[str, str]:
    """The topic settings that a tick log is created with."""
    return {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(MIN_COMPACTION_LAG_MS),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(MIN_INSYNC if brokers >= REPLICATION else 1),
    }


def problems(shape: TickLogTopic) -> list[str]:
    """Why this topic could lose ticks; empty when it can't. A clock does not run on a topic with one."""
    found = []
    if shape.partitions != 1:
        found.append(
            f"tick log {shape.topic!r} has {shape.partitions} partitions, wanted 1, so that its ticks have one order: "
            f"partitions can't be taken away, so make another topic, or delete this one if it holds no ticks "
            f"(kafka-topics --delete --topic {shape.topic}); a missing one is created as it should be"
        )
    policies = {policy.strip() for policy in shape.cleanup_policy.split(",")}
    if "delete" in policies:
        found.append(
            f"tick log {shape.topic!r} has cleanup.policy={shape.cleanup_policy}, which can delete the last tick: "
            f"{_alter(shape, 'cleanup.policy', 'compact')}"
        )
    return found


def warnings(shape: TickLogTopic) -> list[str]:
    """What loses no tick but is not as it should be."""
    found = []
    if shape.timestamp_type != "LogAppendTime":
        found.append(
            f"tick log {shape.topic!r} has message.timestamp.type={shape.timestamp_type}: "
            f"{_alter(shape, 'message.timestamp.type', 'LogAppendTime')}"
        )
    if shape.min_compaction_lag_ms < MIN_COMPACTION_LAG_MS:
        found.append(
            f"tick log {shape.topic!r} has min.compaction.lag.ms={shape.min_compaction_lag_ms}, so ticks younger than "
            f"30 days can be compacted away and late subscribers miss them: "
            f"{_alter(shape, 'min.compaction.lag.ms', str(MIN_COMPACTION_LAG_MS))}"
        )
    return found + _durability(shape)


def raise_if_unsafe(shape: TickLogTopic) -> None:
    """Raises TickLogRefused, in the words of `problems`, when there are any."""
    found = problems(shape)
    if found:
        raise TickLogRefused("; ".join(found))


def _durability(shape: TickLogTopic) -> list[str]:
    if shape.brokers < REPLICATION:
        return [] if shape.brokers == 1 else [f"{shape.brokers} brokers can't keep 3 replicas of a tick log"]
    found = []
    if shape.replication < REPLICATION:
        found.append(
            f"tick log {shape.topic!r} has {shape.replication} replicas, wanted {REPLICATION}: a broker's loss can "
            f"stop or lose ticks (kafka-reassign-partitions)"
        )
    elif shape.min_insync < MIN_INSYNC:
        found.append(
            f"tick log {shape.topic!r} has min.insync.replicas={shape.min_insync}: "
            f"{_alter(shape, 'min.insync.replicas', str(MIN_INSYNC))}"
        )
    return found


def _alter(shape: TickLogTopic, name: str, value: str) -> str:
    return (
        f"change it with kafka-configs --bootstrap-server ADDRESS --alter --entity-type topics "
        f"--entity-name {shape.topic} --add-config {name}={value}"
    )
