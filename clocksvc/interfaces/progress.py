"""Partition progress: how far a clock's consumer group has processed each partition.

The store can lose all of this at any time, and still no tick is early, lost or duplicated. The roster is restored from
the tick log and Kafka's metadata, and partition clocks from the next reports of the consumers.

An implementation serves one clock. Each method is atomic, can be called from any thread, and blocks for at most the
implementation's timeout. If the store does not answer, the method raises StoreUnavailable. In that case a write may
have taken effect; it is safe to repeat it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.interfaces.observations import Observation, PartitionObservation

FORMAT = 2
"""The store's format. A reporter with format N works with a service whose format is N-1, N or N+1."""
SILENT_MS = 30_000
"""Consumers repeat the reports of all their partitions every 10 s. If a partition was not reported for this time, no
consumer of the clock's group may have it."""
LEADER_SEEN_MS = 3_000
"""A leader begins a round at least once a second. If it has begun none for this time, it may be gone."""
MAX_LATE_RECORDS = 10**9
"""The largest number of late records in one report. The rest is sent with the next reports."""


@dataclass(frozen=True, slots=True)
class ClockParameters:
    """The parameters of a clock that consumers and readers need. The leader writes them. Times are milliseconds.

    `group` is the group whose reports count, a clock's `reporting_group`. `max_drift_ms` is None for no limit.
    """

    group: str
    topics: tuple[str, ...]
    interval_ms: int
    out_of_orderness_ms: int
    max_future_ms: int
    max_drift_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a consumer.

    Attributes:
        group: the consumer group that processed the records.
        timestamps: the highest raw timestamp of each partition.
        rejected: timestamps that the reporter itself rejected, with their outcomes. The store only counts and shows
            them.
        late_records: the number of late records since the last report, at most MAX_LATE_RECORDS; a store counts no
            more of them. A late record is older than the last tick.
        create_time_topics: topics of which the consumer has processed records with the timestamp type CreateTime since
            the last report.
        topic_ids: by topic, the id of the topic to which the progress belongs. Empty if the reporter does not know ids.
    """

    group: str
    timestamps: tuple[PartitionTimestamp, ...]
    rejected: tuple[tuple[PartitionTimestamp, Outcome], ...] = ()
    late_records: int = 0
    create_time_topics: tuple[str, ...] = ()
    topic_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """The store's answer to a report.

    Attributes:
        outcomes: one for each timestamp, in order.
        parameters: the clock's parameters; None while no leader has written them. All outcomes are `unknown` in that
            case.
        last_tick_ms: the global clock; None before the first tick, or if the store does not know it.
        lowest_ms: the raw timestamp of the slowest partition, after this report. None while a partition is unknown, if
            no leader has begun a round for LEADER_SEEN_MS, and if the clock has no `max_drift`: nothing else needs it.
    """

    outcomes: tuple[Outcome, ...]
    parameters: ClockParameters | None
    last_tick_ms: int | None
    lowest_ms: int | None = None


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
        observed: what the observer of committed offsets knows; None without one.
    """

    partition: Partition
    raw_ms: int | None
    reported_ms: int | None
    excluded: bool = False
    rejected: Outcome | None = None
    observed: PartitionObservation | None = None


@dataclass(frozen=True, slots=True)
class ForeignReports:
    """The newest reports that count for nothing, because the clock has another group or other topics.

    Attributes:
        group: the group of the newest report with another group than the clock's; None if there was none.
        group_ms: store time of that report.
        topic: the topic of the newest report on a topic that is not the clock's; None if there was none.
        topic_ms: store time of that report.
    """

    group: str | None = None
    group_ms: int = 0
    topic: str | None = None
    topic_ms: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a clock for readers. All values are read at the same moment.

    Attributes:
        parameters: None while no leader has written them.
        leader_status: the status that the leader published last (JSON); None after its TTL of half a minute.
        leader: `host:pid` of the process that leads the clock's log; None without a lease.
        started_ms: when the first leader started; None if unknown.
        last_tick_ms: the last tick in the stream; None if the stream is empty.
        known, unknown, excluded: numbers of partitions.
        rejected: the number of partitions whose newest report was rejected.
        slowest: the partitions with the lowest clocks, unknown ones first, at most 10.
        exclusions, pause: the operator overrides, as the leader wrote them with the roster.
        leader_lacks_clock: True if the leader has announced its clocks, and this clock is not one of them.
        observation: the last observation of the observer of committed offsets; None without one.
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
    rejected: int
    slowest: tuple[PartitionClock, ...]
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None
    leader_lacks_clock: bool = False
    observation: Observation | None = None


class ReportSink(Protocol):
    """The destination of reports: a store, or the HTTP service in front of one."""

    def report(self, report: Report) -> ReportAnswer:
        """Store the highest timestamp of each partition, and notify the leader when the minimum crosses a boundary.

        Only partitions on the roster count; the outcome of other partitions is `foreign_topic` if their topic is not
        one of the clock's, otherwise `unknown`. It is also `unknown` if the topic's id in the report is not the
        roster's, because the topic was recreated: progress in a former topic must not count for its successor. A
        timestamp below zero, in another unit than milliseconds, or too far ahead of the store's own clock, is rejected
        and not stored. Other partitions in the report are not affected. A report of another group is rejected
        completely. It is shown only for partitions that the clock's own group has not reported for SILENT_MS. A
        repeated report changes only counters.

        Raises:
            StoreMismatch: this reporter can't write the store's format.
            Unavailable: no answer.
        """

    def close(self) -> None:
        """Close connections. No other method may be called afterwards."""


class PartitionProgress(ReportSink, Protocol):
    """The roster and the partition clocks of one clock.

    Each method with a token raises LeaseLost if the token does not have the lease of the clock's log.
    """

    def claim(self, token: str, identity: StoreIdentity, parameters: ClockParameters, started_ms: int) -> None:
        """Claim an empty store for this cluster, and write the clock's parameters.

        `started_ms` is stored only if no earlier leader has stored its own.

        Raises:
            StoreMismatch: the store has another identity; nothing is written.
        """

    def roster_topics(self) -> Mapping[str, TopicMetadata]:
        """Return the topics of the roster in the store; {} if there is no roster."""

    def write_roster(
        self,
        token: str,
        roster: Roster,
        generation: int,
        exclusions: Sequence[Exclusion] = (),
        pause: Pause | None = None,
    ) -> None:
        """Replace the roster and its generation, and write the operator overrides for readers.

        A partition keeps its reported timestamp if the clock's group and its topic's id are unchanged since the last
        roster; otherwise the partition becomes unknown. After a change of the id, the first timestamp of a partition
        counts only if it is not before the next boundary after the highest timestamp of the old topic. Lower ones may
        come from consumers that have not noticed the change and still report their progress in the old topic.
        """

    def snapshot(self) -> Snapshot:
        """Return the state of the clock for readers."""

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        """Return partition clocks in order of topic and number, at most `limit`, including excluded partitions.

        `after` is the last partition of the previous page; None for the first page. `topic` None means all topics.
        """

    def lagging_partitions(self, before_ms: int, limit: int) -> list[PartitionClock]:
        """Return at most `limit` partitions that must report and are unknown or below `before_ms`, lowest first.

        `before_ms` is compared with the raw timestamp.
        """

    def foreign_reports(self) -> ForeignReports:
        """Return the newest reports of another group, and on another topic.

        The names are cut to 255 bytes, and each byte that is not printable ASCII is `?`.
        """

    def now_ms(self) -> int:
        """Return the time of the store's own clock, in ms since the epoch."""
