"""One round of a log's leader: all clocks of the log, in one transaction.

The order of the steps matters. A round reads the progress of all clocks, and finds the due boundaries. Then it reads
the metadata again: if they were read before the progress, a new partition could be missed. Rosters that grew, other
changes of a clock's state, and ticks are committed in one transaction. Only what is confirmed goes to the store: if a
tick were published before its commit, it could be lost; if a roster were written before its commit, the next leader
could forget a partition.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from clocksvc.clock import boundary
from clocksvc.clock.due_ticks import make_ticks, share_ticks
from clocksvc.clock.holds import Hold, HoldInputs, Reason
from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.log_record import Record
from clocksvc.clock.log_state import SNAPSHOT_EVERY
from clocksvc.clock.roster import Roster, TopicMetadata, add_former_ids, merge_metadata, merge_topics
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ChainBroken, StoreMismatch, UnreadableRecord
from clocksvc.interfaces.leases import ProgressReading, RoundReading
from clocksvc.interfaces.progress import StoreIdentity
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader.context import LeaderDependencies, LeaderObserver
from clocksvc.leader.evaluation import IDLE_S, Evaluation, Moment, NameLimit, evaluate_clock
from clocksvc.leader.lease import LEASE_MS, RENEW_EVERY_S
from clocksvc.leader.parameters import resolve_parameters
from clocksvc.leader.recovery import append_snapshot, compare_stream
from clocksvc.leader.requests import RequestBatch, apply_requests, fail_requests, write_results
from clocksvc.leader.restoring import Restoration
from clocksvc.leader.term import Change, ClockTerm, Term

logger = logging.getLogger("clocksvc.leader")

METADATA_EVERY_S = 30.0
METADATA_EVERY_WHILE_IDLE_S = 3.0
"""The interval after `hold_after` without a tick. Kafka may be out of reach, and the hold must show this soon."""
METADATA_AT_MOST_EVERY_S = 1.0
PARAMETERS_EVERY_S = 30.0
"""How often the topics' timestamp types are read, at any interval of the clock."""
CREATE_TIME_STAYS_MS = 60_000
"""How long a report of a CreateTime record counts after the brokers name the type LogAppendTime again."""
PREPARED_PER_ROUND = 20
"""How many clocks are prepared in one round. Each takes about six requests to the store, and a round must be short."""
PREPARE_S = 0.5
"""How long a round prepares clocks: at least one. When a process starts, all of its logs prepare clocks at the same
time, which can take long on a slow machine."""
_CLOCK_STEP_MS = 20
"""By how much the clocks of store and leader may differ between two renewals of the lease: a step of NTP, or drift."""
_SNAPSHOT_AFTER = SNAPSHOT_EVERY - 600
"""A snapshot is due after this number of records. A round has at most 500 ticks, and some control records."""


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The result of a round.

    Attributes:
        wait_s: the seconds until the next round, unless the store notifies the leader earlier.
        holds: the hold of each clock that was evaluated, if it is visible to readers; None for a clock that ticks, or
            whose hold is not visible.
        due_ticks: how many ticks of each evaluated clock are still due after the round; None if this is not known.
        ticked: True if the round has emitted ticks.
        prepared: the clocks whose part of the store was written again. It may have lost the leader's status, too.
        reading: what the round read.
    """

    wait_s: float
    holds: Mapping[str, Hold | None]
    due_ticks: Mapping[str, int | None]
    ticked: bool
    prepared: frozenset[str]
    reading: RoundReading


@dataclass(slots=True)
class _Work:
    """What a round does with one clock.

    Attributes:
        progress: what was read of the clock; None if the store has lost it.
        inputs, due: the evaluation and the due boundaries of a clock that ticks in this round.
        evaluated: True if the clock was evaluated, with or without due boundaries.
        wants_metadata: True if the round must read the metadata of the clock's topics, also without due boundaries.
        roster: the merged roster, once metadata are read.
        batch: the requests that the round handles.
        control: the control record that changes the clock's state.
    """

    clock: ClockTerm
    progress: ProgressReading | None
    inputs: HoldInputs | None = None
    due: range = range(0)
    evaluated: bool = False
    wants_metadata: bool = False
    roster: Roster | None = None
    batch: RequestBatch | None = None
    control: Record | None = None

    def only_evaluated(self) -> bool:
        """True if there is nothing to commit or to write."""
        return self.evaluated and not self.due and self.roster is None


class Round:
    """One round.

    Args:
        renewed_at: monotonic time before the last renewal of the lease, apart from those of rounds.
    """

    def __init__(
        self,
        parts: LeaderDependencies,
        term: Term,
        restoration: Restoration,
        observer: LeaderObserver,
        started_ms: int,
        keep_alive: KeepAlive,
        renewed_at: float = float("-inf"),
    ) -> None:
        self._parts, self._term, self._restoration = parts, term, restoration
        self._observer, self._started_ms, self._keep_alive = observer, started_ms, keep_alive
        began_at = parts.time.monotonic()
        self._reading = parts.leases.read_round(term.token, LEASE_MS, tuple(term.clocks))
        monotonic = parts.time.monotonic()
        if self._has_lost_renewal(monotonic - max(renewed_at, term.read_at)):
            logger.warning("store went back to an older state", extra={"log": parts.log})
            term.went_back_at = monotonic
        term.read_at = began_at
        name_limit = NameLimit.of(len(term.clocks))
        self._moment = Moment(self._reading, parts.time.now_ms(), monotonic, started_ms, name_limit, term.went_back_at)
        self._holds: dict[str, Hold | None] = {}
        self._due_ticks: dict[str, int | None] = {}
        self._prepared: set[str] = set()
        self._preparing = 0
        self._prepare_until: float | None = None
        self._renewed_at = self._moment.monotonic
        self._ticked = False
        self._wait_s = IDLE_S

    def run(self) -> RoundResult:
        """Do the round. Blocks for as long as store, tick log and topics do.

        Raises:
            ClocksvcError: as store, tick log and topics raise it. The next round, or the next leader, continues safely.
        """
        self._write_mark()
        self._refresh_timestamp_types()
        works = [work for name, clock in self._term.clocks.items() if (work := self._plan(name, clock)) is not None]
        self._refresh_metadata(works)
        for work in works:
            if work.roster is not None:
                self._adopt_metadata(work, work.roster)
        self._commit([work for work in works if not work.only_evaluated()])
        if self._term.log.since_snapshot >= _SNAPSHOT_AFTER and self._moment.monotonic >= self._term.snapshots.retry_at:
            append_snapshot(self._parts, self._term, self._keep_alive)
        if self._restoration.is_due(self._moment.monotonic):
            self._restoration.advance(self._parts, self._term, self._keep_alive)
            self._wait_s = 0.0
        self._check_usable()
        return RoundResult(
            self._wait_s, self._holds, self._due_ticks, self._ticked, frozenset(self._prepared), self._reading
        )

    def _has_lost_renewal(self, age_s: float) -> bool:
        """True if the store does not have the last renewal of the lease, which is at most `age_s` old."""
        return self._reading.lease_left_ms < LEASE_MS - age_s * 1000 - _CLOCK_STEP_MS

    def _write_mark(self) -> None:
        """Mark the store for this log before the log's content goes to the store, and whenever it has lost the mark."""
        mark = StoreMark(self._term.owner.store_id)
        if self._reading.mark != mark:
            self._parts.leases.write_mark(self._term.token, mark)

    # -- what is to be done -----------------------------------------------------------------------------------------

    def _plan(self, name: str, clock: ClockTerm) -> _Work | None:
        """Decide what the round does with a clock; None if there is nothing to do."""
        progress = self._reading.progress.get(name)
        work = _Work(clock, progress)
        hold = clock.unreadable or clock.trouble.hold
        if hold is not None and (clock.unreadable is not None or self._moment.monotonic < clock.trouble.retry_at):
            self._holds[name] = hold
            if clock.unreadable is not None or progress is None or not (clock.trouble.rejected and progress.requests):
                return None
            work.batch = fail_requests(clock, progress.requests, hold.detail)
            return work
        if progress is None or not _is_prepared(clock, progress):
            clock.prepared, work.wants_metadata = False, True
            self._preparing += 1
            if self._preparing > PREPARED_PER_ROUND:
                self._wait_s = 0.0
                return None
        elif clock.truncated is not None and not clock.state.truncated:
            work.control = Record(name, replace(clock.state, truncated=True))
        elif progress.requests:
            work.batch = apply_requests(clock, progress.requests, self._reading.now_ms, self._moment.leader_now_ms)
            if work.batch.accepted:
                work.control = work.batch.record(name)
        elif self._parameters_outdated(clock, progress):
            with self._isolated(clock):
                self._write_parameters(clock, progress)
        else:
            if progress.restoring and clock.truncated is None and not self._restoration.includes(name):
                # The store failed over to a state from before the end of a restoration.
                self._restoration.add(name)
            work.wants_metadata = self._metadata_age_s(clock) >= self._metadata_every_s(clock, progress)
            self._evaluate(work, progress)
            return work
        self._wait_s = 0.0
        return work

    def _evaluate(self, work: _Work, progress: ProgressReading) -> None:
        clock, work.evaluated = work.clock, True
        evaluation = evaluate_clock(clock, progress, self._moment, self._parts.leases)
        self._wait_s = min(self._wait_s, evaluation.wait_s)
        self._due_ticks[clock.spec.name] = evaluation.due_ticks
        clock.announced = evaluation.begins_catch_up or (clock.announced and evaluation.due_ticks not in (0, 1))
        if evaluation.begins_catch_up:
            _log_catch_up(clock, evaluation)
        if evaluation.due:
            work.inputs, work.due = evaluation.inputs, evaluation.due
        else:
            self._holds[clock.spec.name] = evaluation.hold

    # -- metadata and parameters ------------------------------------------------------------------------------------

    def _metadata_age_s(self, clock: ClockTerm) -> float:
        return self._moment.monotonic - clock.metadata_at

    def _metadata_every_s(self, clock: ClockTerm, progress: ProgressReading) -> float:
        """Return the age at which metadata of a clock are read again, if no tick needs them earlier."""
        wanted = bool(clock.roster.missing or clock.undescribed or clock.without_id)
        if wanted or progress.unknown_seen_ms > clock.metadata_wanted_ms:
            return METADATA_AT_MOST_EVERY_S
        idle = (self._moment.monotonic - clock.idle_since) * 1000 >= clock.spec.effective_hold_after_ms
        return METADATA_EVERY_WHILE_IDLE_S if idle else METADATA_EVERY_S

    def _refresh_metadata(self, works: list[_Work]) -> None:
        """Read the metadata of all topics that the round needs, in one request, and merge them into rosters.

        If the metadata of one clock are due because of their age, those of all clocks whose metadata have half of their
        age are read, too. So one request is enough for all clocks of the log.
        """
        asking = [work for work in works if work.due or work.wants_metadata]
        if any(work.wants_metadata for work in asking):
            asking += [work for work in works if not (work.due or work.wants_metadata) and self._is_due_soon(work)]
        if not asking:
            return
        began_at = self._parts.time.monotonic()
        metadata = self._parts.topics.describe(sorted({topic for work in asking for topic in work.clock.spec.topics}))
        self._term.cluster_id = metadata.cluster_id
        self._keep_alive()
        for work in asking:
            clock, before = work.clock, (work.clock.undescribed, work.clock.without_id)
            clock.metadata_at = began_at
            if work.progress is not None:
                clock.metadata_wanted_ms = work.progress.unknown_seen_ms
            work.roster = self._merge(work, metadata)
            if before != (clock.undescribed, clock.without_id):
                self._wait_s = 0.0  # the clock was evaluated before

    def _is_due_soon(self, work: _Work) -> bool:
        if not work.evaluated or work.progress is None:
            return False
        return self._metadata_age_s(work.clock) >= self._metadata_every_s(work.clock, work.progress) / 2

    def _merge(self, work: _Work, metadata: ClusterMetadata) -> Roster:
        clock, topics = work.clock, work.clock.spec.topics
        clock.undescribed = {topic: metadata.failures[topic] for topic in topics if topic in metadata.failures}
        listed = {topic: metadata.topics[topic] for topic in topics if topic in metadata.topics}
        clock.without_id = ()
        if clock.spec.require_topic_ids:
            clock.without_id = tuple(topic for topic, found in sorted(listed.items()) if not found.id)
            listed = {topic: found for topic, found in listed.items() if found.id}
        else:
            # Brokers with and without ids may answer in turn.
            listed = {topic: TopicMetadata("", found.partitions) for topic, found in listed.items()}
        former = clock.state.former_topic_ids
        listed = {topic: found for topic, found in listed.items() if found.id not in former.get(topic, ())}
        stored = {} if clock.prepared else clock.store.roster_topics()
        remembered = merge_topics(clock.state.topics, stored)
        return merge_metadata(remembered, listed, topics, clock.state.excluded())

    def _adopt_metadata(self, work: _Work, roster: Roster) -> None:
        """Commit a roster or a group that differs from the last record before it goes to the store. Drop due ticks."""
        clock = work.clock
        if roster != clock.roster:
            work.due = range(0)
        if clock.state.topics != roster.topics or clock.state.group != clock.spec.reporting_group:
            state = replace(
                clock.state,
                topics=dict(roster.topics),
                former_topic_ids=add_former_ids(clock.state.former_topic_ids, clock.state.topics, roster.topics),
                group=clock.spec.reporting_group,
            )
            work.control, work.due, self._wait_s = Record(clock.spec.name, state), range(0), 0.0

    def _refresh_timestamp_types(self) -> None:
        """Read the timestamp types of all topics that need them, in one request, if they are due.

        Raises:
            MetadataUnavailable: Kafka does not answer.
        """
        term, now = self._term, self._moment.monotonic
        if now - term.types_at < PARAMETERS_EVERY_S:
            return
        specs = [clock.spec for clock in term.clocks.values()]
        topics = {topic for spec in specs if spec.max_out_of_orderness_ms is None for topic in spec.topics}
        term.types = self._parts.topics.timestamp_types(sorted(topics)) if topics else {}
        term.types_at = now
        self._keep_alive()

    def _parameters_outdated(self, clock: ClockTerm, progress: ProgressReading) -> bool:
        """True if the clock's parameters differ from those in the store, or the store was claimed for another cluster.

        The store can fail over to a state with an earlier out-of-orderness. The other parameters don't change in a
        term.
        """
        known, seen = clock.parameters, self._create_time_seen(progress)
        if known is None or progress.out_of_orderness_ms != known.out_of_orderness_ms:
            return True
        if self._term.cluster_id != clock.cluster_id or (seen and not clock.create_time_seen):
            return True
        if clock.types_at == self._term.types_at:
            return False
        clock.types_at = self._term.types_at
        return resolve_parameters(clock.spec, self._term.types, create_time_seen=seen) != known

    def _write_parameters(self, clock: ClockTerm, progress: ProgressReading | None) -> None:
        """Write the clock's parameters to the store.

        Raises:
            StoreMismatch: the store belongs to another cluster or format.
        """
        term, seen = self._term, self._create_time_seen(progress)
        parameters = resolve_parameters(clock.spec, term.types, create_time_seen=seen)
        clock.store.claim(term.token, StoreIdentity(term.cluster_id), parameters, self._started_ms)
        clock.parameters, clock.create_time_seen = parameters, seen
        clock.types_at, clock.cluster_id = term.types_at, term.cluster_id

    def _create_time_seen(self, progress: ProgressReading | None) -> bool:
        """True if consumers have reported CreateTime records recently."""
        seen_ms = 0 if progress is None else progress.create_time_seen_ms
        return seen_ms > 0 and self._reading.now_ms - seen_ms <= CREATE_TIME_STAYS_MS

    @contextmanager
    def _isolated(self, clock: ClockTerm) -> Iterator[None]:
        """Keep an error of one clock from the other clocks."""
        try:
            yield
        except StoreMismatch as error:
            detail = (
                f"{error}: give this installation its own redis.url or redis.prefix. If these Redis keys are left "
                "over, for example from before Kafka was recreated, delete them"
            )
            clock.trouble.fail(Hold(Reason.STORE_MISMATCH, detail=detail), self._moment.monotonic)
            clock.prepared = False
        except ChainBroken as error:
            logger.warning("store's stream has changed", extra={"clock": clock.spec.name, "detail": str(error)})
            clock.prepared, self._wait_s = False, 0.0

    def _check_usable(self) -> None:
        """Raise an error if this process can use no clock of the log, because another replica may be able to.

        Raises:
            StoreMismatch: no clock's store belongs to this Kafka cluster.
            UnreadableRecord: this version can read no clock's last record.
        """
        clocks = self._term.clocks.values()
        unreadable = [clock.unreadable.detail for clock in clocks if clock.unreadable is not None]
        if len(unreadable) == len(clocks):
            raise UnreadableRecord(unreadable[0])
        holds = [clock.trouble.hold for clock in clocks if clock.unreadable is None]
        mismatches = [hold for hold in holds if hold is not None and hold.reason is Reason.STORE_MISMATCH]
        if len(mismatches) == len(holds):
            raise StoreMismatch(mismatches[0].detail)

    # -- the transaction and what follows it --------------------------------------------------------------------------

    def _commit(self, works: list[_Work]) -> None:
        """Commit control records and ticks in one transaction, then write what is confirmed to the store.

        Clocks whose records were rejected before are committed after the others, each in a transaction of its own:
        brokers can reject all records of a batch because of one of them.
        """
        shares = share_ticks({work.clock.spec.name: work.due for work in works if work.due})
        suspects = [work for work in works if work.clock.trouble.rejected]
        others = [work for work in works if not work.clock.trouble.rejected]
        for number, group in enumerate((others, *([work] for work in suspects))):
            # Clocks with few ticks are published before those that catch up, and these before clocks are prepared.
            group.sort(key=lambda work: (not work.clock.prepared, len(work.due)))
            made = [(work, self._change(work, shares)) for work in group]
            changes = [change for _, change in made if change is not None]
            if changes and number == 0 and self._snapshot_due_after(changes):
                append_snapshot(self._parts, self._term, self._keep_alive, changes)
            elif changes:
                self._term.commit(self._parts.ticklog, changes, self._keep_alive)
            published = self._publish(changes)
            for work, committed in made:
                self._renew_lease()
                with self._isolated(work.clock):
                    self._write(work, committed, published.get(work.clock.spec.name))

    def _publish(self, changes: list[Change]) -> Mapping[str, int | ChainBroken]:
        """Publish the confirmed ticks of all clocks, with one request."""
        ticks = {change.clock: change.ticks for change in changes if change.ticks}
        if not ticks:
            return {}
        recent_ticks_ms = {name: self._parts.specs[name].recent_ticks_ms for name in ticks}
        return self._parts.leases.publish(self._term.token, ticks, recent_ticks_ms)

    def _snapshot_due_after(self, changes: Sequence[Change]) -> bool:
        """True if a snapshot is due after changes. It costs less in their transaction than in one of its own.

        If brokers have rejected the last one, the next one is tried alone.
        """
        count = self._term.log.since_snapshot + sum(len(change.messages) for change in changes)
        snapshots = self._term.snapshots
        return count >= _SNAPSHOT_AFTER and not snapshots.rejected and self._moment.monotonic >= snapshots.retry_at

    def _change(self, work: _Work, shares: Mapping[str, range]) -> Change | None:
        if work.control is not None:
            return Change.of_record(work.control)
        name = work.clock.spec.name
        if work.inputs is None or not shares.get(name):
            return None
        ticks = make_ticks(name, work.inputs, shares[name], self._moment.leader_now_ms)
        return Change.of_ticks(ticks, work.inputs.state)

    def _write(self, work: _Work, committed: Change | None, published: int | ChainBroken | None) -> None:
        """Write the confirmed changes of one clock to the store. `published` is the result for its ticks, if any."""
        clock, token = work.clock, self._term.token
        if isinstance(published, ChainBroken):
            raise published
        if work.batch is not None:
            if work.batch.sets_first_tick:
                clock.truncated, clock.prepared = None, False
            if work.batch.accepted:
                self._write_roster(clock, replace(clock.roster, excluded=clock.state.excluded()))
            write_results(clock, token, work.batch)
        if not clock.prepared and work.roster is not None:
            if self._may_prepare():
                self._prepare(work, work.roster)
        elif work.roster is not None and work.roster != clock.roster:
            self._write_roster(clock, work.roster)
        ticks = () if committed is None else committed.ticks
        if work.due and not ticks:
            self._wait_s = 0.0  # the limit of the round was reached
        if ticks:
            self._ticked = True
            clock.idle_since = self._parts.time.monotonic()
            clock.use_pace(len(ticks), self._moment.monotonic)
            self._due_ticks[clock.spec.name] = left = (self._due_ticks[clock.spec.name] or 0) - len(ticks)
            if left > 0:
                self._wait_s = 0.0
            crossed_ms = None if work.progress is None or clock.was_blocked else work.progress.boundary_crossed_at_ms
            clock.was_blocked = False
            latency_s = None if crossed_ms is None or published is None else max(0, published - crossed_ms) / 1000
            self._observer.ticked(clock.spec.name, len(ticks), latency_s)
            self._holds[clock.spec.name] = None
        if clock.prepared:
            clock.trouble.end(committed=committed is not None)

    def _renew_lease(self) -> None:
        """Renew the lease if it was not renewed for a while: a slow store can take seconds for many clocks."""
        now = self._parts.time.monotonic()
        if now - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = now
            self._keep_alive()

    def _may_prepare(self) -> bool:
        """True if the round has time for another clock."""
        now = self._parts.time.monotonic()
        if self._prepare_until is None:
            self._prepare_until = now + PREPARE_S
        return now < self._prepare_until

    def _prepare(self, work: _Work, roster: Roster) -> None:
        """Write a clock's parameters and roster, and make its stream agree with the log."""
        clock = work.clock
        self._write_parameters(clock, work.progress)
        self._write_roster(clock, roster)
        if compare_stream(self._term, clock):
            self._restoration.add(clock.spec.name)
        else:
            self._restoration.drop(clock.spec.name)
        clock.prepared = True
        self._prepared.add(clock.spec.name)

    def _write_roster(self, clock: ClockTerm, roster: Roster) -> None:
        """Write the complete roster to the store with a new generation, and with exclusions and pause."""
        if roster != clock.roster:
            topics = {topic: metadata.partitions for topic, metadata in roster.topics.items()}
            extra = {"clock": clock.spec.name, "topics": topics, "missing": list(roster.missing)}
            logger.info("roster changed", extra=extra)
        generation, state = int(self._parts.new_id()[:12], 16), clock.state
        clock.generation, clock.roster = generation, roster
        clock.store.write_roster(self._term.token, roster, generation, state.exclusions, state.pause)
        self._wait_s = 0.0


def _log_catch_up(clock: ClockTerm, evaluation: Evaluation) -> None:
    inputs, pace, due_ticks = evaluation.inputs, clock.spec.catch_up_pace, evaluation.due_ticks or 0
    logger.warning(
        "clock %s catches up: %s ticks are due, from %s to %s, %s",
        clock.spec.name,
        f"{due_ticks:,}",
        to_rfc3339(boundary.next_boundary(inputs.state.last_tick_ms or 0, inputs.interval_ms)),
        to_rfc3339(inputs.due_upto_ms),
        "without a limit (catch_up_pace)" if pace is None else f"at {pace:,g} ticks/s",
        extra={"clock": clock.spec.name, "due_ticks": due_ticks, "pace": pace},
    )


def _is_prepared(clock: ClockTerm, progress: ProgressReading) -> bool:
    """True if the store has what this term wrote to it. It could have been emptied, or gone back to an older state."""
    if not clock.prepared:
        return False
    if clock.truncated is None and progress.last_tick_ms != clock.state.last_tick_ms:
        logger.warning(
            "stream does not end with the last tick",
            extra={
                "clock": clock.spec.name,
                "stream_ms": progress.last_tick_ms,
                "log_ms": clock.state.last_tick_ms,
            },
        )
        return False
    return progress.generation == clock.generation and progress.count == clock.roster.required_count()
