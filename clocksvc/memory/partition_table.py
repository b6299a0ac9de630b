"""What the in-memory store holds, and questions about it. Knows neither threads nor time: a moment is an argument."""

from collections import Counter
from dataclasses import dataclass, field

from clocksvc.clock import boundary
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import REJECTIONS, Outcome, Partition, PartitionTimestamp, rejection_reason
from clocksvc.clock.replica import Replica
from clocksvc.clock.request import Request, RequestResult, sort_requests
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.store import (
    MAX_PENDING_REQUESTS,
    REQUEST_RETENTION_MS,
    ClockParameters,
    Counters,
    PartitionClock,
    StoreIdentity,
    TaskCounterKey,
)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads, and until when by the store's clock."""

    token: str
    holder: str
    expires_ms: int


@dataclass(slots=True)
class State:
    """Everything that a store can lose. `clocks` has every partition, excluded ones too; None is unknown.
    `announcements_complete_since_ms` None: announcements were lost, and none has come since.
    `taken`: requests that were handed to a leader.
    `anew`: topics made anew, and from when on readings of their unknown partitions count.
    `dispatchers`: the checkpoint of each, and when it expires. `finished`: when the record of each task expires."""

    lease: Lease | None = None
    replicas: dict[str, tuple[Replica, int]] = field(default_factory=dict)
    announcements_complete_since_ms: int | None = None
    identity: StoreIdentity | None = None
    parameters: ClockParameters | None = None
    started_ms: int | None = None
    topics: dict[str, TopicMetadata] = field(default_factory=dict)
    anew: dict[str, int] = field(default_factory=dict)
    generation: int | None = None
    clocks: dict[Partition, int | None] = field(default_factory=dict)
    excluded: frozenset[Partition] = frozenset()
    reported: dict[Partition, int] = field(default_factory=dict)
    refused: dict[Partition, Outcome] = field(default_factory=dict)
    unknown_seen_ms: int = 0
    boundary_crossed_at_ms: int | None = None
    woken: bool = False
    ticks: list[Tick] = field(default_factory=list)
    base_ms: int | None = None
    leader_status: tuple[str, int] | None = None
    reports: Counter[str] = field(default_factory=Counter)
    heartbeats: Counter[str] = field(default_factory=Counter)
    late_records: int = 0
    heartbeat_success_ms: int | None = None
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None
    requests: dict[str, Request] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    answers: dict[str, tuple[RequestResult, int]] = field(default_factory=dict)
    tasks: dict[str, Counter[TaskCounterKey]] = field(default_factory=dict)
    dispatchers: dict[str, tuple[int, int]] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)
    task_duplicates: int = 0

    def leader(self, now_ms: int) -> Lease | None:
        """The lease, while it lasts."""
        return self.lease if self.lease is not None and now_ms < self.lease.expires_ms else None

    def digests(self, now_ms: int) -> frozenset[str]:
        """Of the replicas alive."""
        return frozenset(replica.digest for replica in self.alive(now_ms))

    def alive(self, now_ms: int) -> list[Replica]:
        """The replicas alive."""
        return [replica for replica, expires_ms in self.replicas.values() if now_ms < expires_ms]

    def required(self) -> list[tuple[Partition, int | None]]:
        """The roster, lowest first, unknown before all; equals in the order of their text, as Redis has them."""
        members = [(p, raw_ms) for p, raw_ms in self.clocks.items() if p not in self.excluded]
        return sorted(members, key=lambda member: (-1 if member[1] is None else member[1], str(member[0])))

    def lowest_ms(self) -> int | None:
        """The lowest raw timestamp on the roster; None while a partition is unknown or the roster is empty."""
        known = []
        for partition, raw_ms in self.clocks.items():
            if partition in self.excluded:
                continue
            if raw_ms is None:
                return None
            known.append(raw_ms)
        return min(known, default=None)

    def last_tick_ms(self) -> int | None:
        """The global clock: the last tick that there is."""
        return self.ticks[-1].at_ms if self.ticks else None

    def chain_end_ms(self) -> int | None:
        """What the next tick must name: the last one, or what `rebuild` said where there is none."""
        return self.ticks[-1].at_ms if self.ticks else self.base_ms

    def boundary_waits(self) -> bool:
        """Whether the minimum has reached a boundary that is not in the stream."""
        lowest_ms = self.lowest_ms()
        if lowest_ms is None or self.parameters is None:
            return False
        reached_ms = boundary.reached(lowest_ms, self.parameters.out_of_orderness_ms, self.parameters.interval_ms)
        return reached_ms > (self.chain_end_ms() or 0)

    def clock_of(self, partition: Partition) -> PartitionClock:
        """One line of the list of partitions."""
        raw_ms = self.clocks[partition]
        return PartitionClock(
            partition,
            raw_ms,
            None if raw_ms is None else self.reported.get(partition),
            partition in self.excluded,
            self.refused.get(partition),
        )

    def receive(self, reading: PartitionTimestamp, parameters: ClockParameters, now_ms: int) -> Outcome:
        """Keep one reading if it counts; what became of it."""
        partition, timestamp_ms = reading
        if partition not in self.clocks:
            return Outcome.UNKNOWN
        refused = rejection_reason(timestamp_ms, now_ms, parameters.max_future_ms)
        if refused is not None:
            self.refused[partition] = refused
            return refused
        self.refused.pop(partition, None)
        self.reported[partition] = now_ms
        known_ms = self.clocks[partition]
        if known_ms is None and timestamp_ms < self.anew.get(partition.topic, 0):
            return Outcome.UNCHANGED
        if known_ms is not None and timestamp_ms <= known_ms:
            return Outcome.UNCHANGED
        self.clocks[partition] = timestamp_ms
        return Outcome.ACCEPTED

    def note_refusal(self, partition: Partition, outcome: Outcome) -> None:
        """Show a refusal that was decided elsewhere."""
        if partition in self.clocks and outcome in REJECTIONS:
            self.refused[partition] = outcome

    def replace_roster(self, roster: Roster, generation: int) -> None:
        """Put a roster in the present one's place; what was reported stays where the topic is still the same one."""
        same = {topic for topic, shape in self.topics.items() if roster.topics.get(topic, ("", 0))[0] == shape.id}
        self.anew = self._anew(roster)
        kept = {partition: raw_ms for partition, raw_ms in self.clocks.items() if partition.topic in same}
        self.clocks = {partition: kept.get(partition) for partition in roster.partitions()}
        self.reported = {p: ms for p, ms in self.reported.items() if p in self.clocks and p in kept}
        self.refused = {p: outcome for p, outcome in self.refused.items() if p in self.clocks and p in kept}
        self.excluded = frozenset(roster.present_exclusions())
        self.topics = dict(roster.topics)
        self.generation = generation

    def _anew(self, roster: Roster) -> dict[str, int]:
        anew = {topic: from_ms for topic, from_ms in self.anew.items() if topic in roster.topics}
        for topic, shape in self.topics.items():
            numbers = [raw_ms for one, raw_ms in self.clocks.items() if one.topic == topic and raw_ms is not None]
            if self.parameters is not None and numbers and roster.topics.get(topic, shape).id != shape.id:
                anew[topic] = boundary.next_threshold(
                    max(numbers), self.parameters.out_of_orderness_ms, self.parameters.interval_ms
                )
        return anew

    def leave(self, request: Request, now_ms: int) -> bool:
        """Keep a request for the leader; whether it is kept, or was before."""
        self.requests = {id: one for id, one in self.requests.items() if now_ms < one.expires_ms + REQUEST_RETENTION_MS}
        self.taken &= set(self.requests)
        if request.id in self.requests or self.answer(request.id, now_ms) is not None:
            return True
        if request.expires_ms <= now_ms or len(self.requests) >= MAX_PENDING_REQUESTS:
            return False
        self.requests[request.id] = request
        return True

    def hand_out(self, now_ms: int) -> tuple[Request, ...]:
        """The requests that a leader may see now; from now on they are taken."""
        found = [one for id, one in self.requests.items() if id in self.taken or now_ms < one.expires_ms]
        self.taken.update(one.id for one in found)
        return tuple(sort_requests(found))

    def withdraw(self, request_id: str) -> bool:
        """Drop a request that no leader has seen; whether there was one."""
        return request_id not in self.taken and self.requests.pop(request_id, None) is not None

    def answer_request(self, request_id: str, answer: RequestResult, expires_ms: int) -> None:
        """Put an answer in a request's place."""
        self.requests.pop(request_id, None)
        self.taken.discard(request_id)
        self.answers[request_id] = answer, expires_ms

    def answer(self, request_id: str, now_ms: int) -> RequestResult | None:
        """The answer to a request, while it is kept."""
        self.answers = {id: one for id, one in self.answers.items() if now_ms < one[1]}
        found = self.answers.get(request_id)
        return None if found is None else found[0]

    def counters(self, now_ms: int) -> Counters:
        """All that is counted."""
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
        """Store a dispatcher's checkpoint, and delete expired ones."""
        self.dispatchers = {name: one for name, one in self.dispatchers.items() if now_ms < one[1]}
        self.dispatchers[dispatcher] = max(at_ms, self.dispatchers.get(dispatcher, (at_ms, 0))[0]), expires_ms

    def remember(self, task_id: str, expires_ms: int, now_ms: int, most: int) -> None:
        """Note a finished task, and forget what is too old or too much."""
        self.finished[task_id] = expires_ms
        kept = sorted((one for one in self.finished.items() if now_ms < one[1]), key=lambda one: (one[1], one[0]))
        self.finished = dict(kept[-most:])

    def trim(self, emitted_before_ms: int) -> None:
        """Drop ticks that were emitted earlier, from the oldest on; the last one stays."""
        recent = (i for i, tick in enumerate(self.ticks) if tick.emitted_at_ms >= emitted_before_ms)
        del self.ticks[: next(recent, max(0, len(self.ticks) - 1))]
