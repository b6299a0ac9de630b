"""The values that `KafkaInspector` reads from a Kafka cluster for `clocksvc check`. Imports no Kafka client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from clocksvc.clock.log_record import Message
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.topics import TimestampType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster.

    Attributes:
        protocol: the brokers' setting `inter.broker.protocol.version`, which shows their version. None if the brokers
            do not have this setting (since Kafka 4.0), or if the user may not read it.
    """

    cluster_id: str
    brokers: int
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic. A setting is None if Kafka does not list it.

    Attributes:
        id: the topic's id; "" if the brokers give no topic ids.
        after_max_ms: `message.timestamp.after.max.ms`: how far a timestamp may be ahead of the broker's clock.
        retention_ms, retention_bytes: -1 for no limit.
        replication: the number of replicas of the partition that has the fewest.
        allowed: Kafka's names of the operations that this user may do, such as `READ` or `DESCRIBE_CONFIGS`. None if
            Kafka does not list them.
    """

    partitions: int
    id: str
    timestamp_type: TimestampType | None = None
    after_max_ms: int | None = None
    retention_ms: int | None = None
    cleanup_policy: str | None = None
    min_compaction_lag_ms: int | None = None
    max_message_bytes: int | None = None
    replication: int = 1
    min_insync: int | None = None
    retention_bytes: int | None = None
    allowed: frozenset[str] | None = None

    def lacks(self, *operations: str) -> list[str]:
        """Return the `operations` that this user may not do; [] if Kafka does not list the allowed ones."""
        return [] if self.allowed is None else [one for one in operations if one not in self.allowed]


@dataclass(frozen=True, slots=True)
class Described(Generic[T]):
    """What Kafka describes of several topics or consumer groups.

    Attributes:
        found: by name. Absent: topics that do not exist, and groups that this user may not describe.
        failures: the reason why a topic or group is not described, by name.
    """

    found: Mapping[str, T]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A consumer group.

    Attributes:
        state: Kafka's name of the group's state; `DEAD` for a group that does not exist.
        members: the number of consumers in the group.
        assigned: the partitions that are assigned to the group's consumers.
        committed: the group's committed offsets.
        similar: existing groups with similar names. Empty if this group exists.
        unordered: True if the group exists, but is no consumer group, such as a share group.
    """

    state: str
    members: int = 0
    assigned: frozenset[Partition] = frozenset()
    committed: Mapping[Partition, int] = field(default_factory=dict)
    similar: tuple[str, ...] = ()
    unordered: bool = False

    @property
    def known(self) -> bool:
        """True if the group exists: it has members or committed offsets."""
        return self.members > 0 or bool(self.committed) or self.state not in ("DEAD", "UNKNOWN")


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest records of some partitions.

    Attributes:
        timestamps_ms: the timestamps of each partition's records, in order of offset; -1 for no timestamp. Absent:
            partitions of the topics in `failures`.
        failures: the reason why a topic can't be read, by name.
    """

    timestamps_ms: Mapping[Partition, Sequence[int]]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A committed record of the tick log.

    Attributes:
        appended_ms: the broker's time when it appended the record; None if the topic does not have LogAppendTime.
    """

    log: int
    appended_ms: int | None
    message: Message
