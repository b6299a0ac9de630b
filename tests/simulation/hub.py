"""The seeded scheduler: every process is a greenlet that gives way before and after each call to a keeper."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import greenlet

START_MS = 1_795_334_400_000


@dataclass(eq=False)
class Task:
    """One thread of a simulated process."""

    process: str
    run: greenlet
    wake_at_ms: int = 0
    until: Callable[[], bool] | None = None
    stopped_until_ms: int = 0
    calls: int = 0
    error: BaseException | None = field(default=None)


class Hub:
    """Decides who runs next, by the seed; time passes only here."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_ms = START_MS
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.steps = 0
        self.trace: list[str] = []
        self._main = greenlet.getcurrent()

    def spawn(self, process: str, body: Callable[[], None]) -> Task:
        """Begin a thread of a process."""
        task = Task(process, greenlet(body, parent=self._main))
        self.tasks.append(task)
        return task

    def kill(self, process: str) -> None:
        """End all threads of a process where they stand, as SIGKILL does."""
        for task in [task for task in self.tasks if task.process == process]:
            self.tasks.remove(task)
            task.run.throw()

    def stop(self, process: str, until_ms: int) -> None:
        """Freeze a process, as SIGSTOP does; it never notices."""
        for task in self.tasks:
            if task.process == process:
                task.stopped_until_ms = until_ms

    def give_way(self, what: str = "", seconds: float = 0.0, until: Callable[[], bool] | None = None) -> None:
        """Called by a task: let others run, for at least `seconds` or until a condition holds."""
        task = self.current
        if task is None or greenlet.getcurrent() is not task.run:
            return
        task.wake_at_ms = self.now_ms + round(seconds * 1000)
        task.until = until
        if what:
            task.calls += 1
            self.trace.append(f"{self.now_ms - START_MS:>8} {task.process}: {what}")
        self._main.switch()

    def run_one(self) -> None:
        """Let one task go on to where it next gives way; time passes where nobody can run, and a little otherwise."""
        self.steps += 1
        ready = [task for task in self.tasks if self._ready(task)]
        if not ready:
            self.now_ms = max(self.now_ms + 1, min((self._next(task) for task in self.tasks), default=self.now_ms))
            return
        if self.rng.random() < 0.5:
            self.now_ms += self.rng.randrange(8)
        task = self.rng.choice(ready)
        self.current = task
        try:
            task.run.switch()
        finally:
            self.current = None
        if task.run.dead and task in self.tasks:
            self.tasks.remove(task)

    def _ready(self, task: Task) -> bool:
        if self.now_ms < task.stopped_until_ms:
            return False
        return self.now_ms >= task.wake_at_ms or (task.until is not None and task.until())

    def _next(self, task: Task) -> int:
        return max(task.wake_at_ms, task.stopped_until_ms)


class SimulatedTime:
    """A process's own clock: the hub's, off by a skew."""

    def __init__(self, hub: Hub, skew_ms: int = 0) -> None:
        self._hub = hub
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._hub.now_ms + self.skew_ms

    def monotonic(self) -> float:
        return self._hub.now_ms / 1000


class Interrupted:
    """A keeper as one simulated process uses it: others may run before and after each call."""

    def __init__(self, hub: Hub, keeper: Any, name: str) -> None:
        self._hub, self._keeper, self._name = hub, keeper, name

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._keeper, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._hub.give_way(f"{self._name}.{name}")
            result = method(*args, **kwargs)
            self._hub.give_way()
            return result

        return call


class InterruptedStore(Interrupted):
    """A store whose blocking calls pass simulated time."""

    def wait_for_wake(self, timeout_s: float) -> bool:
        woken: list[bool] = []

        def poll() -> bool:
            if self._keeper.broken:
                return False
            woken.extend([True] if self._keeper.wait_for_wake(0) else [])
            return bool(woken)

        self._hub.give_way("store.wait_for_wake", timeout_s, poll)
        return bool(woken)
