"""One seed: a storm of faults between any two steps, a calm in which every clock must go on, a condition that lasts and
must be named, and a calm again."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from clocksvc.errors import ClocksvcError
from tests.simulation.calm import CALM_MS, Calm
from tests.simulation.fault_times import fault_times
from tests.simulation.faults.all_faults import choose
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.process_faults import crash_leader
from tests.simulation.judge.judge import Judge
from tests.simulation.judge.violation import Violation
from tests.simulation.liveness import all_conditions
from tests.simulation.liveness.expectation import Expectation
from tests.simulation.log_lines import LogLines
from tests.simulation.sometimes import Path, Sometimes
from tests.simulation.world.clock_plan import HOLD_AFTER_MS
from tests.simulation.world.environment import Environment
from tests.simulation.world.processes import Processes
from tests.simulation.world.scheduler import Scheduler

STEPS = 420
"""At least this many steps of a seed are in the storm; 100 more for each further clock."""
WARM_UP_STEPS = 400
FAULTS = 5
LOOK_EVERY_MS = 150
LOOK_MS = 1_000
"""How long it takes until a viewer looks."""
VERDICT_MS = 40_000
"""Longer than the TTL of a leader's status in the store."""
LASTS_MS = HOLD_AFTER_MS + 15_000
GOES_ON_MS = 20_000
COMES_BACK_MS = 25_000
CONDITIONS = 0.5
"""The share of seeds with a lasting condition."""


@dataclass
class Result:
    """The results of one seed."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)

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
        self.sometimes = Sometimes()
        self.judge = Judge(self.environment, self.sometimes)
        self.processes = Processes(self.scheduler, self.environment, self.judge)
        self.context = FaultContext(self.scheduler, self.environment, self.judge, self.processes)
        self.result = Result(seed)
        self.calm = Calm(self.context)
        self._lines = LogLines()
        self._phase = "beginning"
        self._steps = STEPS + 100 * (len(self.environment.clocks) - 1)
        rng = self.scheduler.rng
        for _ in range(rng.choice((2, 2, 3))):
            self.processes.start_replica(skew_ms=rng.choice((0, 0, -300, 300)))
        for index, name in enumerate(self.environment.clocks):
            for _ in range(rng.choice((1, 2, 2)) if index == 0 else 1):
                self.processes.start_consumer(name, skew_ms=rng.choice((0, 0, -1_000, 1_000)))
            for _ in range(2 if index == 0 else 1):
                self.processes.start_subscriber(name)
        self._write_backlogs()
        self.processes.start_producer()
        self.processes.start_heartbeats()

    def run(self) -> Result:
        """Storm, calm, a condition in many seeds, calm. Raises Failure."""
        try:
            with self._lines.attached():
                self._warm_up()
                self._storm()
                self._wait_for_calm()
                if self.scheduler.rng.random() < CONDITIONS:
                    self._check_condition()
                    self._wait_for_calm()
            self._check_size()
        except (Violation, ClocksvcError) as error:
            raise Failure(self._describe(f"{error}")) from error
        except Exception as error:
            raise Failure(self._describe(f"broken: {type(error).__name__}: {error}")) from error
        finally:
            self._count()
            self.scheduler.end()
        return self.result

    def _write_backlogs(self) -> None:
        """Clocks that are far behind in the beginning."""
        for plan in self.environment.clocks.values():
            for back_ms in range(plan.backlog_ms, 0, -5_000):
                for partition in self.environment.clock_partitions(plan.name):
                    self.environment.produce_old(partition, self.scheduler.now_ms - back_ms)

    def _warm_up(self) -> None:
        """In most seeds the clocks tick before the storm begins."""
        self._phase = "warm-up"
        scheduler, judges = self.scheduler, self.judge.clocks
        if scheduler.rng.random() < 0.25:
            return
        scheduler.calm = True
        clocks = [judges[name] for name in self.processes.present_specs()]
        for _ in range(WARM_UP_STEPS):
            self._step()
            if all(clock.ticks for clock in clocks):
                break
        scheduler.calm = False
        self.processes.quiet()

    # -- the storm ---------------------------------------------------------------------------------------------------

    def _storm(self) -> None:
        self._phase = "storm"
        rng = self.scheduler.rng
        due = fault_times(self.scheduler.rng, 40, self._steps, FAULTS)
        for step in range(self._steps):
            for _ in range(due[step]):
                self._fault()
            if rng.random() < 0.006:
                self.environment.access.take_snapshot()
            self._step()

    def _fault(self) -> None:
        fault = choose(self.scheduler.rng)
        self.result.faults[fault.__name__] += 1
        self.scheduler.say(f"fault: {fault.__name__}")
        fault(self.context)
        self.judge.check()
        self.processes.quiet()

    def _step(self) -> None:
        self.scheduler.run_one()
        self.judge.check()
        if self._lines.errors:
            raise Violation(f"broken: {self._lines.errors[0]}")

    # -- calm --------------------------------------------------------------------------------------------------------

    def _wait_for_calm(self) -> None:
        """All faults are healed, operators do what they must: every clock must reach the present within a minute, and
        once more after the leader has died."""
        self._phase = "calm"
        self.calm.heal()
        scheduler = self.scheduler
        began_ms, asked_ms, looked_ms = scheduler.now_ms, 0, 0
        while scheduler.now_ms - began_ms < CALM_MS:
            self._step()
            if scheduler.now_ms - asked_ms > 2_000:
                began_ms += self.calm.outlive_lies()
                asked_ms = scheduler.now_ms
                self.calm.do_what_people_do()
                began_ms += scheduler.now_ms - asked_ms
            if scheduler.now_ms - looked_ms < LOOK_EVERY_MS:
                continue
            looked_ms = scheduler.now_ms
            if not self.calm.missing(began_ms):
                if self.processes.takeovers:
                    self.calm.judge_history()
                    return
                crash_leader(self.context)
                began_ms = scheduler.now_ms
        raise Violation(f"dead: {CALM_MS} ms of calm, and {'; '.join(self.calm.missing(began_ms))}")

    # -- what lasts --------------------------------------------------------------------------------------------------

    def _check_condition(self) -> None:
        condition = all_conditions.choose(self.scheduler.rng)
        self._phase = f"condition: {condition.__name__}"
        self.scheduler.say(self._phase)
        self.environment.muted.clear()
        for log in self.environment.logs.values():
            log.commit_faults.clear()
        if self.calm.outlive_lies():
            self._wait_for_calm()
            self._phase = f"condition: {condition.__name__}"
        if len(self.processes.replicas) < 2:
            self.processes.start_replica()
        self.result.faults[condition.__name__] += 1
        expected = condition(self.context)
        self.processes.quiet()
        if expected.missing is not None:
            self._watch_it_come_back(expected, expected.missing)
        elif expected.reasons:
            self._watch_it_hold(expected)
        else:
            self._watch_it_go_on(expected)
        expected.end()

    def _watch_it_hold(self, expected: Expectation) -> None:
        """The hold is shown in time, and is still shown a while later, with no tick in between; if it flickers, at
        least once. Other clocks go on."""
        scheduler = self.scheduler
        began_ms, right_since_ms = scheduler.now_ms, None
        for_long = scheduler.rng.random() < 0.07 and not expected.flickers
        long_ms = VERDICT_MS if for_long else 0 if expected.flickers else 2_500
        limit_ms = LASTS_MS if expected.within_ms is None else expected.within_ms + LOOK_MS
        while right_since_ms is None or scheduler.now_ms - right_since_ms < long_ms:
            self._step()
            wrong = self._wrong(expected)
            last_ms = max(self.judge.clock(name).committed_at_ms for name in expected.clocks)
            if wrong:
                right_since_ms = None
            elif right_since_ms is None or last_ms > right_since_ms:
                right_since_ms = scheduler.now_ms
            if scheduler.now_ms - began_ms > limit_ms + long_ms:
                raise Violation(
                    f"{expected.word}: after {scheduler.now_ms - began_ms} ms ({self._phase}) {wrong}, wanted "
                    f"{' or '.join(sorted(expected.reasons))}; the last tick came {scheduler.now_ms - last_ms} ms ago"
                )
        self._check_others(expected, began_ms)

    def _wrong(self, expected: Expectation) -> str:
        for name in expected.clocks:
            viewer, named = self.processes.viewers[name], expected.partitions.get(name)
            if viewer.hold not in expected.reasons or (named is not None and viewer.partitions != named):
                return (
                    f"{name} has the hold {viewer.hold} of {sorted(viewer.partitions)} (wanted {sorted(named or ())})"
                )
        return ""

    def _check_others(self, expected: Expectation, began_ms: int) -> None:
        """Clocks that the condition does not concern were not delayed by it."""
        for name in expected.others:
            judge, interval_ms = self.judge.clock(name), self.environment.clocks[name].spec.interval_ms
            quiet_ms = self.scheduler.now_ms - max(judge.committed_at_ms, began_ms)
            if quiet_ms > 2 * interval_ms + 8_000:
                raise Violation(f"delayed: no tick of {name} for {quiet_ms} ms because of {self._phase}")

    def _watch_it_come_back(self, expected: Expectation, missing: Callable[[], str]) -> None:
        until_ms = self.scheduler.now_ms + COMES_BACK_MS
        while missing():
            self._step()
            if self.scheduler.now_ms > until_ms:
                raise Violation(f"{expected.word}: {COMES_BACK_MS} ms into {self._phase} {missing()}")

    def _watch_it_go_on(self, expected: Expectation) -> None:
        lasts_ms = expected.within_ms or GOES_ON_MS
        until_ms = self.scheduler.now_ms + lasts_ms
        while self.scheduler.now_ms < until_ms:
            self._step()
        for name in expected.clocks:
            quiet_ms = self.scheduler.now_ms - self.judge.clock(name).committed_at_ms
            if quiet_ms > 2 * self.environment.clocks[name].spec.interval_ms + 2_500:
                raise Violation(f"dead: no tick of {name} for {quiet_ms} ms, {lasts_ms} ms into {self._phase}")

    # -- the end -----------------------------------------------------------------------------------------------------

    def _check_size(self) -> None:
        faults, takeovers = sum(self.result.faults.values()), self.processes.takeovers
        if self.scheduler.steps < self._steps or faults < FAULTS or not takeovers:
            raise Violation(f"thin: {self.scheduler.steps} steps, {faults} faults, {takeovers} takeovers")

    def _count(self) -> None:
        processes, counts = self.processes, self.result.counts
        clocks = self.judge.clocks.values()
        counts.update(
            {
                "steps": self.scheduler.steps,
                "clocks": len(self.environment.clocks),
                "ticks": sum(len(shown) for clock in clocks for shown in clock.given.values()),
                "takeovers": processes.takeovers,
                "records": self.environment.records,
                "heartbeats": processes.heartbeats,
                "inits": sum(clock.inits for clock in clocks),
                "requests": self.judge.granted,
                f"seeds with {len(self.environment.clocks)} clocks": 1,
            }
        )
        for subscriber in processes.subscribers:
            counts.update({f"subscribers' {name}": count for name, count in subscriber.counts.items()})
        for viewer in processes.viewers.values():
            self.result.holds.update(viewer.holds)
        self.result.answers.update(processes.answers)
        self.result.lines.update(self._lines.counts)
        self._note_lines()
        self.result.sometimes.update(self.sometimes.counts)

    def _note_lines(self) -> None:
        """Paths that only a line of the product's log shows."""
        for message, path in (
            (("log handed over"), Path.HANDOVER),
            ("lease released, no progress", Path.STUCK_RELEASED),
        ):
            for _ in range(self._lines.counts[message]):
                self.sometimes.took(path)

    def _describe(self, what: str) -> str:
        seed, holds = self.result.seed, {name: viewer.hold for name, viewer in self.processes.viewers.items()}
        return (
            f"{what}\nseed {seed}, step {self.scheduler.steps}, {self._phase}; faults: {dict(self.result.faults)}; "
            f"holds: {holds}\nlast steps:\n{self.scheduler.story(40)}\n"
            f"replay: python -m tests.simulation --seed {seed} --trace"
        )
