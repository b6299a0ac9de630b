"""Assigns a clock's tick log to one process of a dispatcher at a time, which reads committed ticks.

The implementation decides which process has the assignment, as a Kafka consumer group does. A process that was
suspended can believe for a while that it still has it; fencing of the checkpoints makes this harmless.
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
    """The membership of one process. Only one thread may use it."""

    @property
    def assignment_epoch(self) -> int | None:
        """A number that differs for each assignment of this process; None while it has no assignment."""

    def last_tick_ms(self, keep_alive: KeepAlive) -> int | None:
        """The last tick in the tick log; None before the clock's first tick.

        Raises:
            Unavailable, OpenTransaction: it can't be read now.
        """

    def seek(self, after: Checkpoint | None) -> None:
        """Continue at a checkpoint's tick, which is read again; at the beginning of the log if its offset is unknown or
        not in the log. To be called during an assignment only."""

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        """The next ticks, ascending. Blocks for up to `timeout_s`, then returns []; without an assignment returns [].

        Raises:
            TickLogUnavailable: the log can't be read.
        """

    def close(self) -> None:
        """Leave, so that another process gets the assignment at once."""
