"""Durable checkpoints of a clock's dispatchers: the tick up to which each has sent all due tasks.

An implementation serves one dispatcher of one clock, such as `beat`. Checkpoints are not kept in the store, which can
be lost, nor in the tick log, which only the leader writes. Calls block. A call that waits calls `keep_alive` about once
a second. An object must not be used by two threads at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.interfaces.tick_log import KeepAlive

OWN_KEY = ""
"""The key of the dispatcher's own checkpoint; the other keys are the names of its schedules."""

BEAT, TICK_TASKS = "beat", "tasks"
"""The names of two dispatchers: an app's beat, unless named otherwise, and the one in the service's own beat."""


def checkpoint_topic(tick_log: str) -> str:
    """The Kafka topic with the checkpoints of all dispatchers of the clock with this tick log."""
    return f"{tick_log}-checkpoints"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint of a dispatcher, or the registration of one of its schedules.

    Attributes:
        at_ms: the tick up to which everything was sent; of a schedule, the tick from which on it is due.
        offset: the offset of that tick in the tick log, if known.
        fingerprint: of a schedule's recurrence; a changed one makes it a new schedule. "" for a dispatcher.
    """

    at_ms: int
    offset: int | None = None
    fingerprint: str = ""


class Checkpoints(Protocol):
    """The checkpoint of one dispatcher, under `OWN_KEY`, and the registrations of its schedules, by name."""

    def acquire(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        """Become the only writer and read all checkpoints. When this returns, earlier writers are fenced.

        Raises:
            CheckpointsUnavailable: no answer, or another dispatcher's transaction stayed open beyond its timeout.
            UnreadableRecord: a checkpoint has a format that this version does not read.
        """

    def commit(self, checkpoints: Mapping[str, Checkpoint | None], keep_alive: KeepAlive) -> None:
        """Write checkpoints atomically; None deletes one.

        Raises:
            Fenced: another process has acquired them; nothing was written.
            OutcomeUnknown: no answer came; the next `acquire` reads what was written.
            CheckpointsUnavailable: nothing was written.
        """

    def close(self) -> None:
        """Close connections. Can be called at any time, and more than once."""
