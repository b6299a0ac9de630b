"""Partition progress: how far a clock's consumer group has processed each partition, for reporters and readers."""

from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp

FORMAT = 1
"""The store's format. A reporter with format N works with a service whose format is N-1, N or N+1."""


@dataclass(frozen=True, slots=True)
class ClockParameters:
    """The parameters of a clock that consumers and readers need. The leader writes them. Times are milliseconds."""

    group: str
    topics: tuple[str, ...]
    interval_ms: int
    out_of_orderness_ms: int
    max_future_ms: int


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a consumer.

    Attributes:
        group: the consumer group that processed the records.
        timestamps: the highest raw timestamp of each partition.
        rejected: timestamps that the reporter itself rejected, with their outcomes. The store only counts and shows
            them.
        late_records: the number of late records since the last report. A late record is older than the last tick.
        create_time_topics: the topics from which the reporter saw records with the timestamp type CreateTime.
    """

    group: str
    timestamps: tuple[PartitionTimestamp, ...]
    rejected: tuple[tuple[PartitionTimestamp, Outcome], ...] = ()
    late_records: int = 0
    create_time_topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """The store's answer to a report.

    Attributes:
        outcomes: one for each timestamp, in order.
        parameters: the clock's parameters; None while no leader has written them. All outcomes are `unknown` in that
            case.
        last_tick_ms: the global clock; None before the first tick, or if the store does not know it.
    """

    outcomes: tuple[Outcome, ...]
    parameters: ClockParameters | None
    last_tick_ms: int | None


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """The Kafka cluster to which the store's content belongs, and the format of that content."""

    cluster_id: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class PartitionClock:
    """The clock of one partition.

    Attributes:
        raw_ms: the highest raw record timestamp reported; None while unknown.
        reported_ms: store time of the last report; None while unknown.
        rejected: why the newest report was rejected; None if the newest report was accepted.
    """

    partition: Partition
    raw_ms: int | None
    reported_ms: int | None
    excluded: bool = False
    rejected: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a clock for readers. All values are read at the same moment.

    Attributes:
        parameters: None while no leader has written them.
        leader_status: the status that the leader published last (JSON); None after its TTL of half a minute.
        leader: the holder of the lease; None without a lease.
        started_ms: when the first leader started; None if unknown.
        known, unknown, excluded: numbers of partitions.
        slowest: the partitions with the lowest clocks, unknown ones first, at most 10.
        exclusions, pause: the operator overrides, as the leader wrote them with the roster.
    """

    now_ms: int
    parameters: ClockParameters | None
    leader_status: str | None
    leader: str | None
    started_ms: int | None
    last_tick_ms: int | None
    known: int
    unknown: int
    excluded: int
    slowest: tuple[PartitionClock, ...]
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None


class ReportSink(Protocol):
    """The destination of reports: a store, or the HTTP service in front of one."""

    def report(self, report: Report) -> ReportAnswer:
        """Store the highest timestamp of each partition, and notify the leader when the minimum crosses a boundary.

        Only partitions on the roster count; the outcome of other partitions is `unknown`. A timestamp below zero, or
        too far ahead of the store's own clock, is rejected and not stored. Other partitions in the report are not
        affected. A report of another group is rejected completely. A repeated report changes only counters.

        Raises:
            StoreMismatch: this reporter can't write the store's format.
            Unavailable: no answer.
        """

    def close(self) -> None:
        """Close connections. No other method may be called afterwards."""
