"""The store: a clock's volatile state. It has roster, partition clocks, recent ticks, lease, requests and counters.

The store can lose all of this at any time, and still no tick is early, lost or duplicated. Ticks are restored from the
tick log, the roster from Kafka's metadata, and partition clocks from the next reports of the consumers.

An implementation serves one clock. Each method is atomic, can be called from any thread, and blocks for at most the
implementation's timeout. If the store does not answer, the method raises StoreUnavailable. In that case, a write may
have taken effect; it is safe to repeat the write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestResult
from clocksvc.clock.roster import Roster
from clocksvc.clock.spec import Replica
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.counters import Counters, TaskCounterKey
from clocksvc.interfaces.progress import ClockParameters, PartitionClock, ReportSink, Snapshot, StoreIdentity


@dataclass(frozen=True, slots=True)
class ProgressReading:
    """What a leader needs for one step. All values are read at the same moment.

    Attributes:
        lowest_ms: the lowest raw timestamp on the roster; None while a partition is unknown or the roster is empty.
        count, generation: the number of partitions that must report, and the generation of the roster in the store. If
            they differ from what the leader wrote, the roster was lost or replaced.
        now_ms: the store's own clock.
        last_tick_ms: the time that must be `previous` in the next tick. If it differs from the leader's last tick, the
            store has lost ticks or was restored to an older state.
        boundary_crossed_at_ms: store time of the report with which the last partition reached the next boundary; None
            if not all partitions have reached it.
        unknown_seen_ms: store time of the last report of a partition that is not on the roster; 0 if there was none.
        digests: the configuration digests of all live replicas.
        announcements_complete_since_ms: store time of the first announcement after the store last lost announcements.
            The store has all announcements since then. None if there is no announcement yet.
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


class Store(ReportSink, Protocol):
    """The volatile state of one clock."""

    # -- the lease ------------------------------------------------------------------------------------------------

    def acquire_lease(self, token: str, holder: str, ttl_ms: int) -> bool:
        """Acquire or renew the lease for `ttl_ms` from now; False if another token has the lease."""

    def release_lease(self, token: str) -> None:
        """Release the lease if `token` has it."""

    def announce(self, replica: str, digest: str, ttl_ms: int, config_json: str = "") -> None:
        """Announce that a replica with this configuration digest is alive; `ttl_ms` 0 removes the announcement.

        `replica` is a unique name: `host:pid`, optionally followed by a space and more text. `config_json` is
        the configuration from which the digest is computed.
        """

    def replicas(self) -> list[Replica]:
        """Return the live replicas."""

    # -- writes of the leader: each raises LeaseLost if the token does not have the lease ---------------------------

    def claim(self, token: str, identity: StoreIdentity, parameters: ClockParameters, started_ms: int) -> None:
        """Claim an empty store for this cluster, and write the clock's parameters.

        `started_ms` is stored only if no earlier leader has stored its own.

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

        A partition keeps its reported timestamp if its topic's id is unchanged; otherwise the partition becomes
        unknown. After a change of the id, the first timestamp of a partition counts only if it is not before the next
        boundary after the highest timestamp of the old topic. Lower ones may come from consumers that have not noticed
        the change and still report their progress in the old topic.
        """

    def read_progress(self, token: str, ttl_ms: int) -> ProgressReading:
        """Read what a step needs, and renew the lease for `ttl_ms`. Requests that were read can't be cancelled.

        Raises:
            StoreLost: the parameters or the roster are missing.
        """

    def write_request_results(self, token: str, answers: Mapping[str, RequestResult], ttl_ms: int) -> None:
        """Replace requests by their results. `answers` has the results by request id; each is kept for `ttl_ms`."""

    def publish(self, token: str, ticks: Sequence[Tick]) -> int:
        """Append ticks to the stream of recent ticks, and return the store's time afterwards.

        Drops ticks that were emitted longer ago than the clock's `recent_ticks`. `previous` of the first tick must be
        the last tick of the stream. If the stream is empty, it must be the `last_ms` of the last `rebuild`, or None if
        there was no `rebuild`.

        Raises:
            ChainBroken: `previous` of the first tick is another time; nothing is written.
        """

    def rebuild(self, token: str, ticks: Sequence[Tick], last_ms: int | None) -> None:
        """Replace the stream by these ticks. It may need several writes, but readers see only the complete new stream.

        `last_ms` must be `previous` in the next tick. It is the time of the last tick. If there are no ticks, it is the
        time that `clocksvc init` set, or None.
        """

    def publish_status(self, token: str, leader_status: str, ttl_ms: int) -> None:
        """Write the leader's status (JSON) for readers. It is dropped after `ttl_ms`."""

    def wait_for_notification(self, timeout_s: float) -> bool:
        """Block until a report or `notify` notifies the leader; False after `timeout_s`. Only leaders may call this."""

    def notify(self) -> None:
        """Notify the leader, which ends its `wait_for_notification`."""

    # -- requests to the leader, by any replica -------------------------------------------------------------------

    def submit_request(self, request: Request) -> bool:
        """Store a request and notify the leader; False if the request has expired, or if too many requests wait.

        A request that is stored already, or has a result, is not changed.
        """

    def cancel_request(self, request_id: str) -> bool:
        """Remove a request unless a leader has read it. True if the request was removed."""

    def read_request_result(self, request_id: str) -> RequestResult | None:
        """Return the result of a request; None if there is no result, or if it was dropped after its TTL."""

    # -- readers --------------------------------------------------------------------------------------------------

    def last_tick(self) -> Tick | None:
        """Return the stream's last tick; None if the stream is empty."""

    def first_tick(self) -> Tick | None:
        """Return the stream's oldest tick; None if the stream is empty."""

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        """Return the ticks after a time, ascending, at most `limit`."""

    def newest_ticks(self, limit: int) -> list[Tick]:
        """Return the newest ticks, ascending, at most `limit`."""

    def follow(self, after_ms: int, timeout_s: float) -> list[Tick]:
        """Block until there are ticks after a time, and return them, ascending, at most 1,000; [] after `timeout_s`."""

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

    # -- counters -------------------------------------------------------------------------------------------------

    def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
        """Add to the heartbeat counters. `success` sets the time of the last complete round to now."""

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        """Add to a dispatcher's counters. Adding zero creates a counter.

        `at_ms` is the dispatcher's checkpoint; with None, the stored checkpoint is not changed. The store keeps the
        largest checkpoint that it has received. It drops this checkpoint `ttl_ms` after the last call with an `at_ms`.
        """

    def counters(self) -> Counters:
        """Return all counters."""

    # -- finished tasks -------------------------------------------------------------------------------------------

    def mark_task_done(self, task_id: str, kept_ms: int, most: int) -> None:
        """Remember for `kept_ms` that a task has finished. If there are more than `most` tasks, those that expire first
        are dropped."""

    def is_task_done(self, task_id: str) -> bool:
        """True if a task is remembered as finished. In that case, a duplicate is counted."""

    def now_ms(self) -> int:
        """Return the time of the store's own clock, in ms since the epoch."""
