"""A dispatcher over in-memory keepers: a tick log that is written by hand, a broker that notes and can fail."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clocksvc.clock.log_record import (
    ClockState,
    Record,
    encode_message,
)
from clocksvc.clock.tick import Tick
from clocksvc.errors import InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.schedule import Schedule
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.jobs.dispatcher import (
    DispatcherObserver,
    TaskDispatcher,
)
from clocksvc.memory.checkpoints import (
    MemoryCheckpoints,
    MemoryCheckpointTopic,
)
from clocksvc.memory.tick_consumer import (
    MemoryGroup,
    MemoryTickConsumer,
)
from clocksvc.memory.tick_log import MemoryLog
from clocksvc.testing import ManualTime

MINUTE = 60_000
START_MIN = 29_922_240  # 2026-11-22T12:00Z


@dataclass
class NotingBroker:
    """Takes every task, unless it is told otherwise."""

    taken: list[DueTask] = field(default_factory=list)
    failing: int = 0
    refusing: set[str] = field(default_factory=set)

    def send(self, sending: DueTask) -> None:
        if sending.schedule in self.refusing:
            raise InvalidValue("args", object(), "wanted JSON")
        if self.failing:
            self.failing -= 1
            raise TaskQueueUnavailable
        self.taken.append(sending)

    def due(self, entry: str) -> list[int]:
        """The minutes after the start at which an entry's tasks were due, as they were sent."""
        return [round(one.due_ms / MINUTE) - START_MIN for one in self.taken if one.schedule == entry]


class Bed:
    """One clock's log and positions, and the processes of one dispatcher."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.group = MemoryGroup(self.log, "c")
        self.topic = MemoryCheckpointTopic()
        self.broker = NotingBroker()
        self.time = ManualTime(START_MIN * 60)
        self.last_min: int | None = None

    def tick(self, *minutes: int) -> None:
        """The leader commits the ticks of these minutes after the start, in one transaction."""
        made = []
        for minute in minutes:
            at_ms = (START_MIN + minute) * MINUTE
            previous = None if self.last_min is None else (START_MIN + self.last_min) * MINUTE
            state = ClockState(last_tick_ms=at_ms, last_emitted_ms=at_ms)
            made.append(encode_message(Record("c", state, Tick("c", at_ms, previous, MINUTE, at_ms))))
            self.last_min = minute
        self.log.begin_own(made)
        self.log.end_own(committed=True)

    def dispatcher(
        self, entries: Sequence[Schedule], name: str = "beat", observer: DispatcherObserver | None = None
    ) -> TaskDispatcher:
        """One more process of the dispatcher."""
        subscription, positions = MemoryTickConsumer(self.group), MemoryCheckpoints(self.topic, name)
        return TaskDispatcher("c", name, entries, subscription, positions, self.broker, self.time, observer)

    def run(self, *dispatchers: TaskDispatcher, steps: int = 12) -> None:
        """Let each do some steps."""
        for _ in range(steps):
            for dispatcher in dispatchers:
                dispatcher.step(0.0)
