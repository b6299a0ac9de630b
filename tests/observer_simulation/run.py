"""One seed: a storm of faults, then a calm in which every clock must come up to the present."""

from collections import Counter
from dataclasses import dataclass, field

from tests.observer_simulation.faults import WEIGHTS
from tests.observer_simulation.judge import Violation
from tests.observer_simulation.world.timeline import Timeline
from tests.observer_simulation.world.world import World

FIRST_FAULT_MS = 10_000
"""The observer has seen every topic by then. It can't know that a topic was recreated before."""


class Failure(AssertionError):
    """A seed broke a promise. The message says how to replay it."""


@dataclass
class Result:
    """The results of one seed."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)


class Simulation:
    """The simulation of one seed."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.timeline = Timeline(seed, traced=traced)
        self.world = World(self.timeline)
        self.result = Result(seed)
        self._phase = "storm"

    def run(self) -> Result:
        """Storm and calm. Raises Failure."""
        try:
            self._storm()
            self._phase = "calm"
            self._calm()
        except Violation as error:
            raise Failure(self._describe(str(error))) from error
        finally:
            self._count()
        return self.result

    def _storm(self) -> None:
        timeline, plan = self.timeline, self.world.plan
        for _ in range(plan.faults):
            timeline.after(timeline.rng.randint(FIRST_FAULT_MS, plan.storm_ms), self._fault)
        until_ms = timeline.now_ms + plan.storm_ms
        while timeline.now_ms < until_ms:
            self.world.poll()

    def _fault(self) -> None:
        fault = self.timeline.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if fault.__name__ == self.world.plan.without:
            return
        self.result.faults[fault.__name__] += 1
        self.timeline.say(f"fault: {fault.__name__}")
        fault(self.world)

    def _calm(self) -> None:
        """Raises Violation if a clock does not come up to the present."""
        world, timeline = self.world, self.timeline
        world.heal()
        target_ms = timeline.now_ms
        while behind := [leader for leader in world.leaders if (leader.last_tick_ms or 0) < target_ms]:
            world.poll()
            if timeline.now_ms > target_ms + world.calm_ms:
                raise Violation(f"dead: {world.describe(behind[0])}")

    def _count(self) -> None:
        self.result.counts.update(self.world.judge.counts)
        self.result.counts.update({f"calls of {name}": number for name, number in self.world.answers.calls.items()})
        self.result.sometimes.update(self.world.sometimes.counts)

    def _describe(self, words: str) -> str:
        seed = self.result.seed
        return (
            f"{words}\n  seed {seed}, {self._phase}; replay: python -m tests.observer_simulation --seed {seed} --trace"
        )
