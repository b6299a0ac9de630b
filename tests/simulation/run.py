"""One seed: a storm of faults between any two steps, a calm in which the clock must go on, a condition that lasts and
must be named, and a calm again."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from clocksvc.clock.request import RequestKind
from clocksvc.errors import ClocksvcError
from tests.faulty.commits import CommitFault
from tests.simulation.actors import Processes
from tests.simulation.environment import HOLD_AFTER_MS, Environment
from tests.simulation.faults.all_faults import choose
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.process_faults import crash_leader
from tests.simulation.liveness.all_conditions import LIVENESS_CONDITIONS
from tests.simulation.liveness.expectation import Expectation, start_replicas
from tests.simulation.oracle import Oracle
from tests.simulation.scheduler import Scheduler
from tests.simulation.violation import Violation

STEPS = 520
"""At least this many steps of a seed are in the storm."""
FAULTS = 5
CALM_MS = 60_000
LOOK_EVERY_MS = 150
VERDICT_MS = 40_000
"""Longer than the TTL of a leader's status in the store."""
LASTS_MS = HOLD_AFTER_MS + 15_000
GOES_ON_MS = 20_000
COMES_BACK_MS = 20_000


@dataclass
class Result:
    """The results of one seed."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    @property
    def ticks(self) -> int:
        return self.counts["ticks"]

    @property
    def takeovers(self) -> int:
        return self.counts["takeovers"]


class Failure(AssertionError):
    """A seed broke a promise. The message says how to replay it."""


class Simulation:
    """The simulation of one seed."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.scheduler = Scheduler(random.Random(seed), traced=traced)
        self.environment = Environment(self.scheduler)
        self.oracle = Oracle(self.environment)
        self.processes = Processes(self.scheduler, self.environment, self.oracle)
        self.context = FaultContext(self.scheduler, self.environment, self.oracle, self.processes)
        self.result = Result(seed)
        self._phase = "beginning"
        rng = self.scheduler.rng
        for _ in range(rng.choice((2, 2, 3))):
            self.processes.start_replica(skew_ms=rng.choice((0, 0, -300, 300)))
        for _ in range(rng.choice((1, 2, 2))):
            self.processes.start_consumer(rng.choice((0, 0, -1_000, 1_000)))
        for _ in range(2):
            self.processes.start_subscriber()
        self.processes.start_producer()
        self.processes.start_heartbeats()

    def run(self) -> Result:
        """Storm, calm, a condition in most seeds, calm. Raises Failure."""
        try:
            self._storm()
            self._calm()
            if self.scheduler.rng.random() < 0.6:
                self._check_liveness()
                self._calm()
            self._check_size()
        except (Violation, ClocksvcError) as error:
            raise Failure(self._words(f"{error}")) from error
        except Exception as error:
            raise Failure(self._words(f"broken: {type(error).__name__}: {error}")) from error
        finally:
            self._count()
            self.scheduler.end()
        return self.result

    # -- the storm ---------------------------------------------------------------------------------------------------

    def _storm(self) -> None:
        self._phase = "storm"
        rng = self.scheduler.rng
        due = self._plan()
        for step in range(STEPS):
            for _ in range(due.get(step, 0)):
                self._fault()
            if rng.random() < 0.006:
                self.environment.take_snapshot()
            self._step()

    def _plan(self) -> dict[int, int]:
        """At which steps how many faults come: a few bursts, with short distances inside."""
        rng, due, planned = self.scheduler.rng, Counter[int](), 0
        for _ in range(rng.randrange(3, 8)):
            step = rng.randrange(40, STEPS - 60)
            for _ in range(rng.randrange(1, 5)):
                due[step] += 1
                planned += 1
                step += rng.choice((0, 1, 3, 10, 25))
        while planned < FAULTS:
            due[rng.randrange(40, STEPS)] += 1
            planned += 1
        return dict(due)

    def _fault(self) -> None:
        fault = choose(self.scheduler.rng)
        self.result.faults[fault.__name__] += 1
        self.scheduler.say(f"fault: {fault.__name__}")
        fault(self.context)
        self.oracle.check()
        self.processes.viewer.quiet_since_ms = self.scheduler.now_ms

    def _step(self) -> None:
        self.scheduler.run_one()
        self.oracle.check()

    # -- calm --------------------------------------------------------------------------------------------------------

    def _calm(self) -> None:
        """All faults are healed, operators do what they must: the clock must reach the present within a minute."""
        self._phase = "calm"
        self._heal()
        began_ms, ticks, asked_ms, looked_ms = self.scheduler.now_ms, len(self.oracle.ticks), 0, 0
        while self.scheduler.now_ms - began_ms < CALM_MS:
            self._step()
            if self.scheduler.now_ms - asked_ms > 2_000:
                began_ms += self._outlive_lies()
                asked_ms = self.scheduler.now_ms
                self._do_what_people_do()
                began_ms += self.scheduler.now_ms - asked_ms
            if self.scheduler.now_ms - looked_ms < LOOK_EVERY_MS:
                continue
            looked_ms = self.scheduler.now_ms
            if not self._missing(began_ms):
                if self.processes.takeovers:
                    self.oracle.judge_history(
                        min(self.environment.recent_ms, self.environment.spec.recent_ticks_ms) - 1_000
                    )
                    return
                crash_leader(self.context)
                began_ms = self.scheduler.now_ms
        raise Violation(
            f"dead: {CALM_MS} ms of calm, and {'; '.join(self._missing(began_ms))} (ticks: {ticks} before, "
            f"{len(self.oracle.ticks)} now; hold: {self.processes.viewer.hold})"
        )

    def _missing(self, began_ms: int) -> list[str]:
        """What is not yet as it should be, as text."""
        environment, viewer, now_ms = self.environment, self.processes.viewer, self.scheduler.now_ms
        late_ms = (environment.out_of_orderness_ms or 0) + 2 * environment.spec.interval_ms + 2_500
        last = self.oracle.ticks[-1] if self.oracle.ticks else 0
        if last < now_ms - late_ms:
            return [f"the clock is at {last}, now is {now_ms}"]
        if last < now_ms and self.oracle.committed_at_ms <= began_ms:
            return ["no tick came"]
        low, found = min(last, now_ms - late_ms - 2_000), []
        shown = {name: feed.last for name, feed in self.processes.feeds.items()}
        found += [f"{name} shows {tick}" for name, tick in shown.items() if tick is None or tick.at_ms < low]
        behind = [each for each in self.processes.subscribers if (each.cursor_ms or 0) < low]
        found += [f"{each.name} has got no more than {each.cursor_ms}" for each in behind]
        stream = environment.store._state.ticks
        if not stream or stream[-1].at_ms < low:
            found.append(f"the store's stream ends with {stream[-1:]}")
        if viewer.hold is not None or viewer.looked_at_ms < began_ms:
            found.append(f"stale: the state still names the hold {viewer.hold}")
        return found

    def _do_what_people_do(self) -> None:
        """End a pause; and if a tick log has lost ticks, set with `init` where the clock goes on."""
        standing, hold = self.oracle.standing, self.processes.viewer.hold
        if self.scheduler.alive("asking"):
            return
        if standing.paused or hold == "paused":
            self.processes.ask(RequestKind.RESUME)
        for partition in self.environment.partitions():
            if partition in standing.excluded and len(standing.excluded) >= len(self.environment.partitions()):
                self.processes.ask(RequestKind.INCLUDE, partition)
        if hold == "ticklog_truncated" and not self.scheduler.alive("init"):
            self._run_init()

    def _run_init(self) -> None:
        """Run `init` with the last known tick, or later; sometimes with a mistake, or with a commit that fails."""
        rng, environment, interval_ms = self.scheduler.rng, self.environment, self.environment.spec.interval_ms
        shown = [feed.last.at_ms for feed in self.processes.feeds.values() if feed.last is not None]
        known = [*shown, *(tick.at_ms for tick in environment.store._state.ticks[-1:]), self.oracle.last or 0]
        last_ms = -(-max(known) // interval_ms) * interval_ms + rng.choice((0, 0, 5 * interval_ms))
        self._jump_to(last_ms)
        if rng.random() < 0.2:
            environment.log.commit_faults += rng.choices(tuple(CommitFault), k=rng.choice((1, 1, 1, 6)))
        self.processes.init(last_ms - 20_000 if rng.random() < 0.2 else last_ms)

    def _heal(self) -> None:
        scheduler, environment, processes = self.scheduler, self.environment, self.processes
        scheduler.calm = True
        scheduler.traps.clear()
        scheduler.kill("later")
        for name in (*scheduler.alive("asking"), "network"):
            scheduler.kill(name)
        environment.store._state.requests.clear()
        for task in scheduler.tasks:
            task.stopped_until_ms = 0
        environment.store.broken = environment.log.unavailable = environment.topics.unavailable = False
        environment.log.commit_faults.clear()
        environment.log.end_foreign(committed=False)
        for name in environment.topic_names:
            environment.topics.hide(name, None)
        environment.muted = set(environment.partitions()) if scheduler.rng.random() < 0.25 else set()
        environment.cut.clear()
        environment.time.skew(max(environment.time.now_ms() - scheduler.now_ms, -500))
        environment.snapshot_before_publish = environment.snapshot_before_roster = False
        processes.beat_link.heal()
        processes.beat_time.skew(0)
        self._heal_processes()
        self._outlive_lies()
        processes.viewer.quiet_since_ms = scheduler.now_ms

    def _outlive_lies(self) -> int:
        """Wait until a wrong number that was accepted is no longer in the future. Returns how much time this takes."""
        state = self.environment.store._state
        stands_ms = max(
            (known_ms or 0 for known_ms in (*state.clocks.values(), *state.accepted_from_ms.values())), default=0
        )
        return self._jump_to(stands_ms)

    def _jump_to(self, at_ms: int) -> int:
        """All processes are stopped until then, so none could have acted. Returns how much time this takes."""
        taken_ms = max(0, at_ms - self.scheduler.now_ms)
        if taken_ms:
            self.scheduler.now_ms = at_ms
            self.processes.viewer.quiet_since_ms = at_ms
        return taken_ms

    def _heal_processes(self) -> None:
        processes = self.processes
        for consumer in processes.consumers.values():
            consumer.link.heal()
            consumer.time.skew(0)
            consumer.postman.next.clear()
        for name in self.scheduler.alive("canary"):
            self.scheduler.kill(name)
        processes.rebalance()
        for name, replica in sorted(processes.replicas.items()):
            replica.link.heal()
            replica.time.skew(0)
            if replica.leaving or replica.spec != self.environment.spec:
                processes.kill_replica(name)
        names = sorted(processes.replicas)
        if len(names) > 1 and self.scheduler.rng.random() < 0.3:
            spared = self.scheduler.rng.choice(names)  # no other replica can heal what this one can't
            for name in names:
                if name != spared:
                    processes.kill_replica(name)
        if not processes.replicas:
            start_replicas(self.context)

    # -- what lasts --------------------------------------------------------------------------------------------------

    def _check_liveness(self) -> None:
        condition = self.scheduler.rng.choice(LIVENESS_CONDITIONS)
        self._phase = f"condition: {condition.__name__}"
        self.scheduler.say(self._phase)
        self.environment.muted.clear()
        self.environment.log.commit_faults.clear()
        if self._outlive_lies():
            self._calm()
        if len(self.processes.replicas) < 2:
            self.processes.start_replica()
        self.result.faults[condition.__name__] += 1
        expected = condition(self.context)
        self.processes.viewer.quiet_since_ms = self.scheduler.now_ms
        if expected.missing is not None:
            self._watch_it_come_back(expected, expected.missing)
        elif expected.reasons:
            self._watch_it_hold(expected)
        else:
            self._watch_it_go_on()
        expected.end()

    def _watch_it_hold(self, expected: Expectation) -> None:
        """The hold is shown in time, and is still shown a while later, with no tick in between; if it flickers, at
        least once."""
        began_ms, right_since_ms, viewer = self.scheduler.now_ms, None, self.processes.viewer
        for_long = self.scheduler.rng.random() < 0.07 and not expected.flickers
        long_ms = VERDICT_MS if for_long else 0 if expected.flickers else 2_500
        while right_since_ms is None or self.scheduler.now_ms - right_since_ms < long_ms:
            self._step()
            if not self._is_right(expected):
                right_since_ms = None
            elif right_since_ms is None or self.oracle.committed_at_ms > right_since_ms:
                right_since_ms = self.scheduler.now_ms
            if self.scheduler.now_ms - began_ms > LASTS_MS + long_ms:
                raise Violation(
                    f"{expected.word}: after {self.scheduler.now_ms - began_ms} ms ({self._phase}) the state names the "
                    f"hold {viewer.hold} of {sorted(viewer.partitions)}, "
                    f"wanted {' or '.join(sorted(expected.reasons))} of "
                    f"{'any' if expected.partitions is None else sorted(expected.partitions)}; the last tick came "
                    f"{self.scheduler.now_ms - self.oracle.committed_at_ms} ms ago"
                )

    def _watch_it_come_back(self, expected: Expectation, missing: Callable[[], str]) -> None:
        until_ms = self.scheduler.now_ms + COMES_BACK_MS
        while missing():
            self._step()
            if self.scheduler.now_ms > until_ms:
                raise Violation(f"{expected.word}: {COMES_BACK_MS} ms into {self._phase} {missing()}")

    def _is_right(self, expected: Expectation) -> bool:
        viewer = self.processes.viewer
        named = expected.partitions is None or viewer.partitions == expected.partitions
        return viewer.hold in expected.reasons and named

    def _watch_it_go_on(self) -> None:
        until_ms = self.scheduler.now_ms + GOES_ON_MS
        while self.scheduler.now_ms < until_ms:
            self._step()
        quiet_ms = self.scheduler.now_ms - self.oracle.committed_at_ms
        if quiet_ms > 2 * self.environment.spec.interval_ms + 2_500:
            raise Violation(f"dead: no tick for {quiet_ms} ms, {GOES_ON_MS} ms into {self._phase}")

    # -- the end -----------------------------------------------------------------------------------------------------

    def _check_size(self) -> None:
        faults, takeovers = sum(self.result.faults.values()), self.processes.takeovers
        if self.scheduler.steps < STEPS or faults < FAULTS or not takeovers:
            raise Violation(f"thin: {self.scheduler.steps} steps, {faults} faults, {takeovers} takeovers")

    def _count(self) -> None:
        processes, counts = self.processes, self.result.counts
        counts.update(
            steps=self.scheduler.steps,
            ticks=sum(len(shown) for shown in self.oracle.given.values()),
            takeovers=processes.takeovers,
            records=self.environment.records,
            heartbeats=processes.heartbeats,
            inits=self.oracle.inits,
            repeated=self.oracle.repeated,
            requests=len(self.oracle.standing.granted),
        )
        for subscriber in processes.subscribers:
            counts.update({f"subscribers' {name}": count for name, count in subscriber.counts.items()})
        self.result.holds.update(processes.viewer.holds)
        self.result.told.update(processes.told)

    def _words(self, what: str) -> str:
        seed = self.result.seed
        return (
            f"{what}\nseed {seed}, step {self.scheduler.steps}, {self._phase}; faults: {dict(self.result.faults)}\n"
            f"last steps:\n{self.scheduler.story(40)}\nreplay: python -m tests.simulation --seed {seed} --trace"
        )
