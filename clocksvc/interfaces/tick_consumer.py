"""Reads a clock's committed ticks for a dispatcher. One process of the dispatcher has the assignment at a time.

The implementation decides which process has the assignment, as a Kafka consumer group does. A process that was
suspended may notice late that it has lost the assignment. This is harmless, because its checkpoints are fenced.
"""

from typing import NamedTuple, Protocol

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_log import KeepAlive


class TickWithOffset(NamedTuple):
    """A tick and its offset in the tick log."""

    offset: int
    tick: Tick


class TickConsumer(Protocol):
    """The membership of one process in a dispatcher's group. Only one thread may use it."""

    @property
    def assignment_epoch(self) -> int | None:
        """A number that differs for each assignment of this process; None while it has no assignment."""

    def last_tick_ms(self, keep_alive: KeepAlive) -> int | None:
        """Return the last tick in the tick log; None before the clock's first tick.

        Raises:
            Unavailable, OpenTransaction: the tick log can't be read now.
        """

    def seek(self, after: Checkpoint | None) -> None:
        """Continue reading at a checkpoint's tick, which is read again. Call this only during an assignment.

        If the offset of the checkpoint is unknown or not in the log, continue at the beginning of the log.
        """

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        """Return the next ticks, ascending. Blocks for up to `timeout_s`.

        Returns [] after `timeout_s`, and at any time without an assignment.

        Raises:
            TickLogUnavailable: the log can't be read.
        """

    def close(self) -> None:
        """Leave the group, so that another process gets the assignment at once."""
