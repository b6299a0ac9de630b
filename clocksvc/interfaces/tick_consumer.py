"""One dispatcher's turn at a clock's tick log: of all its processes one has it at a time, and reads committed ticks.

Who has the turn is decided by the keeper (Kafka's consumer groups). It can be wrong for a while about a process that
was asleep: what makes the turn sure is the fencing of the positions.
"""

from typing import NamedTuple, Protocol

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_log import KeepAlive


class TickWithOffset(NamedTuple):
    """A tick and where it stands in the tick log."""

    offset: int
    tick: Tick


class TickConsumer(Protocol):
    """One process's membership. Only one thread may use it."""

    @property
    def assignment_epoch(self) -> int | None:
        """Another number for each turn that this process gets; None while another process has it."""

    def last_tick_ms(self, waiting: KeepAlive) -> int | None:
        """Where the clock stands by its tick log now; None before its first tick.

        Raises:
            Unavailable, OpenTransaction: not known now.
        """

    def seek(self, after: Checkpoint | None) -> None:
        """Read from where a position's tick stood, that one first; from the beginning where that is not known or
        outside of the log. Only in one's turn."""

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        """The next ticks, ascending, as soon as there are any; [] after `timeout_s`, or while it is not one's turn.

        Raises:
            TickLogUnavailable: the log can't be read.
        """

    def close(self) -> None:
        """Leave: another process gets the turn at once."""
