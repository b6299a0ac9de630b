"""A dispatcher over in-memory implementations: a tick log written by the test, and a task queue that can fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clocksvc.clock.log_owner import LogOwner
from clocksvc.clock.log_record import Beginning, ClockState, Record, encode_message
from clocksvc.clock.tick import Tick
from clocksvc.errors import InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.schedule import Schedule
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.jobs.observer import DispatcherObserver
from clocksvc.kafka.tick_log_topic import TickLogTopic
from clocksvc.memory.tick_consumer import MemoryGroup
from clocksvc.testing import ManualTime
from tests.faulty.checkpoints import FaultyCheckpoints, FaultyCheckpointTopic
from tests.faulty.tick_consumer import FaultyTickConsumer
from tests.faulty.tick_log import FaultyLog

MINUTE = 60_000
START_MIN = 29_922_240  # 2026-11-22T08:00Z


@dataclass
class RecordingTaskQueue:
    """Accepts every task. `failing` tasks fail first; tasks of schedules in `rejecting` are rejected."""

    tasks: list[DueTask] = field(default_factory=list)
    failing: int = 0
    rejecting: set[str] = field(default_factory=set)

    def send(self, task: DueTask) -> None:
        if task.schedule in self.rejecting:
            raise InvalidValue("args", object(), "wanted JSON")
        if self.failing:
            self.failing -= 1
            raise TaskQueueUnavailable
        self.tasks.append(task)

    def due(self, schedule: str) -> list[int]:
        """The due times of a schedule's tasks, in minutes after the start, in the order of sending."""
        return [round(one.due_ms / MINUTE) - START_MIN for one in self.tasks if one.schedule == schedule]


class DispatcherFixture:
    """A clock's tick log and checkpoints, and the processes of one dispatcher."""

    def __init__(self) -> None:
        self.time = ManualTime(START_MIN * 60)
        self.log = FaultyLog(self.time, shape=TickLogTopic("clocksvc-ticks"))
        self.group = MemoryGroup(self.log, "c")
        self.topic = FaultyCheckpointTopic()
        self.queue = RecordingTaskQueue()
        self.last_min: int | None = None
        self.emitted_min: int | None = None

    def tick(self, *minutes: int) -> None:
        """The leader commits the ticks of these minutes after the start, in one transaction."""
        messages = []
        for minute in minutes:
            at_ms = (START_MIN + minute) * MINUTE
            previous = None if self.last_min is None else (START_MIN + self.last_min) * MINUTE
            state = ClockState(last_tick_ms=at_ms, last_emitted_ms=at_ms)
            messages.append(encode_message(Record("c", state, Tick("c", at_ms, previous, MINUTE, at_ms))))
            self.last_min = self.emitted_min = minute
        self.log.begin_own(messages)
        self.log.end_own(committed=True)

    def skip_to(self, minute: int) -> None:
        """`clocksvc init --skip-ticks`: the clock continues after this minute. Before a tick, it corrects one."""
        at_ms = (START_MIN + minute) * MINUTE
        beginning = Beginning(None if self.emitted_min is None else (START_MIN + self.emitted_min) * MINUTE, at_ms)
        self.log.begin_own([encode_message(Record("c", ClockState(last_tick_ms=at_ms, beginning=beginning)))])
        self.log.end_own(committed=True)
        self.last_min = minute

    def dispatcher(
        self,
        schedules: Sequence[Schedule],
        name: str = "beat",
        observer: DispatcherObserver | None = None,
        app: str | None = None,
        *,
        check_owner: Callable[[LogOwner], None] = lambda owner: None,
        traced: bool = False,
    ) -> TaskDispatcher:
        """Start another process of the dispatcher."""
        consumer, checkpoints = FaultyTickConsumer(self.group, self.log), FaultyCheckpoints(self.topic, "c", name)
        parts = (consumer, checkpoints, self.queue, self.time, observer, app)
        return TaskDispatcher("clocksvc", "c", name, schedules, *parts, check_owner=check_owner, traced=traced)

    def run(self, *dispatchers: TaskDispatcher, steps: int = 12) -> None:
        """Run some steps of each dispatcher in turn."""
        for _ in range(steps):
            for dispatcher in dispatchers:
                dispatcher.step(0.0)
