"""Durable checkpoints: for each dispatcher of a clock, the tick up to which it has sent all due tasks.

An implementation serves one dispatcher of one clock, such as `shop`. They are not in the store, because the store can
lose them. They are not in the tick log, because only the leader writes to it. Methods block. While a method waits, it
calls `keep_alive` about once a second. An object must not be used by two threads at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.interfaces.tick_log import KeepAlive

OWN_KEY = ""
"""The key of the dispatcher's own checkpoint; the other keys are the names of its schedules."""

TICK_TASKS = "clocksvc"
"""The dispatcher of the service's own beat, `celery -A clocksvc beat`. A user's app can't use this name."""


def checkpoint_topic(tick_log: str) -> str:
    """Return the Kafka topic with the checkpoints of all dispatchers.

    Its partitions are numbered like the logs, so the checkpoints of a clock are in the partition of the clock's log.
    """
    return f"{tick_log}-checkpoints"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint of a dispatcher, or the registration of one of its schedules.

    Attributes:
        at_ms: for a dispatcher, the tick up to which it has sent all tasks. For a schedule, the tick from which on the
            schedule is due.
        offset: the offset of the tick `at_ms` in the tick log; None if unknown.
        fingerprint: the fingerprint of the schedule's recurrence. If it changes, the schedule counts as a new one. ""
            for a dispatcher.
        app: the name of the Celery app that wrote it. "" for the service's own dispatcher.
        task: the task of a schedule, as in `Schedule`. "" for a dispatcher.
    """

    at_ms: int
    offset: int | None = None
    fingerprint: str = ""
    app: str = ""
    task: str = ""


class Checkpoints(Protocol):
    """The checkpoint of one dispatcher, under `OWN_KEY`, and the registrations of its schedules, by name."""

    def read(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        """Return committed checkpoints by key. Fences no writer. The newest checkpoints can be missing.

        Raises:
            CheckpointsUnavailable: no answer.
            UnreadableRecord: a checkpoint has a format that this version does not read.
        """

    def acquire(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        """Become the only writer, and return all checkpoints by key. When this returns, earlier writers are fenced.

        Raises:
            CheckpointsUnavailable: no answer, or another dispatcher's transaction stayed open beyond its timeout.
            UnreadableRecord: a checkpoint has a format that this version does not read.
        """

    def commit(self, checkpoints: Mapping[str, Checkpoint | None], keep_alive: KeepAlive) -> None:
        """Write checkpoints, and wait until they are durable. The value None deletes the checkpoint of this key.

        Raises:
            Fenced: another process has acquired the checkpoints; nothing was written.
            OutcomeUnknown, CheckpointsUnavailable: call `acquire`, which returns what was written: all, nothing, or the
                first of these checkpoints.
        """

    def close(self) -> None:
        """Close connections. Can be called at any time, and more than once."""
