"""What is sent for an entry: a task's name, its arguments, Celery's options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clocksvc.clock.tick import Tick

Arguments = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """One entry's message.

    Attributes:
        arguments: gives (args, kwargs) for the tick at which it goes.
        route: the dotted name that it is routed by; the task's own where it is "".
    """

    task: str
    arguments: Callable[[Tick], Arguments]
    options: Mapping[str, Any] = field(default_factory=dict)
    route: str = ""


def with_tick(tick: Tick) -> Arguments:
    """The tick as JSON, alone."""
    return (tick.to_wire(),), {}
