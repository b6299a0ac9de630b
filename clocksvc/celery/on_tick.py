"""`@on_tick("checkins")`: a Celery task that is sent at each tick of a clock, with the tick as its only argument."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import signals

from clocksvc.clock.spec import check_clock_name
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.schedule import CatchUp, EachTick, Schedule, parse_catch_up

logger = logging.getLogger("clocksvc.dispatcher")

T = TypeVar("T")
ATTRIBUTE = "clocksvc_on_tick"
"""The attribute of a decorated task that contains its `OnTick`."""

TICK_PREFIX = "tick:"
"""The prefix of the names of schedules made by `@on_tick`. Names in `beat_schedule` must not begin with it."""


@dataclass(frozen=True, slots=True)
class OnTick:
    """The options of a decorated task. `name` is the dotted name for routing."""

    clock: str
    name: str
    catch_up: CatchUp = CatchUp.ALL
    max_age_ms: int | None = None

    def schedule(self, task: str) -> Schedule:
        """Return the schedule of the decorated task. Its name contains the task's name, because dotted names can
        repeat."""
        return Schedule(f"{TICK_PREFIX}{task}", EachTick(), self.catch_up, self.max_age_ms)


def on_tick(
    clock: str, *, name: str | None = None, catch_up: str = "all", max_age: str | None = None
) -> Callable[[T], T]:
    """Return a decorator for a Celery task. `ClockScheduler` sends the task at each tick of the clock.

        @on_tick("checkins", name="ingest.close_minute")
        @app.task
        def close_minute(tick): ...

    Args:
        clock: the clock's name.
        name: the dotted name for routing (see `namespaces`); default: the task's name.
        catch_up: which missed ticks are sent. `all` sends all of them in order, `last` only the last of them.
        max_age: a duration such as `1h`. Ticks that are older are not sent.

    Raises:
        InvalidValue: an argument is not valid, or the decorated object is not a Celery task.
    """
    check_clock_name("on_tick.clock", clock)
    mode, max_age_ms = parse_catch_up("on_tick", catch_up, max_age)

    def mark(task: T) -> T:
        marked: Any = task
        if not hasattr(marked, "apply_async"):
            raise InvalidValue("on_tick", task, "wanted a Celery task; write @on_tick(…) above @app.task")
        signals.beat_init.connect(_check_scheduler)
        setattr(marked, ATTRIBUTE, OnTick(clock, name or marked.name, mode, max_age_ms))
        return task

    return mark


def _check_scheduler(sender: Any, **_: Any) -> None:
    """Log a warning if a beat starts whose scheduler does not send the app's decorated tasks."""
    if getattr(sender.scheduler, "sends_tasks_on_tick", False):
        return
    marked = sorted(name for name, task in sender.app.tasks.items() if hasattr(task, ATTRIBUTE))
    if marked:
        logger.warning("tasks with @on_tick need -S clocksvc.celery:ClockScheduler; not sent: %s", ", ".join(marked))
