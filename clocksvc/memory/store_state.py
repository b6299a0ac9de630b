"""One clock's content of the in-memory store, and the operations on it. Not thread-safe; times are arguments."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from clocksvc.clock import boundary
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import REJECTIONS, Outcome, Partition, PartitionTimestamp, rejection_reason
from clocksvc.clock.request import Request, RequestResult, sort_requests
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.counters import Counters, TaskCounterKey
from clocksvc.interfaces.hold_history import KeptChange
from clocksvc.interfaces.leases import ProgressReading
from clocksvc.interfaces.observations import Observation, PartitionObservation
from clocksvc.interfaces.progress import SILENT_MS, ClockParameters, ForeignReports, PartitionClock, StoreIdentity
from clocksvc.interfaces.requests import MAX_PENDING_REQUESTS, REQUEST_RETENTION_MS
from clocksvc.interfaces.tick_stream import StreamBounds

_LONGEST_NAME = 255


@dataclass(slots=True)
class StoredClock:
    """Everything that a store can lose of one clock.

    Attributes:
        accepted_from_ms: for each recreated topic, the lowest timestamp that an unknown partition of it accepts. Lower
            timestamps are ignored, because they may come from the old topic.
        claimed_by: the token with which a leader claimed the store last.
        roster_group: the consumer group with which the roster was written.
        clocks: the highest raw timestamp of each partition, including excluded ones; None while unknown.
        written: True once a leader has begun the stream.
        base_ms: the time that must be `previous` in the next tick while there are no ticks.
        staged: older ticks, until `finish_restoring`; None if nothing was staged.
        leader_status, results: the values with the time at which they expire.
        holds: the history of holds, oldest change first.
        handed_out: the ids of requests that a leader has read.
        dispatchers: the checkpoint of each dispatcher, with the time at which it is dropped.
        finished: finished tasks, with the time at which they are dropped.
        leader_seen_ms: when the leader last began a round.
        observation, observed: the last observation of committed offsets, and those of partitions.
    """

    claimed_by: str | None = None
    identity: StoreIdentity | None = None
    parameters: ClockParameters | None = None
    started_ms: int | None = None
    topics: dict[str, TopicMetadata] = field(default_factory=dict)
    accepted_from_ms: dict[str, int] = field(default_factory=dict)
    generation: int | None = None
    roster_group: str | None = None
    clocks: dict[Partition, int | None] = field(default_factory=dict)
    excluded: frozenset[Partition] = frozenset()
    reported: dict[Partition, int] = field(default_factory=dict)
    rejected: dict[Partition, Outcome] = field(default_factory=dict)
    foreign: ForeignReports = field(default_factory=ForeignReports)
    unknown_seen_ms: int = 0
    create_time_seen_ms: int = 0
    boundary_crossed_at_ms: int | None = None
    ticks: list[Tick] = field(default_factory=list)
    written: bool = False
    base_ms: int | None = None
    restoring: bool = False
    staged: list[Tick] | None = None
    leader_status: tuple[str, int] | None = None
    holds: list[KeptChange] = field(default_factory=list)
    reports: Counter[str] = field(default_factory=Counter)
    heartbeats: Counter[str] = field(default_factory=Counter)
    late_records: int = 0
    heartbeat_success_ms: int | None = None
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None
    requests: dict[str, Request] = field(default_factory=dict)
    handed_out: set[str] = field(default_factory=set)
    results: dict[str, tuple[RequestResult, int]] = field(default_factory=dict)
    tasks: dict[str, Counter[TaskCounterKey]] = field(default_factory=dict)
    dispatchers: dict[str, tuple[int, int]] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)
    task_duplicates: int = 0
    leader_seen_ms: int = 0
    observation: Observation | None = None
    observed: dict[Partition, PartitionObservation] = field(default_factory=dict)

    def read_progress(self, token: str, now_ms: int) -> ProgressReading | None:
        """Return what a leader needs for one round, and mark its requests as read.

        Returns:
            None if something was lost, or if the leader has not claimed the store: after a failover, the parameters
            may be from before its term.
        """
        if self.parameters is None or self.generation is None or self.claimed_by != token:
            return None
        self.leader_seen_ms = now_ms
        return ProgressReading(
            lowest_ms=self.lowest_ms(),
            count=len(self.clocks) - len(self.excluded),
            generation=self.generation,
            last_tick_ms=self.chain_end_ms(),
            boundary_crossed_at_ms=self.boundary_crossed_at_ms,
            unknown_seen_ms=self.unknown_seen_ms,
            create_time_seen_ms=self.create_time_seen_ms,
            out_of_orderness_ms=self.parameters.out_of_orderness_ms,
            restoring=self.restoring,
            requests=self.hand_out(now_ms),
        )

    def status_at(self, now_ms: int) -> str | None:
        """Return the leader's status, unless it has expired."""
        found = self.leader_status
        return found[0] if found is not None and now_ms < found[1] else None

    def required(self) -> list[tuple[Partition, int | None]]:
        """Return the partitions that must report, unknown ones first, then by timestamp, then by name, as in Redis."""
        members = [(p, raw_ms) for p, raw_ms in self.clocks.items() if p not in self.excluded]
        return sorted(members, key=lambda member: (-1 if member[1] is None else member[1], str(member[0])))

    def has_roster(self) -> bool:
        """True if the roster was written for the clock's group.

        Otherwise all partitions are unknown. The timestamps of a new group must not be mixed with those of the old
        group, to which the clock can still return.
        """
        return self.parameters is not None and self.parameters.group == self.roster_group

    def lowest_ms(self) -> int | None:
        """Return the lowest raw timestamp on the roster; None while a partition is unknown or the roster is empty."""
        if not self.has_roster():
            return None
        known = []
        for partition, raw_ms in self.clocks.items():
            if partition in self.excluded:
                continue
            if raw_ms is None:
                return None
            known.append(raw_ms)
        return min(known, default=None)

    def bounds(self) -> StreamBounds:
        """Return both ends of the stream."""
        first, last = (self.ticks[0], self.ticks[-1]) if self.ticks else (None, None)
        return StreamBounds(first, last, self.base_ms, self.written or last is not None, self.restoring)

    def last_tick_ms(self) -> int | None:
        """Return the global clock: the last tick."""
        return self.ticks[-1].at_ms if self.ticks else None

    def chain_end_ms(self) -> int | None:
        """Return the time that must be `previous` in the next tick."""
        return self.ticks[-1].at_ms if self.ticks else self.base_ms

    def boundary_waits(self) -> bool:
        """True if the minimum has reached a boundary that has no tick yet."""
        lowest_ms = self.lowest_ms()
        if lowest_ms is None or self.parameters is None:
            return False
        reached_ms = boundary.reached(lowest_ms, self.parameters.out_of_orderness_ms, self.parameters.interval_ms)
        return reached_ms > (self.chain_end_ms() or 0)

    def clock_of(self, partition: Partition) -> PartitionClock:
        """Return the clock of one partition."""
        raw_ms = self.clocks[partition]
        return PartitionClock(
            partition,
            raw_ms,
            None if raw_ms is None else self.reported.get(partition),
            partition in self.excluded,
            self.rejected.get(partition),
            self.observed.get(partition),
        )

    def receive(
        self, reported: PartitionTimestamp, topic_id: str | None, parameters: ClockParameters, now_ms: int
    ) -> Outcome:
        """Store one reported timestamp if it counts, and return its outcome.

        Args:
            topic_id: the id of the topic to which the timestamp belongs; None if the reporter does not know it.
        """
        partition, timestamp_ms = reported
        if partition not in self.clocks or not self.has_roster():
            return Outcome.FOREIGN_TOPIC if self._is_foreign(partition, parameters, now_ms) else Outcome.UNKNOWN
        if topic_id is not None and topic_id != self.topics[partition.topic].id:
            return Outcome.UNKNOWN
        rejection = rejection_reason(timestamp_ms, now_ms, parameters.max_future_ms)
        if rejection is not None:
            self.rejected[partition] = rejection
            return rejection
        self.rejected.pop(partition, None)
        self.reported[partition] = now_ms
        known_ms = self.clocks[partition]
        if known_ms is None and timestamp_ms < self.accepted_from_ms.get(partition.topic, 0):
            return Outcome.UNCHANGED
        if known_ms is not None and timestamp_ms <= known_ms:
            return Outcome.UNCHANGED
        self.clocks[partition] = timestamp_ms
        return Outcome.ACCEPTED

    def note_rejection(self, partition: Partition, outcome: Outcome, parameters: ClockParameters, now_ms: int) -> None:
        """Record that the reporter itself rejected a timestamp."""
        if partition in self.clocks:
            if outcome in REJECTIONS:
                self.rejected[partition] = outcome
        elif outcome is Outcome.FOREIGN_TOPIC:
            self._is_foreign(partition, parameters, now_ms)

    def reject_group(self, group: str, partitions: Iterable[Partition], now_ms: int) -> None:
        """Record that a report of another group was rejected. It is shown only where the own group does not report.

        Otherwise it would replace the result of the own group's reports again and again.
        """
        self.foreign = replace(self.foreign, group=_printable(group), group_ms=now_ms)
        for partition in partitions:
            reported_ms = self.reported.get(partition)
            if partition in self.clocks and (reported_ms is None or now_ms - reported_ms > SILENT_MS):
                self.rejected[partition] = Outcome.FOREIGN_GROUP

    def _is_foreign(self, partition: Partition, parameters: ClockParameters, now_ms: int) -> bool:
        if partition.topic in parameters.topics:
            return False
        self.foreign = replace(self.foreign, topic=_printable(partition.topic), topic_ms=now_ms)
        return True

    def replace_roster(self, token: str, roster: Roster, generation: int) -> None:
        """Replace the roster. Reported timestamps are kept if the topic's id and the clock's group are unchanged.

        After a failover, the group may be from before the leader's term. It counts only if the leader has written it.
        """
        group = None if self.parameters is None else self.parameters.group
        same = {
            topic
            for topic, metadata in self.topics.items()
            if self.claimed_by == token
            and group == self.roster_group
            and roster.topics.get(topic, ("", 0))[0] == metadata.id
        }
        self.accepted_from_ms = self._accepted_from(roster)
        kept = {partition: raw_ms for partition, raw_ms in self.clocks.items() if partition.topic in same}
        self.clocks = {partition: kept.get(partition) for partition in roster.partitions()}
        self.reported = {p: ms for p, ms in self.reported.items() if p in self.clocks and p in kept}
        self.rejected = {p: outcome for p, outcome in self.rejected.items() if p in self.clocks and p in kept}
        self.excluded = frozenset(roster.present_exclusions())
        self.topics = dict(roster.topics)
        self.generation, self.roster_group = generation, group

    def _accepted_from(self, roster: Roster) -> dict[str, int]:
        accepted_from = {topic: from_ms for topic, from_ms in self.accepted_from_ms.items() if topic in roster.topics}
        for topic, metadata in self.topics.items():
            numbers = [raw_ms for one, raw_ms in self.clocks.items() if one.topic == topic and raw_ms is not None]
            if self.parameters is not None and numbers and roster.topics.get(topic, metadata).id != metadata.id:
                accepted_from[topic] = boundary.next_threshold(
                    max(numbers), self.parameters.out_of_orderness_ms, self.parameters.interval_ms
                )
        return accepted_from

    def submit(self, request: Request, now_ms: int) -> bool:
        """Store a request for the leader. True if it is stored, or if it has a result already."""
        self.requests = {id: one for id, one in self.requests.items() if now_ms < one.expires_ms + REQUEST_RETENTION_MS}
        self.handed_out &= set(self.requests)
        if request.id in self.requests or self.result(request.id, now_ms) is not None:
            return True
        if request.expires_ms <= now_ms or len(self.requests) >= MAX_PENDING_REQUESTS:
            return False
        self.requests[request.id] = request
        return True

    def hand_out(self, now_ms: int) -> tuple[Request, ...]:
        """Return the requests for a leader. After this call, they can't be cancelled."""
        found = [one for id, one in self.requests.items() if id in self.handed_out or now_ms < one.expires_ms]
        self.handed_out.update(one.id for one in found)
        return tuple(sort_requests(found))

    def cancel(self, request_id: str) -> bool:
        """Drop a request unless a leader has read it. True if the request was dropped."""
        return request_id not in self.handed_out and self.requests.pop(request_id, None) is not None

    def write_result(self, request_id: str, result: RequestResult, expires_ms: int) -> None:
        """Replace a request by its result."""
        self.requests.pop(request_id, None)
        self.handed_out.discard(request_id)
        self.results[request_id] = result, expires_ms

    def result(self, request_id: str, now_ms: int) -> RequestResult | None:
        """Return the result of a request, unless it has expired."""
        self.results = {id: one for id, one in self.results.items() if now_ms < one[1]}
        found = self.results.get(request_id)
        return None if found is None else found[0]

    def counters(self, now_ms: int) -> Counters:
        """Return all counters."""
        return Counters(
            reports=dict(self.reports),
            heartbeats=dict(self.heartbeats),
            late_records=self.late_records,
            heartbeat_success_ms=self.heartbeat_success_ms,
            tasks={dispatcher: dict(handled) for dispatcher, handled in self.tasks.items()},
            dispatcher_checkpoints_ms={
                dispatcher: at_ms for dispatcher, (at_ms, end_ms) in self.dispatchers.items() if now_ms < end_ms
            },
            task_duplicates=self.task_duplicates,
        )

    def record_checkpoint(self, dispatcher: str, at_ms: int, now_ms: int, expires_ms: int) -> None:
        """Record a dispatcher's checkpoint, and drop expired ones."""
        self.dispatchers = {name: one for name, one in self.dispatchers.items() if now_ms < one[1]}
        self.dispatchers[dispatcher] = max(at_ms, self.dispatchers.get(dispatcher, (at_ms, 0))[0]), expires_ms

    def remember_finished(self, task_id: str, expires_ms: int, now_ms: int, most: int) -> None:
        """Remember a finished task. Drop expired tasks; if there are more than `most`, drop those that expire first."""
        self.finished[task_id] = expires_ms
        kept = sorted((one for one in self.finished.items() if now_ms < one[1]), key=lambda one: (one[1], one[0]))
        self.finished = dict(kept[-most:])

    def begin(self, base_ms: int | None, *, restoring: bool) -> None:
        """Begin an empty stream."""
        self.ticks, self.staged = [], None
        self.base_ms, self.restoring, self.written = base_ms, restoring, True

    def finish_restoring(self) -> bool:
        """Replace the stream by the staged ticks. False, without effect, if they do not end where the stream ends."""
        if self.staged is None or (self.staged and self.staged[-1].at_ms != self.chain_end_ms()):
            return False
        self.ticks, self.staged, self.restoring = self.staged or self.ticks, None, False
        return True

    def stage(self, ticks: Sequence[Tick], *, first: bool) -> None:
        """Append older ticks to the staged ticks. `first` discards earlier ones."""
        staged = None if first else self.staged
        self.staged = [*(staged or ()), *ticks]

    def trim(self, emitted_before_ms: int) -> None:
        """Drop the oldest ticks, up to the first one that was emitted at or after a time. The last tick is kept."""
        recent = (i for i, tick in enumerate(self.ticks) if tick.emitted_at_ms >= emitted_before_ms)
        del self.ticks[: next(recent, max(0, len(self.ticks) - 1))]


def _printable(name: str) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in name.encode()[:_LONGEST_NAME])
