"""A seeded simulation: the real leader and two real dispatchers over in-memory implementations, with faults.

A dispatcher can die or lose its assignment before and after each of its calls. The check knows the ticks of the tick
log and the tasks that the task queue took; it shares no code with the dispatcher.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from clocksvc.errors import TaskQueueUnavailable
from clocksvc.interfaces.schedule import (
    CatchUp,
    EachTick,
    Schedule,
)
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.memory.checkpoints import (
    MemoryCheckpoints,
    MemoryCheckpointTopic,
)
from clocksvc.memory.tick_consumer import (
    MemoryGroup,
    MemoryTickConsumer,
)
from clocksvc.memory.tick_log import CommitFault
from clocksvc.testing import InMemoryClock

MINUTE_S = 60
STEPS = 500
PERIODS = (1, 2, 3, 5, 7)
"""Each entry is due every so many minutes; `each` at each tick; `last` as each, but of several only the last."""


class Crash(BaseException):
    """SIGKILL, between two calls."""


@dataclass(frozen=True)
class Every:
    """Due at the multiples of some minutes."""

    minutes: int

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        step = self.minutes * MINUTE_S * 1000
        return iter(range((after_ms // step + 1) * step, upto_ms + 1, step))

    def fingerprint(self) -> str:
        return f"every {self.minutes} minutes"


ENTRIES = [
    *(Schedule(f"every-{minutes}", Every(minutes)) for minutes in PERIODS),
    Schedule("each", EachTick()),
    Schedule("last", EachTick(), CatchUp.LAST),
]


class Fragile:
    """A keeper as one process uses it: the process may die before and after each call."""

    def __init__(self, keeper: Any, dies: Callable[[], bool]) -> None:
        self._keeper, self._dies = keeper, dies

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._keeper, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._dies():
                raise Crash
            result = found(*args, **kwargs)
            if self._dies():
                raise Crash
            return result

        return call


@dataclass
class Outcome:
    """What one seed did, and what was wrong."""

    ticks: int = 0
    sent: int = 0
    duplicates: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Simulation:
    """One world from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = InMemoryClock(interval_seconds=MINUTE_S)
        self.group = MemoryGroup(self.clock.log, self.clock.spec.name)
        self.topic = MemoryCheckpointTopic()
        self.taken: list[DueTask] = []
        self.broker_down = False
        self.mortal = True
        self.outcome = Outcome()
        self.processes: list[tuple[TaskDispatcher, MemoryTickConsumer]] = []

    def run(self) -> Outcome:
        """Faults for a while, then calm, then judgement."""
        self._reported()
        for _ in range(2):
            self._start()
        self._until_first_turn()
        began_ms = self._last_ms()
        for _ in range(STEPS):
            self._fault() if self.rng.random() < 0.1 else self._act()
        self._calm()
        self._judge(began_ms)
        return self.outcome

    # -- the broker -----------------------------------------------------------------------------------------------

    def send(self, sending: DueTask) -> None:
        """The broker's side: a task can be taken although its dispatcher hears of a failure."""
        if self.broker_down and self.rng.random() < 0.7:
            raise TaskQueueUnavailable
        self.taken.append(sending)
        if self.broker_down:
            raise TaskQueueUnavailable

    # -- who acts -------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        if self.rng.random() < 0.4:
            self._reported()
        else:
            self._step(self.rng.randrange(len(self.processes)))

    def _reported(self) -> None:
        """Some minutes pass, and consumers say so; the leader is in trouble if its keepers are."""
        self.clock.time.advance(MINUTE_S * self.rng.choice([1, 1, 1, 2, 6]))
        if self.clock.log.unavailable:
            return
        for _ in range(4):  # after a loss of the store: the lease, recovery, the roster, who is heard
            self.clock.report(0, self.clock.time.now_ms() / 1000)
            self.clock.time.advance(1)

    def _step(self, number: int) -> None:
        dispatcher, subscription = self.processes[number]
        try:
            dispatcher.step(0.0)
        except Crash:
            self.outcome.faults["crash"] += 1
            self.group.leave(subscription)
            del self.processes[number]
            self._start()

    def _start(self) -> None:
        subscription = MemoryTickConsumer(self.group)

        def dies() -> bool:
            return self.mortal and self.rng.random() < 0.01

        dispatcher = TaskDispatcher(
            self.clock.spec.name,
            "beat",
            ENTRIES,
            Fragile(subscription, dies),
            Fragile(MemoryCheckpoints(self.topic, "beat"), dies),
            Fragile(self, dies),
            self.clock.time,
        )
        self.processes.append((dispatcher, subscription))

    # -- faults ---------------------------------------------------------------------------------------------------

    def _fault(self) -> None:
        name = self.rng.choice(sorted(_FAULTS))
        self.outcome.faults[name] += 1
        _FAULTS[name](self)

    def flush_store(self) -> None:
        """FLUSHALL."""
        self.clock.store.wipe()

    def give_the_turn_away(self) -> None:
        """A rebalance: whoever had it learns of it later."""
        self.group.give(self.rng.choice(self.group.members))

    def lose_an_answer(self) -> None:
        """A position is written, or not, and nobody says which."""
        self.topic.commit_faults.append(self.rng.choice(list(CommitFault)))

    def toggle_positions(self) -> None:
        """The positions can't be had; or they can again."""
        self.topic.unavailable = not self.topic.unavailable

    def toggle_broker(self) -> None:
        """The broker is in trouble; or it is well again."""
        self.broker_down = not self.broker_down

    def toggle_log(self) -> None:
        """The tick log can't be read or written; or it can again."""
        self.clock.log.unavailable = not self.clock.log.unavailable

    # -- judgement ------------------------------------------------------------------------------------------------

    def _until_first_turn(self) -> None:
        while not self.taken:
            self._reported()
            self._step(self.rng.randrange(len(self.processes)))

    def _calm(self) -> None:
        self.mortal = self.broker_down = self.topic.unavailable = self.clock.log.unavailable = False
        self.topic.commit_faults.clear()
        for _ in range(3):
            self._reported()
        for _ in range(60):
            for number in range(len(self.processes)):
                self._step(number)

    def _last_ms(self) -> int:
        return max(self._committed(), default=0)

    def _committed(self) -> list[int]:

        values = [json.loads(one.value or b"") for one in self.clock.log.committed() if one.type == "tick"]
        return [int(value["timestamp_seconds"]) * 1000 for value in values]

    def _judge(self, began_ms: int) -> None:
        ticks = [at_ms for at_ms in self._committed() if at_ms > began_ms]
        self.outcome.ticks, self.outcome.sent = len(ticks), len(self.taken)
        self.outcome.duplicates = len(self.taken) - len({one.id for one in self.taken})
        wrong = self.outcome.wrong
        got: dict[str, list[int]] = {entry.name: [] for entry in ENTRIES}
        ids: dict[tuple[str, int], str] = {}
        for one in self.taken:
            if ids.setdefault((one.schedule, one.due_ms), one.id) != one.id:
                wrong.append(f"{one.schedule} of {one.due_ms} came under two ids")
            if one.due_ms > one.tick.at_ms:
                wrong.append(f"early: {one.schedule} of {one.due_ms} with tick {one.tick.at_ms}")
            if one.due_ms > began_ms and one.due_ms not in got[one.schedule]:
                got[one.schedule].append(one.due_ms)
        wanted = {f"every-{n}": [at_ms for at_ms in ticks if at_ms % (n * MINUTE_S * 1000) == 0] for n in PERIODS}
        wanted["each"] = ticks
        for name, due in wanted.items():
            if got[name] != due:
                wrong.append(f"{name}: lost {sorted(set(due) - set(got[name]))}, added {set(got[name]) - set(due)}")
        last = got["last"]
        if last != sorted(last) or not set(last) <= set(ticks) or last[-1:] != ticks[-1:]:
            wrong.append(f"last: {last[-3:]} of {ticks[-3:]}")


_FAULTS: dict[str, Callable[[Simulation], None]] = {
    fault.__name__: fault
    for fault in (
        Simulation.flush_store,
        Simulation.give_the_turn_away,
        Simulation.lose_an_answer,
        Simulation.toggle_positions,
        Simulation.toggle_broker,
        Simulation.toggle_log,
    )
}
