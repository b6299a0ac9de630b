"""The interface to a task queue: a broker of Celery, or Sentry's task platform."""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339

ID_HEADER = "clocksvc-id"
DUE_HEADER = "clocksvc-due"
TICK_HEADER = "clocksvc-tick"
CLOCK_HEADER = "clocksvc-clock"
SCHEDULE_HEADER = "clocksvc-schedule"
TASK_HEADER = "clocksvc-task"
TRACE_HEADER = "traceparent"
"""The header of W3C Trace Context. Only with `tracing.task_headers`."""

_NAMESPACE = uuid.UUID("6e0c1f0e-7f2f-4bd5-9d0c-5f0e6f0f5c11")


def repeatable_id(*parts: object) -> str:
    """Return a UUID (version 5) made from names and times. Equal parts give the same id."""
    # uuid.uuid5 takes four times as long, and the scheduler makes an id for each due record.
    digest = hashlib.sha1(_NAMESPACE.bytes + "/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


@dataclass(frozen=True, slots=True)
class DueTask:
    """One task to be sent.

    Attributes:
        installation: the prefix of the installation's keys in Redis. With it, installations whose clocks and schedules
            have equal names can share workers.
        schedule: the schedule's name.
        due_ms: the due time, in the clock's time; at or before the tick.
        tick: the first tick at or after the due time.
        traced: True if the headers contain the trace context of the tick.
    """

    installation: str
    clock: str
    dispatcher: str
    schedule: str
    due_ms: int
    tick: Tick
    traced: bool = False

    @property
    def id(self) -> str:
        """A UUID made from installation, clock, dispatcher, schedule and due time. A repeated send has the same id."""
        return repeatable_id(self.installation, self.clock, self.dispatcher, self.schedule, self.due_ms)

    @property
    def headers(self) -> dict[str, str]:
        """The message headers: id, clock, due time and tick; times in RFC 3339; the trace context if `traced`.

        A task platform gives a retried task a new id. The header keeps this one.
        """
        headers = {
            ID_HEADER: self.id,
            CLOCK_HEADER: self.clock,
            DUE_HEADER: to_rfc3339(self.due_ms),
            TICK_HEADER: to_rfc3339(self.tick.at_ms),
        }
        return {**headers, TRACE_HEADER: self._trace_context()} if self.traced else headers

    def _trace_context(self) -> str:
        """Return a sampled W3C `traceparent`. It is the same for all tasks of a tick, and for a repeated send."""
        digest = hashlib.sha256(f"{self.installation}/{self.clock}/{self.tick.at_ms}".encode()).hexdigest()
        return f"00-{digest[:32]}-{digest[32:48]}-01"


class TaskQueue(Protocol):
    """A queue that accepts due tasks."""

    def send(self, task: DueTask) -> None:
        """Enqueue one task; when this returns, the queue has it. Blocks for at most the queue's own timeout.

        Raises:
            TaskQueueUnavailable: the outcome is unknown; the task can be sent again under the same id.
            InvalidValue: the queue rejects this task, and would reject it again.
        """
