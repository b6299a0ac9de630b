"""Where due schedules go instead of the topic of due records: to a task queue that workers read."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.tick_log import KeepAlive


class SinkKind(StrEnum):
    """Where the due schedules of a clock go: the topic of due records, Celery, or Sentry's task platform."""

    TOPIC = "topic"
    CELERY = "celery"
    TASKBROKER = "taskbroker"


class Rejected(NamedTuple):
    """A due record that the task queue rejects, and why."""

    record: DueLogRecord
    problem: str


class DueSink(Protocol):
    """A task queue for due records.

    A task has the id and the headers of its record, and the payload as its only argument. After a crash, a record is
    sent again with the same id.
    """

    def send(self, records: Sequence[DueLogRecord], keep_alive: KeepAlive) -> list[Rejected]:
        """Enqueue a task for each record, in order. When this returns, the queue has them.

        Calls `keep_alive` from time to time. If it raises, this method ends with its error.

        Returns:
            The records that the queue rejects, and would reject again. It has none of them.

        Raises:
            TaskQueueUnavailable: some of the tasks may not have been accepted. They can be sent again.
        """
