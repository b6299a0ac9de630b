"""Where due tasks are handed on: a task queue's broker."""

import uuid
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339

DUE_HEADER = "clocksvc-due"
TICK_HEADER = "clocksvc-tick"
CLOCK_HEADER = "clocksvc-clock"

_IDS = uuid.UUID("6e0c1f0e-7f2f-4bd5-9d0c-5f0e6f0f5c11")


@dataclass(frozen=True, slots=True)
class DueTask:
    """One task to be sent.

    Attributes:
        entry: by whose schedule.
        due_ms: when it was due, in the clock's time; at or before the tick.
        tick: the tick at which it goes.
    """

    clock: str
    dispatcher: str
    entry: str
    due_ms: int
    tick: Tick

    @property
    def id(self) -> str:
        """The same whenever and by whomever this is sent: a double can be told by it. A UUID."""
        return str(uuid.uuid5(_IDS, f"{self.clock}/{self.dispatcher}/{self.entry}/{self.due_ms}"))

    @property
    def headers(self) -> dict[str, str]:
        """What a task is told beside its arguments: clock, due time and tick; times in RFC 3339."""
        return {
            CLOCK_HEADER: self.clock,
            DUE_HEADER: to_rfc3339(self.due_ms),
            TICK_HEADER: to_rfc3339(self.tick.at_ms),
        }


class TaskQueue(Protocol):
    """A broker of tasks."""

    def send(self, sending: DueTask) -> None:
        """Hand one task on; it is the broker's when this returns. May block for as long as the broker's time-out.

        Raises:
            TaskQueueUnavailable: it may have been taken or not; sending it again does no harm.
        """
