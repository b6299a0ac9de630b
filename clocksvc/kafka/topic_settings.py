"""What all topics that clocksvc creates have in common: their durability, and texts about settings. Does no I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

REPLICATION = 3
MIN_INSYNC = 2


@dataclass(frozen=True, slots=True)
class DescribedTopic:
    """A topic as brokers describe it.

    Attributes:
        replication: the number of replicas of the partition that has the fewest.
        brokers: how many brokers the cluster has.
        settings: the topic's settings that brokers list, by name.
    """

    name: str
    partitions: int
    replication: int
    brokers: int
    settings: Mapping[str, str]

    @property
    def min_insync(self) -> int:
        """The setting min.insync.replicas, or Kafka's default."""
        return int(self.settings.get("min.insync.replicas", "1"))


class WantedTopic(NamedTuple):
    """How a topic must be.

    Attributes:
        partitions: the number of partitions of a new topic.
        config: returns the settings of a new topic. Its argument is the number of brokers.
        raise_if_unsafe: raises an error if records could be lost with the topic's settings.
    """

    partitions: int
    config: Callable[[int], Mapping[str, str]]
    raise_if_unsafe: Callable[[DescribedTopic], None]


class TopicDurability(Protocol):
    """How durable a topic's records are. `str` gives the topic's kind and name."""

    @property
    def topic(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def replication(self) -> int: ...
    @property
    def min_insync(self) -> int: ...
    @property
    def brokers(self) -> int: ...


def wanted_min_insync(brokers: int) -> str:
    """Return the setting min.insync.replicas for a new topic: a cluster of one or two brokers must be able to write."""
    return str(MIN_INSYNC if brokers >= REPLICATION else 1)


def durability_warnings(topic: TopicDurability, loss: str) -> list[str]:
    """List settings with which the loss of a broker can lose records, in the form `WHAT IS WRONG: WHAT TO DO`.

    Args:
        loss: what the loss of a broker can do, such as `stop or lose ticks`.
    """
    if topic.brokers < REPLICATION:
        return [] if topic.brokers == 1 else [f"{topic.brokers} brokers can't keep 3 replicas of a {topic.kind}"]
    if topic.replication < REPLICATION:
        return [
            f"{topic} has {topic.replication} replicas, wanted {REPLICATION}: a broker's loss can {loss} "
            "(kafka-reassign-partitions)"
        ]
    if topic.min_insync < MIN_INSYNC:
        change = how_to_change(topic.topic, "min.insync.replicas", str(MIN_INSYNC))
        return [f"{topic} has min.insync.replicas={topic.min_insync}: {change}"]
    return []


def how_to_change(topic: str, name: str, value: str) -> str:
    """Return the command that changes a setting of a topic."""
    return (
        "change it with kafka-configs --bootstrap-server ADDRESS --alter --entity-type topics "
        f"--entity-name {topic} --add-config {name}={value}"
    )
