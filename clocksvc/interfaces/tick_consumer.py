"""Reads a clock's committed ticks for a dispatcher. One process of the dispatcher has the assignment at a time.

The clock's log contains other clocks' records, and records that are not ticks. The consumer skips them.

The implementation decides which process has the assignment, as a Kafka consumer group does. A process that was
suspended may notice late that it has lost the assignment. This is harmless, because its checkpoints are fenced.
"""

from typing import NamedTuple, Protocol

from clocksvc.clock.log_owner import LogOwner, read_owner
from clocksvc.clock.log_record import CONTROL, TICK, Message, decode_message
from clocksvc.clock.log_state import read_log_state
from clocksvc.clock.tick import Tick
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_log import KeepAlive, TickLog, no_keep_alive


class TickWithOffset(NamedTuple):
    """A tick and its offset in the tick log.

    Attributes:
        begins: True if `clocksvc init` began the chain again before this tick. Boundaries before it are skipped.
    """

    offset: int
    tick: Tick
    begins: bool = False


class OwnerWithOffset(NamedTuple):
    """The owner of a log, and the offset of the record that names it."""

    offset: int
    owner: LogOwner


class TickDecoder:
    """Decodes the records of one clock in the order of the log.

    Attributes:
        owner: the newest owner of the log among the decoded records; None if none of them names it.
    """

    def __init__(self, clock: str) -> None:
        self._key = clock.encode()
        self._begins_after_ms: int | None = None
        self.owner: OwnerWithOffset | None = None

    def reset(self, newest: Message | None = None) -> None:
        """Forget the records before.

        Args:
            newest: the clock's newest record before the next one. None if the next record does not follow the ones
                before, or if there are none.

        Raises:
            UnreadableRecord: this version can't read `newest`.
        """
        self._begins_after_ms = None
        if newest is not None:
            record = decode_message(newest)
            self._begins_after_ms = None if record.state.beginning is None else record.state.last_tick_ms

    def decode(self, offset: int, message: Message) -> TickWithOffset | None:
        """Return the tick of a record; None for a record of another clock or type.

        Raises:
            UnreadableRecord: this version can't read the record.
        """
        if message.key != self._key or message.type not in (TICK, CONTROL):
            owner = read_owner(message)
            self.owner = self.owner if owner is None else OwnerWithOffset(offset, owner)
            return None
        record = decode_message(message)
        if record.tick is None:
            self._begins_after_ms = None if record.state.beginning is None else record.state.last_tick_ms
            return None
        begins = self._begins_after_ms is not None and record.tick.previous_ms == self._begins_after_ms
        self._begins_after_ms = None
        return TickWithOffset(offset, record.tick, begins)


class LastTick(NamedTuple):
    """The last tick of a clock, when its log was read up to offset `end`.

    Attributes:
        at_ms: the time of the tick. None before the clock's first tick. It is never the time that `clocksvc init` set,
            because the next `init` can set an earlier one, and ticks after that would count as sent.
        owner: the installation and the store that led the log last; None if the log has no such record.
    """

    at_ms: int | None
    end: int
    owner: LogOwner | None


class TickConsumer(Protocol):
    """The membership of one process in a dispatcher's group. Only one thread may use it."""

    @property
    def assignment_epoch(self) -> int | None:
        """A number that differs for each assignment of this process; None while it has no assignment."""

    @property
    def owner(self) -> OwnerWithOffset | None:
        """The newest owner of the log among the records that `poll` has read; None if none of them names it."""

    def last_tick(self, keep_alive: KeepAlive) -> LastTick:
        """Return the last tick in the clock's log.

        Raises:
            Unavailable, OpenTransaction: the tick log can't be read now, or has lost the clock's records.
            UnreadableRecord: this version can't read the clock's last record.
        """

    def seek(self, after: Checkpoint | None) -> None:
        """Continue reading at a checkpoint's tick, which is read again. Call this only during an assignment.

        If the offset of the checkpoint is unknown, ticks before the checkpoint may be read, too. Without a checkpoint,
        or if its offset is not in the log, continue at the beginning of the log. Can block for several seconds.

        Raises:
            TickLogUnavailable: the log can't be read.
        """

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        """Return the next ticks, ascending. Blocks for up to `timeout_s`.

        Returns [] after `timeout_s`, and at any time without an assignment.

        Raises:
            TickLogUnavailable: the log can't be read, or this process can't get an assignment.
            UnreadableRecord: this version can't read a tick.
        """

    def close(self) -> None:
        """Leave the group, so that another process gets the assignment at once."""


MAX_CLOCK_SKEW_MS = 3_600_000
"""How far the brokers' clock may be behind the clocks of leaders."""


def offset_before(log: TickLog, at_ms: int) -> int:
    """Return an offset before all ticks that are later than `at_ms`, because no tick is in the log before its time."""
    return log.offset_at(max(0, at_ms - MAX_CLOCK_SKEW_MS), no_keep_alive)


def read_last_tick(log: TickLog, clock: str, keep_alive: KeepAlive) -> LastTick:
    """Return the last tick of a clock from its log: see `TickConsumer.last_tick`."""
    first, end = log.bounds(keep_alive)
    state = read_log_state(first, end, lambda start, upto: log.read(start, upto, keep_alive))
    newest = state.newest.get(clock)
    if newest is not None:
        return LastTick(decode_message(newest).state.emitted_tick_ms, end, state.owner)
    if not state.complete:
        raise TickLogUnavailable(f"the tick log has lost records, and contains none of clock {clock!r}")
    return LastTick(None, end, state.owner)
