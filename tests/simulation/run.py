"""One seed: a world, its processes, faults between any two steps, then a calm phase in which the clock must live."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from clocksvc.errors import ClocksvcError
from clocksvc.ticklogs.memory import CommitFault
from tests.simulation.actors import Processes
from tests.simulation.hub import Hub
from tests.simulation.oracle import Oracle, Violation
from tests.simulation.world import INTERVAL_MS, MAX_FUTURE_MS, World

STEPS = 1_500
CALM_MS = 60_000


@dataclass
class Result:
    """What one seed did."""

    seed: int
    steps: int = 0
    ticks: int = 0
    takeovers: int = 0
    records: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class Failure(AssertionError):
    """A seed broke a promise; the message says how to replay it."""


class Simulation:
    """One world from one seed."""

    def __init__(self, seed: int) -> None:
        self.hub = Hub(random.Random(seed))
        rng = self.hub.rng
        self.world = World(self.hub, store_skew_ms=rng.choice([0, 0, -400, 400]))
        self.oracle = Oracle(self.world)
        self.processes = Processes(self.hub, self.world, self.oracle)
        self.result = Result(seed)
        self._snapshot: Any = None
        self._leaders = 0
        self._consumers = 0
        for _ in range(2):
            self._new_leader()
            self._new_consumer()
        self.processes.start_producer()

    def run(self) -> Result:
        """Faults for a while, then calm. Raises Failure."""
        try:
            self._stormy()
            self._calm()
        except (Violation, ClocksvcError) as error:
            tail = "\n".join(self.hub.trace[-40:])
            raise Failure(
                f"seed {self.result.seed}, step {self.hub.steps}: {error}\nfaults: {dict(self.result.faults)}\n"
                f"last steps:\n{tail}\nreplay: python -m tests.simulation --seed {self.result.seed} --trace"
            ) from error
        self.result.steps = self.hub.steps
        self.result.ticks = len(self.oracle.ticks)
        self.result.takeovers = self.processes.takeovers
        self.result.records = len(self.world.first_processed)
        return self.result

    def _stormy(self) -> None:
        for _ in range(STEPS):
            if self.hub.rng.random() < 0.008:
                self._fault()
            self.hub.run_one()
            self.oracle.check()

    def _calm(self) -> None:
        self.world.store.broken = False
        self.world.log.unavailable = False
        self.world.topics.unavailable = False
        self.world.muted.clear()
        self.world.topics.hide("events", None)
        until_ms = self.hub.now_ms + CALM_MS
        while self.hub.now_ms < until_ms:
            self.hub.run_one()
            self.oracle.check()
            if self.oracle.ticks and self.hub.now_ms - self.oracle.ticks[-1] < 3 * INTERVAL_MS:
                return
        last = self.oracle.ticks[-1] if self.oracle.ticks else None
        raise Violation(f"dead: {CALM_MS} ms of calm and the clock stands at {last}, now is {self.hub.now_ms}")

    def _fault(self) -> None:
        rng = self.hub.rng
        name = rng.choice(sorted(_FAULTS))
        self.result.faults[name] += 1
        self.hub.trace.append(f"         fault: {name}")
        _FAULTS[name](self)

    def _new_leader(self) -> str:
        self._leaders += 1
        name = f"leader-{self._leaders}"
        self.processes.start_leader(name, self.hub.rng.choice([0, 0, -300, 300]))
        return name

    def _new_consumer(self) -> None:
        self._consumers += 1
        self.processes.start_consumer(f"consumer-{self._consumers}", self.hub.rng.choice([0, 0, -1_000, 1_000]))

    def _some(self, prefix: str) -> str:
        return self.hub.rng.choice(sorted({task.process for task in self.hub.tasks if task.process.startswith(prefix)}))

    def crash_leader(self) -> None:
        """SIGKILL, and a new one in its place."""
        self._kill_leader(self._some("leader"))
        self._new_leader()

    def _kill_leader(self, name: str) -> None:
        self.hub.kill(name)

    def crash_consumer(self) -> None:
        """SIGKILL, and a new one in its place."""
        name = self._some("consumer")
        self._new_consumer()
        self.processes.stop_consumer(name)

    def stop_leader(self) -> None:
        """SIGSTOP for longer than a lease, or shorter; SIGCONT."""
        self.hub.stop(self._some("leader"), self.hub.now_ms + self.hub.rng.choice([500, 4_000, 12_000]))

    def stop_consumer(self) -> None:
        """SIGSTOP: the group gives its partitions away, and it wakes as a zombie."""
        name = self._some("consumer")
        self.hub.stop(name, self.hub.now_ms + self.hub.rng.choice([500, 8_000]))
        for partition in self.world.partitions():
            if self.world.owners.get(partition) == name:
                self.world.owners[partition] = self._some("consumer")

    def rebalance(self) -> None:
        """Partitions change hands with nobody dead."""
        self.processes.rebalance()

    def wipe_store(self) -> None:
        """FLUSHALL."""
        self.world.store.wipe()

    def roll_store_back(self) -> None:
        """The store comes back from an old snapshot, now or later."""
        if self._snapshot is None or self.hub.rng.random() < 0.3:
            self._snapshot = self.world.store.copy_state()
        else:
            self.world.store.restore(self._snapshot)

    def break_store(self) -> None:
        """The store does not answer for a while."""
        self._for_a_while(self.world.store, "broken")

    def break_log(self) -> None:
        """The tick log does not answer for a while."""
        self._for_a_while(self.world.log, "unavailable")

    def break_metadata(self) -> None:
        """Kafka does not answer about topics for a while."""
        self._for_a_while(self.world.topics, "unavailable")

    def _for_a_while(self, part: object, switch: str) -> None:
        setattr(part, switch, True)

        def heal() -> None:
            self.hub.give_way("", self.hub.rng.choice([0.2, 1.0, 3.0, 8.0]))
            setattr(part, switch, False)

        self.hub.spawn("healer", heal)

    def lose_commit_answer(self) -> None:
        """The answer to the next commit never comes, whether it lands or not."""
        self.world.log.commit_faults.append(self.hub.rng.choice(list(CommitFault)))

    def hide_topic(self) -> None:
        """Metadata lags: it shows none of the topic, or less than was ticked with already, or all again."""
        fewer = self.oracle.partitions_ticked - 1
        shown = [None, None, 0] + ([fewer] if fewer > 0 else [])
        self.world.topics.hide("events", self.hub.rng.choice(shown))

    def add_partition(self) -> None:
        """The topic grows; producers and the group notice."""
        if self.world.topics.shape("events").partitions < 6:
            self.world.topics.hide("events", None)
            self.world.topics.add_partitions("events", 1)
            self.processes.rebalance()

    def poison(self) -> None:
        """A record with a timestamp far ahead, among good ones."""
        self.world.poison(self.hub.rng.choice(self.world.partitions()))

    def mute(self) -> None:
        """A partition falls silent, or speaks again."""
        partition = self.hub.rng.choice(self.world.partitions())
        self.world.muted ^= {partition}

    def jump(self) -> None:
        """Nobody runs for a while; time does not wait."""
        self.hub.now_ms += self.hub.rng.choice([2_000, 5_000, MAX_FUTURE_MS])


_FAULTS = {
    fault.__name__: fault
    for fault in (
        Simulation.crash_leader,
        Simulation.crash_consumer,
        Simulation.stop_leader,
        Simulation.stop_consumer,
        Simulation.rebalance,
        Simulation.wipe_store,
        Simulation.roll_store_back,
        Simulation.break_store,
        Simulation.break_log,
        Simulation.break_metadata,
        Simulation.lose_commit_answer,
        Simulation.hide_topic,
        Simulation.add_partition,
        Simulation.poison,
        Simulation.mute,
        Simulation.jump,
    )
}
