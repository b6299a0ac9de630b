"""The calm after a storm: all faults are healed, and every clock must go on."""

from clocksvc.clock.logs import log_of
from clocksvc.clock.request import RequestKind
from tests.faulty.commits import CommitFault
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.process_faults import lose_store
from tests.simulation.liveness.expectation import start_replicas

CALM_MS = 80_000
"""Longer than the longest back-off, which is that of a clock whose records were rejected."""


class Calm:
    """Heals everything, does what operators do, and says what is not yet as it should be."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._scheduler, self._environment = context.scheduler, context.environment
        self._processes, self._judge = context.processes, context.judge

    # -- healing ------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """End all faults."""
        scheduler, environment, processes = self._scheduler, self._environment, self._processes
        scheduler.calm = True
        scheduler.traps.clear()
        scheduler.kill("later")
        for name in (*scheduler.alive("asking"), "network"):
            scheduler.kill(name)
        environment.access.drop_requests()
        for task in scheduler.tasks:
            task.stopped_until_ms = 0
        environment.access.broken = environment.topics.unavailable = environment.topics.without_ids = False
        environment.access.snapshot_before.clear()
        for log in environment.logs.values():
            log.unavailable = False
            log.commit_faults.clear()
            log.torn.clear()
            log.stale_ends.clear()
            log.rejected_keys.clear()
            log.end_foreign(committed=False)
        for name in environment.topic_names:
            environment.topics.hide(name, None)
        environment.muted = set(environment.partitions()) if scheduler.rng.random() < 0.25 else set()
        environment.cut.clear()
        environment.time.skew(max(environment.time.now_ms() - scheduler.now_ms, -500))
        processes.heartbeat_link.heal()
        processes.heartbeat_time.skew(0)
        self._heal_consumers()
        self._heal_replicas()
        self.outlive_lies()
        processes.quiet()

    def _heal_consumers(self) -> None:
        processes = self._processes
        for name in self._scheduler.alive("canary"):
            self._scheduler.kill(name)
        for consumer in list(processes.consumers.values()):
            consumer.link.heal()
            consumer.time.skew(0)
            consumer.postman.next.clear()
            if consumer.group != self._environment.clocks[consumer.clock].spec.group:
                processes.kill_consumer(consumer.name)
        for clock, plan in self._environment.clocks.items():
            readers = [one for one in processes.consumers.values() if one.group == plan.spec.group]
            if any(all(topic not in one.topics for one in readers) for topic in plan.spec.topics):
                processes.start_consumer(clock)
        processes.rebalance()

    def _heal_replicas(self) -> None:
        scheduler, processes = self._scheduler, self._processes
        processes.widened = True
        for name in [*processes.guests, *processes.commands]:
            processes.kill_replica(name)
        for name, replica in sorted(processes.replicas.items()):
            replica.link.heal()
            replica.time.skew(0)
            if replica.leaving or replica.specs != processes.present_specs():
                processes.kill_replica(name)
        names = sorted(processes.replicas)
        if len(names) > 1 and scheduler.rng.random() < 0.3:
            spared = scheduler.rng.choice(names)  # no other replica can heal what this one can't
            for name in names:
                if name != spared:
                    processes.kill_replica(name)
        if not processes.replicas:
            start_replicas(self._context)

    def outlive_lies(self) -> int:
        """Wait until a wrong number that was accepted is no longer in the future. Returns how much time this takes."""
        return self._jump_to(self._environment.access.highest_ms())

    def _jump_to(self, at_ms: int) -> int:
        """All processes are stopped until then, so none could have acted. Returns how much time this takes."""
        taken_ms = max(0, at_ms - self._scheduler.now_ms)
        if taken_ms:
            self._scheduler.now_ms = at_ms
            self._processes.quiet()
        return taken_ms

    # -- operators ----------------------------------------------------------------------------------------------------

    def do_what_people_do(self) -> None:
        """End a pause, set with `init` where a log that lost ticks goes on, and empty a store with an old mark."""
        for clock in self._environment.clocks:
            if not self._scheduler.alive(f"asking-{clock}"):
                self._operate(clock)

    def _operate(self, clock: str) -> None:
        standing, hold = self._judge.clock(clock).standing, self._processes.viewers[clock].hold
        present = self._environment.clock_partitions(clock)
        if standing.paused or hold == "paused":
            self._processes.ask(clock, RequestKind.RESUME)
            return
        for partition in present:
            if partition in standing.excluded and all(one in standing.excluded for one in present):
                self._processes.ask(clock, RequestKind.INCLUDE, partition)
                return
        if hold == "ticklog_truncated":
            self._run_init(clock)
        elif hold == "store_mismatch" and self._environment.rolled_back:
            # It may have gone back to before it was emptied: the runbook says to empty it again.
            lose_store(self._context)

    def _run_init(self, clock: str) -> None:
        """Run `init` with the last known tick, or later; sometimes with a mistake, or with a commit that fails."""
        rng, environment = self._scheduler.rng, self._environment
        interval_ms, judge = environment.clocks[clock].spec.interval_ms, self._judge.clock(clock)
        shown = [replica.shown.get(clock, 0) for replica in self._processes.replicas.values()]
        known = [*shown, *(tick.at_ms for tick in environment.access.ticks(clock)[-1:]), judge.last or 0]
        known_ms = max(known) or self._scheduler.now_ms - 20_000
        last_ms = -(-known_ms // interval_ms) * interval_ms + rng.choice((0, 0, 5 * interval_ms))
        self._jump_to(last_ms)
        if rng.random() < 0.2:
            faults = [CommitFault.LANDS, CommitFault.LOST]
            environment.logs[log_of(clock)].commit_faults += rng.choices(faults, k=rng.choice((1, 1, 1, 3)))
        self._processes.run_init(clock, last_ms - 20_000 if rng.random() < 0.2 else last_ms)

    # -- what must be so ----------------------------------------------------------------------------------------------

    def missing(self, began_ms: int) -> list[str]:
        """What is not yet as it should be, as text."""
        for clock in self._environment.clocks:
            found = self._missing(clock, began_ms)
            if found:
                return [f"{clock}: {one}" for one in found]
        return []

    def _missing(self, clock: str, began_ms: int) -> list[str]:
        environment, viewer, now_ms = self._environment, self._processes.viewers[clock], self._scheduler.now_ms
        judge, interval_ms = self._judge.clock(clock), environment.clocks[clock].spec.interval_ms
        parameters = environment.access.clock(clock).parameters
        late_ms = (0 if parameters is None else parameters.out_of_orderness_ms) + 2 * interval_ms + 2_500
        last = judge.ticks[-1] if judge.ticks else 0
        if last < now_ms - late_ms:
            return [f"the clock is at {last}, now is {now_ms}, the hold is {viewer.hold} ({viewer.detail})"]
        if last < now_ms and judge.committed_at_ms <= began_ms:
            return ["no tick came"]
        low, found = min(last, now_ms - late_ms - 2_000), []
        for name, replica in self._processes.feeds(clock).items():
            tick, rebuilding = replica.feeds[clock].last, replica.feeds[clock].rebuilding
            if judge.lost_for_good and rebuilding:
                continue  # it shows a tick that log and store have lost, and that the clock does not emit again
            if tick is None or tick.at_ms < low:
                found.append(f"{name} shows {tick}")
        behind = [one for one in self._processes.subscribers if one.clock == clock and (one.cursor_ms or 0) < low]
        found += [f"{one.name} has got no more than {one.cursor_ms}" for one in behind]
        stream = environment.access.ticks(clock)
        if not stream or stream[-1].at_ms < low:
            found.append(f"the store's stream ends with {stream[-1:]}")
        if environment.access.clock(clock).restoring:
            found.append("the store's stream is not restored")
        if viewer.hold is not None or viewer.looked_at_ms < began_ms:
            found.append(f"stale: the state still names the hold {viewer.hold} ({viewer.detail})")
        return found

    def judge_history(self) -> None:
        """The store has the recent ticks of every clock."""
        environment = self._environment
        for clock, plan in environment.clocks.items():
            recent_ms = min(environment.recent_ms, plan.spec.recent_ticks_ms) - 1_000
            self._judge.clock(clock).judge_history(recent_ms)
