"""`@on_tick("checkins")`: a task that is sent at each tick of a clock, with the tick as its only argument."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from clocksvc.clock.spec import check_clock_name
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.schedule import (
    CatchUp,
    EachTick,
    Entry,
    parse_backlog,
)

T = TypeVar("T")
MARK = "clocksvc_on_tick"
TICK_PREFIX = "tick:"
"""So begin the names of the entries; no entry of a beat schedule may."""


@dataclass(frozen=True, slots=True)
class OnTick:
    """What a task was marked with. `name` is what it is routed by."""

    clock: str
    name: str
    catch_up: CatchUp = CatchUp.ALL
    max_age_ms: int | None = None

    def entry(self, task: str) -> Entry:
        """The dispatcher's entry for the marked task, by the task's name: several may be routed by one name."""
        return Entry(f"{TICK_PREFIX}{task}", EachTick(), self.catch_up, self.max_age_ms)


def on_tick(
    clock: str, *, name: str | None = None, catch_up: str = "all", max_age: str | None = None
) -> Callable[[T], T]:
    """Mark a Celery task: `ClockScheduler` sends it at each tick of the clock.

        @on_tick("checkins", name="ingest.close_minute")
        @app.task
        def close_minute(tick): ...

    Args:
        clock: the clock's name.
        name: what the task is routed by (see `namespaces`); the task's own name unless set.
        catch_up: what becomes of missed ticks: `all`, each in order, or only the `last`.
        max_age: ticks older than this are not sent any more, such as `1h`.

    Raises:
        InvalidValue: names the argument.
    """
    check_clock_name("on_tick.clock", clock)
    how, max_age_ms = parse_backlog("on_tick", catch_up, max_age)

    def mark(task: T) -> T:
        marked: Any = task
        if not hasattr(marked, "apply_async"):
            raise InvalidValue("on_tick", task, "wanted a Celery task: @on_tick(…) goes above @app.task")
        setattr(marked, MARK, OnTick(clock, name or marked.name, how, max_age_ms))
        return task

    return mark
