"""The seeded scheduler: every process is a few greenlets that yield before and after each call to an implementation.

It decides who runs next and lets time pass; it knows nothing of clocks and ticks.
"""

import random
from collections.abc import Callable

from greenlet import getcurrent, greenlet

START_MS = 1_795_334_400_000
TRACED = 60
"""How many steps are kept for a failure's message, unless all are wanted."""

Condition = Callable[[], bool]


class Task:
    """One thread of a simulated process."""

    __slots__ = ("process", "rank", "run", "stopped_until_ms", "until", "wake_at_ms")

    def __init__(self, process: str, run: greenlet, rank: float) -> None:
        self.process, self.run, self.rank = process, run, rank
        self.wake_at_ms = self.stopped_until_ms = 0
        self.until: Condition | None = None


Trap = Callable[[Task], None]


class Scheduler:
    """Decides who runs next, by the seed. Time passes only here.

    Attributes:
        calm: no process is interrupted between two steps.
        traps: actions for the next process that comes to a named step.
        pace_ms: the longest time that passes with one step.
    """

    def __init__(self, rng: random.Random, *, traced: bool = False) -> None:
        self.rng = rng
        self.now_ms = START_MS
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.steps = 0
        self.calm = False
        self.traps: dict[str, Trap] = {}
        self.pace_ms = rng.choice((3, 10, 30))
        self._moment = 0
        self._steady = rng.choice((0.0, 0.0, 0.5, 0.9))
        self._ranked = rng.choice((0.0, 0.0, 0.6, 0.95))
        self._traced = traced
        self._trace: list[tuple[int, str, str]] = []
        self._sprung: list[tuple[Trap, Task]] = []
        self._last: Task | None = None
        self._main = getcurrent()

    # -- processes --------------------------------------------------------------------------------------------------

    def spawn(self, process: str, body: Callable[[], None]) -> Task:
        """Start a thread of a process."""
        task = Task(process, greenlet(body, parent=self._main), self.rng.random())
        self.tasks.append(task)
        return task

    def kill(self, process: str) -> None:
        """End all threads of a process where they are, as SIGKILL does."""
        for task in [task for task in self.tasks if task.process == process]:
            self.tasks.remove(task)
            task.run.throw()

    def stop(self, process: str, until_ms: int) -> None:
        """Freeze a process, as SIGSTOP does; it does not notice. It goes on at a time."""
        for task in self.tasks:
            if task.process == process:
                task.stopped_until_ms = until_ms

    def stopped(self, process: str) -> bool:
        """Whether a process is frozen."""
        return any(task.process == process and task.stopped_until_ms > self.now_ms for task in self.tasks)

    def runs(self, process: str) -> bool:
        """True if a process is alive."""
        return any(task.process == process for task in self.tasks)

    def alive(self, prefix: str) -> list[str]:
        """The processes of a kind, sorted."""
        return sorted({task.process for task in self.tasks if task.process.startswith(prefix)})

    def end(self) -> None:
        """End all processes."""
        for process in {task.process for task in self.tasks}:
            self.kill(process)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after a while, outside of all processes."""

        def wait() -> None:
            self.wait(seconds)
            self.act(action)

        self.spawn("later", wait)

    def act(self, action: Callable[[], None]) -> None:
        """Called by a task: do something before the next step, also to its own process."""
        if self.current is not None:
            self._sprung.append((lambda task: action(), self.current))

    # -- called by tasks ----------------------------------------------------------------------------------------------

    def between(self, what: str) -> None:
        """Called by a task between two steps: other tasks may run, unless all is calm."""
        task = self.current
        if task is None:
            return
        self._note(task.process, what)
        if self.calm:
            return
        if what in self.traps:
            self._sprung.append((self.traps.pop(what), task))
        task.wake_at_ms, task.until = 0, None
        self._main.switch()

    def wait(self, seconds: float, until: Condition | None = None) -> None:
        """Called by a task: go on after some time, or once a condition is true."""
        task = self.current
        if task is None:
            return
        task.wake_at_ms, task.until = self.now_ms + int(seconds * 1000), until
        self._main.switch()

    # -- called by the simulation -------------------------------------------------------------------------------------

    def run_one(self) -> None:
        """Run one task to its next step. Time passes if no task can run, and a little otherwise."""
        self.steps += 1
        now_ms, random = self.now_ms, self.rng.random
        ready = [
            task
            for task in self.tasks
            if task.stopped_until_ms <= now_ms
            and (task.wake_at_ms <= now_ms or (task.until is not None and task.until()))
        ]
        if not ready:
            # all tasks wait: until the first of them is due
            due = [(max(task.wake_at_ms, task.stopped_until_ms), task) for task in self.tasks]
            self.now_ms = max(now_ms + 1, min(at_ms for at_ms, _ in due))
            ready = [task for at_ms, task in due if at_ms <= self.now_ms]
        elif random() < 0.5:
            self.now_ms += int(random() * self.pace_ms)
        self.current = task = self._choose(ready)
        try:
            task.run.switch()
        finally:
            self.current = None
        if task.run.dead and task in self.tasks:
            self.tasks.remove(task)
        while self._sprung:
            action, caught = self._sprung.pop()
            action(caught)

    def moment(self) -> int:
        """A number for now: later ones are higher."""
        self._moment += 1
        return self._moment

    def say(self, what: str) -> None:
        """Note an event of the environment."""
        self._note("", what)

    def story(self, last: int | None = None) -> str:
        """The steps so far, one a line."""
        steps = self._trace if last is None else self._trace[-last:]
        return "\n".join(
            f"{at_ms - START_MS:>8} {process + ':' if process else '!!'} {what}" for at_ms, process, what in steps
        )

    def _choose(self, ready: list[Task]) -> Task:
        """Uniform with some seeds. With others the last task often goes on, or changing ranks decide."""
        random = self.rng.random
        if self._steady and self._last in ready and random() < self._steady:
            return self._last
        if self._ranked and random() < self._ranked:
            if random() < 0.02:
                self.tasks[int(random() * len(self.tasks))].rank = random()
            self._last = max(ready, key=_rank)
        else:
            self._last = ready[int(random() * len(ready))]
        return self._last

    def _note(self, process: str, what: str) -> None:
        trace = self._trace
        trace.append((self.now_ms, process, what))
        if len(trace) > 4 * TRACED and not self._traced:
            del trace[: 3 * TRACED]


def _rank(task: Task) -> float:
    return task.rank


class SimulatedTime:
    """The clock of a process: the scheduler's with a skew. `peak_ms` is the latest time it has ever shown."""

    def __init__(self, scheduler: Scheduler, skew_ms: int = 0) -> None:
        self._scheduler = scheduler
        self._skew_ms = skew_ms
        self._peak_ms = 0

    def now_ms(self) -> int:
        return self._scheduler.now_ms + self._skew_ms

    def monotonic(self) -> float:
        return self._scheduler.now_ms / 1000

    @property
    def peak_ms(self) -> int:
        return max(self._peak_ms, self.now_ms())

    def skew(self, skew_ms: int) -> None:
        """Set the clock."""
        self._peak_ms = self.peak_ms
        self._skew_ms = skew_ms
