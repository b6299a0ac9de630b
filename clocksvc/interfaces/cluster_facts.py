"""What can be seen of a Kafka cluster from outside, as values: for `clocksvc check`. Asks no broker, judges nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.topics import TimestampType


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """`protocol` is the brokers' `inter.broker.protocol.version`, which tells their version; None from 4.0 on, and
    where they don't tell."""

    cluster_id: str
    brokers: int
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic. Settings that Kafka does not tell are None.

    Attributes:
        after_max_ms: how far ahead of the broker's clock a record's timestamp may be.
        retention_ms: -1 for ever.
        min_compaction_lag_ms, replication, min_insync: as a tick log needs them.
        allowed: what this user may do with it, in Kafka's names (`READ`, `DESCRIBE_CONFIGS`); None where not told.
    """

    partitions: int
    timestamp_type: TimestampType | None = None
    after_max_ms: int | None = None
    retention_ms: int | None = None
    cleanup_policy: str | None = None
    min_compaction_lag_ms: int | None = None
    replication: int = 1
    min_insync: int | None = None
    allowed: frozenset[str] | None = None

    def lacks(self, *operations: str) -> list[str]:
        """Those of some operations that this user may not do; none where it is not told."""
        return [] if self.allowed is None else [one for one in operations if one not in self.allowed]


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """One consumer group.

    Attributes:
        state: in Kafka's words; `Dead` for one that Kafka does not know.
        members: how many consumers it has now.
        assigned: the partitions that its members have.
        committed: its offsets.
        similar: names of groups that Kafka does know, where it does not know this one.
    """

    state: str
    members: int = 0
    assigned: frozenset[Partition] = frozenset()
    committed: Mapping[Partition, int] = field(default_factory=dict)
    similar: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Kafka has heard of it: it has members, or offsets."""
        return self.members > 0 or bool(self.committed) or self.state not in ("DEAD", "UNKNOWN")


@dataclass(frozen=True, slots=True)
class NewestRecord:
    """The newest committed record of a log: the brokers' stamp, and its value for whoever can read it.

    `stamp_ms` is None where brokers don't stamp the log.
    """

    stamp_ms: int | None
    key: bytes | None
    value: bytes | None
    type: str | None
