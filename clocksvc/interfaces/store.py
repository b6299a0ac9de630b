"""What keeps a clock's volatile state: roster and partition clocks, recent ticks, lease, counters.

All of it can be lost, at any moment, without a tick too early, lost or twice: ticks come back from the tick log, the
roster from Kafka's metadata, partition clocks from the consumers' next repeat. A keeper of this promise serves one
clock. Every method is one atomic operation of the keeper, may block for as long as the keeper's own time-out, is
safe to call from any thread, and raises StoreUnavailable when the keeper does not answer (a write may have happened
then: each one is safe to repeat).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.replica import Replica
from clocksvc.clock.request import Request, RequestResult
from clocksvc.clock.roster import Roster
from clocksvc.clock.tick import Tick

FORMAT = 1
"""The store's format. A reporter of version N works with a service of N-1 to N+1."""
MAX_PENDING_REQUESTS = 64
"""So many requests may wait for a leader."""
REQUEST_RETENTION_MS = 60_000
"""For so long after its end a request is kept, so that a leader can still say what became of it."""


@dataclass(frozen=True, slots=True)
class ClockParameters:
    """What consumers and readers must know of a clock. Written by its leader, times in milliseconds."""

    group: str
    topics: tuple[str, ...]
    interval_ms: int
    out_of_orderness_ms: int
    max_future_ms: int


@dataclass(frozen=True, slots=True)
class Report:
    """One message of a reporter.

    Attributes:
        group: the consumer group that processed the records.
        timestamps: the highest raw timestamp for each partition.
        rejected: timestamps that the reporter itself rejected, with the outcome: only counted and shown.
        late_records: how many records since its last message stood before a tick that was already given.
    """

    group: str
    timestamps: tuple[PartitionTimestamp, ...]
    rejected: tuple[tuple[PartitionTimestamp, Outcome], ...] = ()
    late_records: int = 0


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """What a reporter learns.

    Attributes:
        outcomes: one for each timestamp, in order.
        parameters: the clock's; None while no leader has written them (all outcomes are `unknown` then).
        last_tick_ms: the global clock; None before the first tick or while the store does not know it.
    """

    outcomes: tuple[Outcome, ...]
    parameters: ClockParameters | None
    last_tick_ms: int | None


@dataclass(frozen=True, slots=True)
class ProgressReading:
    """What a leader needs for one step, read at one moment.

    Attributes:
        lowest_ms: the lowest raw timestamp on the roster; None while a partition is unknown or the roster is empty.
        count, generation: of the roster in the store; other than the leader wrote means that it was lost or replaced.
        now_ms: the store's own clock.
        boundary_crossed_at_ms: store time of the report that completed the next boundary; None if none is complete.
        unknown_seen_ms: when a report last named a partition that is not on the roster; 0 for never.
        digests: of the configurations of all replicas alive.
        announcements_complete_since_ms: store time since which no announcement was lost; None before the first one.
        last_tick_ms: what the next tick must name as `previous`; other than the leader published last means that the
            store was rolled back.
        requests: those that wait and have not expired, and those handed to a leader before that nobody has answered.
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
    """Whose state the store holds."""

    cluster_id: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class PartitionClock:
    """One line of the list of partitions.

    Attributes:
        raw_ms: the highest raw record timestamp reported; None while unknown.
        reported_ms: when it was last reported, by the store's clock; None while unknown.
        rejected: why its newest report was rejected, if that was after the last one accepted.
    """

    partition: Partition
    raw_ms: int | None
    reported_ms: int | None
    excluded: bool = False
    rejected: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A clock as a reader sees it, read at one moment.

    Attributes:
        parameters: None while no leader has written them.
        leader_status: what the leader last said about the clock (JSON), None when it said nothing for half a minute.
        leader: who holds the lease; None when nobody does.
        started_ms: when the first leader started; None when unknown.
        known, unknown, excluded: numbers of partitions.
        slowest: the partitions with the lowest clocks, unknown ones first, at most 10.
        exclusions, pause: what operators have asked for and the tick log says; nothing where no leader has written it.
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
    """What a dispatcher's tasks are counted by. `queue` may be a topic; "" where it is not known beforehand."""

    namespace: str
    queue: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Counters:
    """What consumers and workers have caused, counted in the store.

    Attributes:
        reports: by outcome. heartbeats: by outcome. late_records: a number.
        heartbeat_success_ms: when a round of heartbeats last reached every partition; None for never.
        tasks: by dispatcher, then by what was done. task_duplicates: runs of tasks that were seen to be redeliveries.
        dispatcher_checkpoints_ms: up to where each dispatcher has sent everything.
    """

    reports: Mapping[str, int] = field(default_factory=dict)
    heartbeats: Mapping[str, int] = field(default_factory=dict)
    late_records: int = 0
    heartbeat_success_ms: int | None = None
    tasks: Mapping[str, Mapping[TaskCounterKey, int]] = field(default_factory=dict)
    dispatcher_checkpoints_ms: Mapping[str, int] = field(default_factory=dict)
    task_duplicates: int = 0


class ReportSink(Protocol):
    """Where a reporter sends its reports: a store, or the HTTP service in front of one."""

    def report(self, report: Report) -> ReportAnswer:
        """Keep each partition's maximum.

        Only partitions on the roster count, others are answered `unknown`. A timestamp too far ahead by the keeper's
        own clock, or below zero, is refused for its partition alone and forgotten; another group's report is refused
        whole. Wakes the leader when the minimum crosses a boundary. Repeating a report changes nothing but counters.

        Raises:
            StoreMismatch: the store's format is not one that this reporter can write.
            Unavailable: no answer.
        """

    def close(self) -> None:
        """Free connections. Nothing may be called afterwards."""


class Store(ReportSink, Protocol):
    """One clock's volatile state."""

    # -- the lease ------------------------------------------------------------------------------------------------

    def acquire_lease(self, token: str, holder: str, ttl_ms: int) -> bool:
        """Take the lease unless somebody else holds it; True when `token` holds it now, for `ttl_ms` from now."""

    def release_lease(self, token: str) -> None:
        """Give the lease up if `token` holds it."""

    def announce(self, replica: str, digest: str, ttl_ms: int, config_json: str = "") -> None:
        """Say that a replica with this configuration digest is alive; `ttl_ms` 0 takes that back.

        `replica` is a unique name: `host:pid`, optionally followed by a space and more. `config_json` is what the
        digest stands for.
        """

    def replicas(self) -> list[Replica]:
        """The replicas alive."""

    # -- a leader's writes: each checks the token and raises LeaseLost when it does not hold the lease ------------

    def claim(self, token: str, identity: StoreIdentity, parameters: ClockParameters, started_ms: int) -> None:
        """Mark an unmarked store as this cluster's and write the clock's parameters.

        `started_ms` is kept only where no earlier leader left one.

        Raises:
            StoreMismatch: the store bears other identity; nothing is written.
        """

    def write_roster(
        self,
        token: str,
        roster: Roster,
        generation: int,
        exclusions: Sequence[Exclusion] = (),
        pause: Pause | None = None,
    ) -> None:
        """Write the whole roster at once, with its generation and count, and for readers who excluded and paused.

        A partition keeps its reported timestamp where its topic's id is the one written before; others are unknown.
        Where the id is another one, what is reported counts only from the boundary on after all that was reported of
        the old topic: a consumer that has not noticed yet repeats how far it was there.
        """

    def read_progress(self, token: str, ttl_ms: int) -> ProgressReading:
        """What a step needs; renews the lease for `ttl_ms`. Its requests can't be withdrawn any more.

        Raises:
            StoreLost: the parameters or the roster are gone.
        """

    def write_request_results(self, token: str, answers: Mapping[str, RequestResult], ttl_ms: int) -> None:
        """Leave answers by the requests' ids, for `ttl_ms`, in the requests' place."""

    def publish(self, token: str, ticks: Sequence[Tick]) -> int:
        """Append ticks to the stream of recent ones, if it ends with the first one's `previous`; the store's time
        afterwards, in ms. Drops ticks that were emitted longer ago than the clock's `recent_ticks`.

        An empty stream ends with what `rebuild` last said; without that only a chain's beginning fits (`previous`
        is None).

        Raises:
            ChainBroken: the stream ends otherwise; nothing is written.
        """

    def rebuild(self, token: str, ticks: Sequence[Tick], last_ms: int | None) -> None:
        """Put exactly these ticks in the stream's place, at once for readers. May take several writes before.

        `last_ms` is the last tick's time, or what `init` said where there is no tick yet: the next tick's `previous`.
        """

    def publish_status(self, token: str, leader_status: str, ttl_ms: int) -> None:
        """Leave the leader's leader_status on the clock (JSON) for readers."""

    def wait_for_notification(self, timeout_s: float) -> bool:
        """Block until a report wants the leader's attention; False after `timeout_s`. Only the leader calls it."""

    def notify(self) -> None:
        """End a `wait_for_notification`."""

    # -- requests to the leader, by any replica -------------------------------------------------------------------

    def submit_request(self, request: Request) -> bool:
        """Leave a request for the leader, and wake it. False: it has expired, or too many wait; nothing is left then.

        A request that is there already, or is answered, stays as it is.
        """

    def cancel_request(self, request_id: str) -> bool:
        """Take a request back. True: no leader has seen it, or ever will. False: one has, or it is not there."""

    def read_request_result(self, request_id: str) -> RequestResult | None:
        """The leader's answer; None while there is none, or none any more."""

    # -- readers --------------------------------------------------------------------------------------------------

    def last_tick(self) -> Tick | None:
        """The stream's last tick; None where there is no stream."""

    def first_tick(self) -> Tick | None:
        """The stream's oldest kept tick; None where there is no stream."""

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        """The kept ticks after a time, ascending, at most `limit`."""

    def newest_ticks(self, limit: int) -> list[Tick]:
        """The newest kept ticks, ascending, at most `limit`."""

    def follow(self, after_ms: int, timeout_s: float) -> list[Tick]:
        """Block until there are ticks after a time; at most 1,000, ascending; [] after `timeout_s`."""

    def snapshot(self) -> Snapshot:
        """The clock as a reader sees it."""

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        """Partition clocks in order of topic and number, after one, at most `limit`; excluded ones too."""

    def lagging_partitions(self, before_ms: int, limit: int) -> list[PartitionClock]:
        """Partitions on the roster whose raw timestamp is unknown or below `before_ms`, lowest first."""

    # -- counters -------------------------------------------------------------------------------------------------

    def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
        """Add to the heartbeat counters; `success` notes the store's time as that of the last whole round."""

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        """Add to a dispatcher's counters; a zero makes a counter that is there from now on.

        `at_ms`, unless None, is up to where it has sent everything: the furthest that was told counts, and is
        forgotten `ttl_ms` after it was last told any.
        """

    def counters(self) -> Counters:
        """What consumers and workers have caused so far."""

    # -- tasks that have been run ---------------------------------------------------------------------------------

    def mark_task_done(self, task_id: str, kept_ms: int, most: int) -> None:
        """Remember for `kept_ms` that a task has been run to its end. Only so many as `most` are remembered: those that
        would be kept for longest."""

    def is_task_done(self, task_id: str) -> bool:
        """Whether a task is remembered as finished; one that is counts as a double."""

    def now_ms(self) -> int:
        """The store's own clock."""
