"""The store: a clock's volatile state. Roster and partition clocks, recent ticks, lease, requests, counters.

All of it can be lost at any moment without a tick that is early, lost or duplicated: ticks come back from the tick log,
the roster from Kafka's metadata, partition clocks from the next reports of the consumers. An implementation serves one
clock. Each method is atomic, can be called from any thread, and blocks for at most the implementation's timeout. Each
raises StoreUnavailable if the store does not answer; a write may have taken effect then, and it is safe to repeat it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.request import Request, RequestResult
from clocksvc.clock.roster import Roster
from clocksvc.clock.spec import Replica
from clocksvc.clock.tick import Tick

FORMAT = 1
"""The store's format. A reporter of version N works with a service of N-1 to N+1."""
MAX_PENDING_REQUESTS = 64
"""The number of requests that can wait for a leader."""
REQUEST_RETENTION_MS = 60_000
"""How long a request is kept after it expired, so that a leader can still write its result."""


@dataclass(frozen=True, slots=True)
class ClockParameters:
    """The parameters of a clock that consumers and readers need. Written by its leader; times in milliseconds."""

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
        rejected: timestamps that the reporter rejected, with their outcomes. They are counted and shown only.
        late_records: the number of records since the last report that are older than the last tick.
    """

    group: str
    timestamps: tuple[PartitionTimestamp, ...]
    rejected: tuple[tuple[PartitionTimestamp, Outcome], ...] = ()
    late_records: int = 0


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """The store's answer to a report.

    Attributes:
        outcomes: one for each timestamp, in order.
        parameters: the clock's; None while no leader has written them. All outcomes are `unknown` then.
        last_tick_ms: the global clock; None before the first tick, or if the store does not know it.
    """

    outcomes: tuple[Outcome, ...]
    parameters: ClockParameters | None
    last_tick_ms: int | None


@dataclass(frozen=True, slots=True)
class ProgressReading:
    """What a leader needs for one step. All values are read at the same moment.

    Attributes:
        lowest_ms: the lowest raw timestamp on the roster; None while a partition is unknown or the roster is empty.
        count, generation: of the roster in the store. If they differ from what the leader wrote, the roster was lost
            or replaced.
        now_ms: the store's own clock.
        last_tick_ms: the `previous` of the next tick. If it differs from the leader's last tick, the store was rolled
            back.
        boundary_crossed_at_ms: store time of the report that completed the next boundary; None if none is complete.
        unknown_seen_ms: store time of the last report that named a partition outside the roster; 0 for none.
        digests: the configuration digests of all live replicas.
        announcements_complete_since_ms: store time since which no announcement was lost; None before the first one.
        requests: waiting requests that have not expired, and requests that an earlier leader read without writing a
            result.
    """

    lowest_ms: int | None
    count: int
    generation: int
    now_ms: int
    last_tick_ms: int | None
    boundary_crossed_at_ms: int | None
    unknown_seen_ms: int
    digests: frozenset[str]
    announcements_complete_since_ms: int | None
    requests: tuple[Request, ...] = ()


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


class TaskCounterKey(NamedTuple):
    """The labels of a task counter. `queue` can be a topic; "" if it is not known in advance."""

    namespace: str
    queue: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of consumers and workers, kept in the store.

    Attributes:
        reports, heartbeats: numbers by outcome.
        late_records: the number of late records.
        heartbeat_success_ms: store time of the last complete round of heartbeats; None for none.
        tasks: numbers by dispatcher and labels.
        dispatcher_checkpoints_ms: the tick up to which each dispatcher has sent all tasks.
        task_duplicates: runs of tasks that were redeliveries of finished tasks.
    """

    reports: Mapping[str, int] = field(default_factory=dict)
    heartbeats: Mapping[str, int] = field(default_factory=dict)
    late_records: int = 0
    heartbeat_success_ms: int | None = None
    tasks: Mapping[str, Mapping[TaskCounterKey, int]] = field(default_factory=dict)
    dispatcher_checkpoints_ms: Mapping[str, int] = field(default_factory=dict)
    task_duplicates: int = 0


class ReportSink(Protocol):
    """The destination of reports: a store, or the HTTP service in front of one."""

    def report(self, report: Report) -> ReportAnswer:
        """Keep the maximum of each partition, and notify the leader when the minimum crosses a boundary.

        Only partitions on the roster count; the outcome of others is `unknown`. A timestamp below zero, or too far
        ahead of the store's own clock, is rejected for its partition alone and forgotten. A report of another group is
        rejected completely. Repeating a report changes only counters.

        Raises:
            StoreMismatch: this reporter can't write the store's format.
            Unavailable: no answer.
        """

    def close(self) -> None:
        """Close connections. No other method may be called afterwards."""


class Store(ReportSink, Protocol):
    """The volatile state of one clock."""

    # -- the lease ------------------------------------------------------------------------------------------------

    def acquire_lease(self, token: str, holder: str, ttl_ms: int) -> bool:
        """Take or renew the lease for `ttl_ms` from now; False if another token has it."""

    def release_lease(self, token: str) -> None:
        """Release the lease if `token` has it."""

    def announce(self, replica: str, digest: str, ttl_ms: int, config_json: str = "") -> None:
        """Announce that a replica with this configuration digest is alive; `ttl_ms` 0 removes the announcement.

        `replica` is a unique name: `host:pid`, optionally followed by a space and more. `config_json` is the
        configuration behind the digest.
        """

    def replicas(self) -> list[Replica]:
        """The live replicas."""

    # -- writes of the leader: each raises LeaseLost if the token does not have the lease ---------------------------

    def claim(self, token: str, identity: StoreIdentity, parameters: ClockParameters, started_ms: int) -> None:
        """Claim an empty store for this cluster, and write the clock's parameters.

        `started_ms` is kept only if no earlier leader wrote one.

        Raises:
            StoreMismatch: the store has another identity; nothing is written.
        """

    def write_roster(
        self,
        token: str,
        roster: Roster,
        generation: int,
        exclusions: Sequence[Exclusion] = (),
        pause: Pause | None = None,
    ) -> None:
        """Replace the roster and its generation, and write the operator overrides for readers.

        A partition keeps its reported timestamp if its topic's id is unchanged; otherwise it becomes unknown. After a
        change of the id, timestamps count only from the boundary after the highest one reported for the old topic,
        because consumers that have not noticed the change repeat their progress in the old topic.
        """

    def read_progress(self, token: str, ttl_ms: int) -> ProgressReading:
        """Read what a step needs, and renew the lease for `ttl_ms`. The requests read can't be cancelled any more.

        Raises:
            StoreLost: the parameters or the roster are missing.
        """

    def write_request_results(self, token: str, answers: Mapping[str, RequestResult], ttl_ms: int) -> None:
        """Replace requests, by id, by their results; a result is kept for `ttl_ms`."""

    def publish(self, token: str, ticks: Sequence[Tick]) -> int:
        """Append ticks to the stream of recent ticks; returns the store's time afterwards.

        Drops ticks that were emitted longer ago than the clock's `recent_ticks`. The first tick must name the stream's
        last tick as `previous`; if the stream is empty, the `last_ms` of the last `rebuild`, or None.

        Raises:
            ChainBroken: it names another one; nothing is written.
        """

    def rebuild(self, token: str, ticks: Sequence[Tick], last_ms: int | None) -> None:
        """Replace the stream by these ticks, atomically for readers. Can take several writes before that.

        `last_ms` is the `previous` of the next tick: the last tick, or without ticks the time that `init` set.
        """

    def publish_status(self, token: str, leader_status: str, ttl_ms: int) -> None:
        """Write the leader's status of the clock (JSON) for readers."""

    def wait_for_notification(self, timeout_s: float) -> bool:
        """Block until a report or `notify` notifies the leader; False after `timeout_s`. For the leader only."""

    def notify(self) -> None:
        """End a `wait_for_notification`."""

    # -- requests to the leader, by any replica -------------------------------------------------------------------

    def submit_request(self, request: Request) -> bool:
        """Store a request and notify the leader; False if it has expired, or if too many requests wait.

        A request that is stored already, or has a result, is not changed.
        """

    def cancel_request(self, request_id: str) -> bool:
        """Remove a request that no leader has read; False if one has, or if there is none."""

    def read_request_result(self, request_id: str) -> RequestResult | None:
        """The result of a request; None if there is none, or if it was dropped after its TTL."""

    # -- readers --------------------------------------------------------------------------------------------------

    def last_tick(self) -> Tick | None:
        """The stream's last tick; None without a stream."""

    def first_tick(self) -> Tick | None:
        """The stream's oldest tick; None without a stream."""

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        """The ticks after a time, ascending, at most `limit`."""

    def newest_ticks(self, limit: int) -> list[Tick]:
        """The newest ticks, ascending, at most `limit`."""

    def follow(self, after_ms: int, timeout_s: float) -> list[Tick]:
        """Block until there are ticks after a time; ascending, at most 1,000; [] after `timeout_s`."""

    def snapshot(self) -> Snapshot:
        """The state of the clock for readers."""

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        """Partition clocks after one, in order of topic and number, at most `limit`; including excluded ones."""

    def lagging_partitions(self, before_ms: int, limit: int) -> list[PartitionClock]:
        """Partitions on the roster that are unknown or whose raw timestamp is below `before_ms`, lowest first."""

    # -- counters -------------------------------------------------------------------------------------------------

    def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
        """Add to the heartbeat counters. `success` sets the time of the last complete round to now."""

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        """Add to a dispatcher's counters; adding zero creates a counter.

        `at_ms`, unless None, is the dispatcher's checkpoint. The largest value counts; it is dropped `ttl_ms` after the
        last call that gave one.
        """

    def counters(self) -> Counters:
        """All counters."""

    # -- finished tasks -------------------------------------------------------------------------------------------

    def mark_task_done(self, task_id: str, kept_ms: int, most: int) -> None:
        """Remember for `kept_ms` that a task has finished. At most `most` tasks are remembered, those that expire
        last."""

    def is_task_done(self, task_id: str) -> bool:
        """Whether a task is remembered as finished. If so, counts a duplicate."""

    def now_ms(self) -> int:
        """The store's own clock."""
