"""Watches a leader's calls to the store: what it has read, and that it writes only what is committed and confirmed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clocksvc.clock.tick import Tick
from tests.simulation.judge.clock_judge import ClockJudge
from tests.simulation.judge.log_judge import LogJudge
from tests.simulation.judge.violation import Violation
from tests.simulation.judge.witness import Witness
from tests.simulation.sometimes import Path
from tests.simulation.world.environment import Environment
from tests.simulation.world.intercepted import Watcher
from tests.simulation.world.store_control import StoreControl

Call = Callable[[], Any]
Args = tuple[Any, ...]

ANNOUNCED_MS = 2_300
"""How often a healthy replica announces itself."""
_SNAPSHOT_CHANCE = 0.05


class StoreWatch:
    """The calls of one process."""

    def __init__(
        self,
        environment: Environment,
        log: LogJudge,
        clocks: Mapping[str, ClockJudge],
        witness: Witness,
        store: StoreControl,
    ) -> None:
        self._environment, self._log, self._clocks = environment, log, clocks
        self._witness, self._store = witness, store
        self._took = log.sometimes.took

    def lease_watchers(self) -> Mapping[str, Watcher]:
        """Return what watches the calls of the leases."""
        return {
            "read_round": self._read_round,
            "announce": self._announce,
            "read_lease": self._read_lease,
            "acquire": self._acquire,
            "publish": self._publish_all,
            "publish_statuses": self._publish_statuses,
        }

    def store_watchers(self, name: str) -> Mapping[str, Watcher]:
        """Return what watches the calls of one clock's store."""
        if self._witness.guest:
            return {}

        def of(method: Callable[[ClockJudge, Call, Args], Any]) -> Watcher:
            return lambda call, args: method(self._clocks[name], call, args)

        return {
            "publish": of(self._publish),
            "begin": of(self._begin),
            "write_roster": of(self._write_roster),
            "write_request_results": of(self._write_request_results),
            "bounds": of(self._bounds),
            "stage": of(self._stage),
            "finish_restoring": of(self._finish_restoring),
            "claim": of(self._claim),
        }

    # -- leases -------------------------------------------------------------------------------------------------------

    def _read_round(self, call: Call, args: Args) -> Any:
        found = call()
        if self._witness.guest:
            return found
        environment, witness = self._environment, self._witness
        moment, now_ms = environment.scheduler.moment(), environment.time.now_ms()
        for name in args[2]:
            reading, spec = witness.reading(name), witness.specs[name]
            reading.at, reading.store_ms = moment, now_ms
            digests = self._store.digests(self._log.number, name)
            reading.disagreed = len(digests) > 1 or self._another_disagrees(name, spec.digest())
            reading.out_of_orderness_ms = self._clocks[name].needed_out_of_orderness_ms()
            if len(digests) > 1:
                self._took(Path.CONFLICT_SHOWN)
        return found

    def _another_disagrees(self, clock: str, digest: str) -> bool:
        """Another replica is alive, announced itself just now, and has another configuration."""
        since_ms = self._environment.scheduler.now_ms - ANNOUNCED_MS
        return any(
            announced_ms > since_ms and digests.get(clock, digest) != digest and self._environment.scheduler.runs(name)
            for name, (announced_ms, digests) in self._log.announced.items()
        )

    def _announce(self, call: Call, args: Args) -> Any:
        answer = call()
        announcement, ttl_ms = args[0], args[1]
        if ttl_ms > 0 and not self._witness.guest:
            self._log.announced[self._witness.name] = (self._environment.scheduler.now_ms, announcement.digests)
            if set(announcement.digests) != {name for name in self._clocks if name in self._log.names}:
                self._took(Path.WIDER_CONFIGURATION)
        else:
            self._log.announced.pop(self._witness.name, None)
        return answer

    def _read_lease(self, call: Call, args: Args) -> Any:
        found = call()
        self._log.expired_holder = found.expired_holder
        return found

    def _acquire(self, call: Call, args: Args) -> Any:
        got, expired = call(), self._log.expired_holder
        if got and expired is not None and expired != args[1] and not self._witness.guest:
            if self._environment.scheduler.runs(expired.partition(" ")[0]):
                self._took(Path.EXPIRED_HOLDER_LEFT_OUT)
            self._log.expired_holder = None
        return got

    def _publish_statuses(self, call: Call, args: Args) -> Any:
        for update in args[1].values():
            if self._witness.guest:
                if "store_mismatch" in update.status:
                    self._took(Path.GUEST_HOLDS)
                continue
            if "leader_stuck" in update.status:
                self._took(Path.STUCK_PUBLISHED)
            if self._environment.topics.without_ids and "no topic id" in update.status:
                self._took(Path.WITHOUT_TOPIC_IDS)
        return call()

    # -- one clock's store --------------------------------------------------------------------------------------------

    def _publish_all(self, call: Call, args: Args) -> Any:
        if self._witness.guest:
            return call()
        return self._judge_published({self._clocks[name]: ticks for name, ticks in args[1].items()}, call)

    def _publish(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        return self._judge_published({clock: args[1]}, call)

    def _judge_published(self, published: Mapping[ClockJudge, Sequence[Tick]], call: Call) -> Any:
        self._maybe_take_snapshot("publish")
        self._log.check()
        for clock, ticks in published.items():
            for tick in ticks:
                clock.judge_shown(tick, f"{self._witness.name} publishes and")
                self._check_confirmed(clock, tick.at_ms)
        before = any(self._store.clock(clock.name).restoring for clock in published)
        answer = call()
        if before:
            self._took(Path.LIVE_TICK_WHILE_RESTORING)
        return answer

    def _check_confirmed(self, clock: ClockJudge, at_ms: int) -> None:
        """The writer knows from its commit or from a recovery after it that the log has the tick."""
        transaction = clock.transactions.get(at_ms)
        if transaction is None or self._log.confirmed.get(id(transaction)) == self._witness.name:
            return
        if self._witness.fenced_at < self._log.committed_at.get(id(transaction), -1):
            raise Violation(
                f"unconfirmed: {self._witness.name} publishes {at_ms} of {clock.name}, whose commit it does not know"
            )

    def _begin(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        answer = call()
        clock.look_at_the_loss()
        return answer

    def _claim(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        before = self._store.clock(clock.name).parameters
        answer = call()
        after = self._store.clock(clock.name).parameters
        if before is not None and after is not None and before.out_of_orderness_ms < after.out_of_orderness_ms:
            changed_ms = [clock.changed_type_at_ms.get(topic, 0) for topic in clock.create_time_reported]
            if changed_ms and self._environment.scheduler.now_ms - max(changed_ms) < 10_000:
                self._took(Path.CREATE_TIME_SWITCHED)
        return answer

    def _write_roster(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        self._maybe_take_snapshot("write_roster")
        self._log.check()
        roster, store = args[1], self._store.clock(clock.name)
        before, topics, group = dict(store.clocks), dict(store.topics), store.roster_group
        claimed = store.claimed_by == args[0]  # if not, the store went back to before the claim: nothing may count
        fenced = self._log.commits.fenced_by != self._witness.name  # then a roster can cause no tick
        if self._store.leads(self._log.number, args[0]) and not fenced:  # else the store rejects the roster
            self._check_committed(clock, roster, store.parameters if claimed else None)
        answer = call()
        after = self._store.clock(clock.name)
        for topic, metadata in roster.topics.items():
            clock.note_rostered(topic, metadata.id, metadata.partitions)
            if not before and self._witness.topics.get(topic, metadata).partitions < metadata.partitions:
                self._took(Path.GROWTH_KEPT)
        gone = set(self._environment.clocks[clock.name].spec.topics) - set(after.topics)
        self._environment.store_forgot(clock.name, gone)
        if group != after.roster_group or not claimed:
            self._environment.store_forgot(clock.name)
            return answer
        for partition, known_ms in before.items():
            metadata = after.topics.get(partition.topic)
            same = metadata is not None and metadata.id == topics[partition.topic].id and partition in after.clocks
            if same and after.clocks[partition] != known_ms:
                raise Violation(f"back: a new roster took {known_ms} away from {partition}")
        return answer

    def _check_committed(self, clock: ClockJudge, roster: Any, parameters: Any) -> None:
        """A roster must be in the log before it goes to the store."""
        if clock.log_lost_at > self._witness.fenced_at or clock.log_group is None:
            return  # this leader knows more than the log; without a record, the clock holds until `init`
        for topic, metadata in roster.topics.items():
            known = clock.log_topics.get(topic)
            if known is None or known[0] != metadata.id or known[1] < metadata.partitions:
                raise Violation(
                    f"uncommitted: {self._witness.name} writes {tuple(metadata)} as {topic} of {clock.name} to the "
                    f"store, the log has {known}"
                )
        group = None if parameters is None else parameters.group
        if group not in (None, clock.log_group):
            raise Violation(
                f"uncommitted: {self._witness.name} writes a roster of group {group} of {clock.name}, the log has "
                f"{clock.log_group}"
            )

    def _write_request_results(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        if self._log.commits.fenced_by != self._witness.name:
            clock.standing.answered_by_an_old_leader(args[1])
        return call()

    def _bounds(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        clock.look_at_the_loss()
        return call()

    def _stage(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        if args[2] and args[1] and self._store.clock(clock.name).staged:
            self._took(Path.RESTORING_RESTARTED)
        return call()

    def _finish_restoring(self, clock: ClockJudge, call: Call, args: Args) -> Any:
        done = call()
        if done:
            self._took(Path.RESTORING_FINISHED)
        return done

    def _maybe_take_snapshot(self, method: str) -> None:
        """Right before a write: a snapshot from here lacks only that write."""
        scheduler = self._environment.scheduler
        always = method in self._store.snapshot_before
        if always or (not scheduler.calm and scheduler.rng.random() < _SNAPSHOT_CHANCE):
            self._store.take_snapshot()
