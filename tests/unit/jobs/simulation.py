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
from clocksvc.interfaces.schedule import CatchUp, EachTick, Schedule
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.memory.tick_consumer import MemoryGroup
from tests.faulty.checkpoints import FaultyCheckpoints, FaultyCheckpointTopic
from tests.faulty.clock import FaultyClock
from tests.faulty.commits import CommitFault
from tests.faulty.tick_consumer import FaultyTickConsumer

MINUTE_S = 60
STEPS = 500
PERIODS = (1, 2, 3, 5, 7)
"""One schedule for each period, in minutes. Also `each`, due at each tick, and `last`, the same with `CatchUp.LAST`."""


class Crash(BaseException):
    """SIGKILL between two calls."""


@dataclass(frozen=True)
class Every:
    """A Recurrence that is due at multiples of a number of minutes."""

    minutes: int

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        step = self.minutes * MINUTE_S * 1000
        return iter(range((after_ms // step + 1) * step, upto_ms + 1, step))

    def fingerprint(self) -> str:
        return f"every {self.minutes} minutes"


SCHEDULES = [
    *(Schedule(f"every-{minutes}", Every(minutes)) for minutes in PERIODS),
    Schedule("each", EachTick()),
    Schedule("last", EachTick(), CatchUp.LAST),
]


class CrashingProxy:
    """Forwards calls; the process can crash before and after each of them."""

    def __init__(self, target: Any, dies: Callable[[], bool]) -> None:
        self._target, self._dies = target, dies

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
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
    """Counts and errors of one seed."""

    ticks: int = 0
    sent: int = 0
    duplicates: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


class Simulation:
    """One run, determined by its seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = FaultyClock(interval_seconds=MINUTE_S)
        self.group = MemoryGroup(self.clock.log, self.clock.spec.name)
        self.topic = FaultyCheckpointTopic()
        self.sent: list[DueTask] = []
        self.queue_down = False
        self.crashes_allowed = True
        self.outcome = Outcome()
        self.processes: list[tuple[TaskDispatcher, FaultyTickConsumer]] = []

    def run(self) -> Outcome:
        """Run with faults, then without, then check the results."""
        self._advance_clock()
        for _ in range(2):
            self._start()
        self._until_first_task()
        first_ms = self._last_ms()
        for _ in range(STEPS):
            self._fault() if self.rng.random() < 0.1 else self._act()
        self._recover()
        self._check(first_ms)
        return self.outcome

    # -- the task queue -----------------------------------------------------------------------------------------------

    def send(self, task: DueTask) -> None:
        """The task queue: during an outage a task can be accepted although the call fails."""
        if self.queue_down and self.rng.random() < 0.7:
            raise TaskQueueUnavailable
        self.sent.append(task)
        if self.queue_down:
            raise TaskQueueUnavailable

    # -- actions -------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        if self.rng.random() < 0.4:
            self._advance_clock()
        else:
            self._step(self.rng.randrange(len(self.processes)))

    def _advance_clock(self) -> None:
        """Let some minutes pass, with reports of the consumers, so that the leader emits ticks."""
        self.clock.time.advance(MINUTE_S * self.rng.choice([1, 1, 1, 2, 6]))
        if self.clock.log.unavailable:
            return
        for _ in range(4):  # after a loss of the store: lease, recovery, roster, announcements
            self.clock.report(0, self.clock.time.now_ms() / 1000)
            self.clock.time.advance(1)

    def _step(self, number: int) -> None:
        dispatcher, consumer = self.processes[number]
        try:
            dispatcher.step(0.0)
        except Crash:
            self.outcome.faults["crash"] += 1
            self.group.leave(consumer)
            del self.processes[number]
            self._start()

    def _start(self) -> None:
        consumer = FaultyTickConsumer(self.group, self.clock.log)

        def dies() -> bool:
            return self.crashes_allowed and self.rng.random() < 0.01

        dispatcher = TaskDispatcher(
            "memory",
            self.clock.spec.name,
            "beat",
            SCHEDULES,
            CrashingProxy(consumer, dies),
            CrashingProxy(FaultyCheckpoints(self.topic, self.clock.spec.name, "beat"), dies),
            CrashingProxy(self, dies),
            self.clock.time,
        )
        self.processes.append((dispatcher, consumer))

    # -- faults ---------------------------------------------------------------------------------------------------

    def _fault(self) -> None:
        name = self.rng.choice(sorted(_FAULTS))
        self.outcome.faults[name] += 1
        _FAULTS[name](self)

    def flush_store(self) -> None:
        """FLUSHALL."""
        self.clock.store_server.wipe()

    def reassign(self) -> None:
        """A rebalance; the process that loses the assignment notices later."""
        self.group.assign(self.rng.choice(self.group.members))

    def lose_a_commit_answer(self) -> None:
        """A commit gets no answer; it may have succeeded."""
        self.topic.commit_faults.append(self.rng.choice(list(CommitFault)))

    def tear_a_commit(self) -> None:
        """A delayed request ends a commit after its first checkpoints."""
        self.topic.torn.append(self.rng.randrange(4))

    def toggle_checkpoints(self) -> None:
        """Begin or end an outage of the checkpoints."""
        self.topic.unavailable = not self.topic.unavailable

    def toggle_queue(self) -> None:
        """Begin or end an outage of the task queue."""
        self.queue_down = not self.queue_down

    def toggle_log(self) -> None:
        """Begin or end an outage of the tick log."""
        self.clock.log.unavailable = not self.clock.log.unavailable

    # -- the check ------------------------------------------------------------------------------------------------

    def _until_first_task(self) -> None:
        while not self.sent:
            self._advance_clock()
            self._step(self.rng.randrange(len(self.processes)))

    def _recover(self) -> None:
        self.crashes_allowed = self.queue_down = self.topic.unavailable = self.clock.log.unavailable = False
        self.topic.commit_faults.clear()
        self.topic.torn.clear()
        for _ in range(3):
            self._advance_clock()
        for _ in range(60):
            for number in range(len(self.processes)):
                self._step(number)

    def _last_ms(self) -> int:
        return max(self._committed(), default=0)

    def _committed(self) -> list[int]:
        values = [
            json.loads(one.message.value or b"") for one in self.clock.log.committed() if one.message.type == "tick"
        ]
        return [int(value["timestamp_seconds"]) * 1000 for value in values]

    def _check(self, first_ms: int) -> None:
        ticks = [at_ms for at_ms in self._committed() if at_ms > first_ms]
        self.outcome.ticks, self.outcome.sent = len(ticks), len(self.sent)
        self.outcome.duplicates = len(self.sent) - len({one.id for one in self.sent})
        errors = self.outcome.errors
        received: dict[str, list[int]] = {schedule.name: [] for schedule in SCHEDULES}
        ids: dict[tuple[str, int], str] = {}
        for one in self.sent:
            if ids.setdefault((one.schedule, one.due_ms), one.id) != one.id:
                errors.append(f"{one.schedule} of {one.due_ms} has two ids")
            if one.due_ms > one.tick.at_ms:
                errors.append(f"early: {one.schedule} of {one.due_ms} with tick {one.tick.at_ms}")
            if one.due_ms > first_ms and one.due_ms not in received[one.schedule]:
                received[one.schedule].append(one.due_ms)
        expected = {f"every-{n}": [at_ms for at_ms in ticks if at_ms % (n * MINUTE_S * 1000) == 0] for n in PERIODS}
        expected["each"] = ticks
        for name, due in expected.items():
            if received[name] != due:
                errors.append(
                    f"{name}: lost {sorted(set(due) - set(received[name]))}, added {set(received[name]) - set(due)}"
                )
        last = received["last"]
        if last != sorted(last) or not set(last) <= set(ticks) or last[-1:] != ticks[-1:]:
            errors.append(f"last: {last[-3:]} of {ticks[-3:]}")


_FAULTS: dict[str, Callable[[Simulation], None]] = {
    fault.__name__: fault
    for fault in (
        Simulation.flush_store,
        Simulation.reassign,
        Simulation.lose_a_commit_answer,
        Simulation.tear_a_commit,
        Simulation.toggle_checkpoints,
        Simulation.toggle_queue,
        Simulation.toggle_log,
    )
}
