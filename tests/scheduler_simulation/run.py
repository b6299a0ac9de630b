"""One seed: a storm of faults between any two steps, then a calm in which everything due must come out in time."""

import random
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest.mock import patch

from clocksvc.runtime import backoff, collector_pause
from tests.scheduler_simulation.calm import Calm
from tests.scheduler_simulation.faults import WEIGHTS, World
from tests.scheduler_simulation.judge.violation import Violation
from tests.scheduler_simulation.sometimes import Path
from tests.scheduler_simulation.world.environment import Environment
from tests.scheduler_simulation.world.http_client import HttpClient
from tests.scheduler_simulation.world.writers import KafkaWriter
from tests.simulation.fault_times import fault_times
from tests.simulation.log_lines import LogLines
from tests.simulation.world.scheduler import Scheduler

STEPS = 900
FAULTS = 5
COUNTED = {
    "expired": Path.EXPIRED,
    "superseded": Path.SUPERSEDED,
    "positions of several ticks": Path.COALESCED,
    "positions of 50 ticks": Path.BACKLOG,
    "positions, same as before": Path.POSITION_AGAIN,
    "sent, changed between tick and append": Path.CHANGED_IN_WINDOW,
    "sent after ticks that were skipped": Path.TICKS_SKIPPED,
    "sent after a change of the interval": Path.INTERVAL_CHANGED,
    "recorded as missed by the next owner after it was sent": Path.SENT_THEN_MISSED,
    "sent by the next owner after it was recorded as missed": Path.MISSED_THEN_SENT,
}
"""Rare paths that the judge counts."""


@dataclass
class Result:
    """The results of one seed."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    longest_delay_ms: int = 0


class Failure(AssertionError):
    """A seed broke a promise. The message says how to replay it."""


class Simulation:
    """The simulation of one seed."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.scheduler = Scheduler(random.Random(seed), traced=traced)
        self.environment = Environment(self.scheduler)
        self.world = World(self.scheduler, self.environment)
        self.result = Result(seed)
        self._lines = LogLines()
        self._phase = "beginning"
        self._random = SimpleNamespace(Random=lambda: random.Random(seed))
        # The collector belongs to the process, which runs many seeds.
        self._collector = SimpleNamespace(isenabled=bool, disable=bool, enable=bool, freeze=bool)

    def run(self) -> Result:
        """Storm and calm. Raises Failure."""
        try:
            with (
                self._lines.attached(),
                patch.object(backoff, "random", self._random),
                patch.object(collector_pause, "gc", self._collector),
                patch.object(collector_pause, "_pauses", 0),  # a killed replica does not end its pause
            ):
                self._begin()
                self._storm()
                self._phase = "calm"
                calm = Calm(self.world, self._step)
                calm.run()
                self.result.longest_delay_ms = calm.longest_delay_ms
        except Violation as error:
            raise Failure(self._describe(f"{error}")) from error
        except Exception as error:
            raise Failure(self._describe(f"broken: {type(error).__name__}: {error}")) from error
        finally:
            self._count()
            self.scheduler.end()
        return self.result

    def _begin(self) -> None:
        environment, scheduler, rng = self.environment, self.scheduler, self.scheduler.rng
        for number in range(rng.choice((1, 2))):
            writer = KafkaWriter(environment, f"k{number}", rng.choice((3, 8, 15)))
            writer.write_first()
            scheduler.spawn(writer.name, writer.run)
        for number in range(2):
            client = HttpClient(environment, self.world.replicas, environment.commands, f"http{number}")
            scheduler.spawn(client.name, client.run)
        if rng.random() < 0.8:
            environment.tick(rng.choice((1, 1, 10)))
        scheduler.spawn("clock", self._tick)
        for _ in range(rng.choice((1, 2, 2, 3))):
            self.world.start_replica()

    def _tick(self) -> None:
        """The body of the clock: a tick in time, or several of them while it is behind."""
        environment, scheduler, rng = self.environment, self.scheduler, self.scheduler.rng
        pace_s = rng.choice((0.1, 0.4, 1.0))
        while True:
            clock = environment.clock
            wait_ms = max(-clock.lag_ms, environment.paused_until_ms - scheduler.now_ms)
            if wait_ms > 0:
                scheduler.wait((wait_ms + rng.choice((1, 1, 40, 300))) / 1000)
                continue
            behind = clock.lag_ms > 3 * clock.interval_ms
            environment.tick(rng.choice((1, 1, 2, 7)) if behind else 1)
            scheduler.wait(rng.random() * pace_s if behind else 0.001)

    # -- the storm ----------------------------------------------------------------------------------------------------

    def _storm(self) -> None:
        self._phase = "storm"
        due = fault_times(self.scheduler.rng, 60, STEPS, FAULTS)
        for step in range(STEPS):
            for _ in range(due[step]):
                self._fault()
            if step % 200 == 0:
                self.environment.store_copy = self.environment.store.copy_state()
            self._step()

    def _fault(self) -> None:
        fault = self.scheduler.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        self.result.faults[fault.__name__] += 1
        self.scheduler.say(f"fault: {fault.__name__}")
        fault(self.world)
        self.environment.observe()

    def _step(self) -> None:
        self.scheduler.run_one()
        self.environment.observe()
        if self._lines.errors:
            raise Violation(f"broken: {self._lines.errors[0]}")

    # -- results ------------------------------------------------------------------------------------------------------

    def _count(self) -> None:
        environment, result = self.environment, self.result
        result.counts.update(
            {
                "steps": self.scheduler.steps,
                "ticks": len(environment.clock.ticks),
                "records of schedules": environment.topic.records,
                "fences": sum(log.epoch for log in environment.logs),
                "partitions": len(environment.logs),
            }
        )
        result.counts.update(environment.judge.counts)
        result.counts.update({f"commands, {name}": count for name, count in environment.commands.counts.items()})
        result.sometimes.update(environment.sometimes.counts)
        for name, path in COUNTED.items():
            result.sometimes[path.value] += environment.judge.counts[name]
        result.lines.update(self._lines.counts)

    def _describe(self, words: str) -> str:
        seed = self.result.seed
        return (
            f"{words}\n  seed {seed}, {self._phase}, step {self.scheduler.steps}; "
            f"replay: python -m tests.scheduler_simulation --seed {seed} --trace\n{self.scheduler.story(60)}"
        )
