"""Durable checkpoints of a clock's dispatchers: the tick up to which each has sent all due tasks.

An implementation serves one dispatcher of one clock, such as `beat`. Checkpoints are not kept in the store, which can
be lost, nor in the tick log, which only the leader writes. Calls block; a call that waits calls `waiting` about once a
second. An object must not be used by two threads at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.interfaces.tick_log import KeepAlive

OWN_KEY = ""
"""The key of the dispatcher's own position, beside those of its entries."""

BEAT, TICK_TASKS = "beat", "tasks"
"""The names of two dispatchers: an app's beat, unless named otherwise, and the one in the service's own beat."""


def checkpoint_topic(tick_log: str) -> str:
    """The Kafka topic that keeps the positions of all dispatchers of the clock whose tick log this is."""
    return f"{tick_log}-checkpoints"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One position.

    Attributes:
        at_ms: the tick up to which everything was sent; for an entry, the tick before which it did not exist.
        offset: of that tick in the tick log, where it is known: where to go on reading.
        schedule: an entry's schedule in words: another one is another entry.
    """

    at_ms: int
    offset: int | None = None
    fingerprint: str = ""


class Checkpoints(Protocol):
    """The positions of one dispatcher, by entry; its own under `OWN_KEY`."""

    def acquire(self, waiting: KeepAlive) -> Mapping[str, Checkpoint]:
        """Become the only writer, and read all positions: whoever wrote before is fenced when this returns.

        Raises:
            CheckpointsUnavailable: no answer, or another dispatcher's transaction is open for longer than it can live.
            UnreadableRecord: a position of a format that this version does not read.
        """

    def commit(self, positions: Mapping[str, Checkpoint | None], waiting: KeepAlive) -> None:
        """Write positions, all or none; None takes one away.

        Raises:
            Fenced: another process holds them now; nothing was written.
            OutcomeUnknown: the answer did not come; the next `hold` tells.
            CheckpointsUnavailable: nothing was written.
        """

    def close(self) -> None:
        """Free connections. May be called at any time, more than once."""
