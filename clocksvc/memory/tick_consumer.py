"""Consumers of a tick log in memory. One member of a group has the assignment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clocksvc.clock.log_record import LogEntry
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_consumer import (
    LastTick,
    OwnerWithOffset,
    TickDecoder,
    TickWithOffset,
    offset_before,
    read_last_tick,
)
from clocksvc.interfaces.tick_log import KeepAlive, TickLog
from clocksvc.memory.tick_log import MemoryLog, MemoryTickLog

_MAX_TICKS = 500


@dataclass
class MemoryGroup:
    """The processes of one dispatcher of a clock. One member has the assignment at a time.

    Attributes:
        log: the clock's log.
        assigned: the member that has the assignment.
        epoch: counts the assignments.
    """

    log: MemoryLog
    clock: str
    members: list["MemoryTickConsumer"] = field(default_factory=list)
    assigned: "MemoryTickConsumer | None" = None
    epoch: int = 0

    def assign(self, member: "MemoryTickConsumer | None") -> None:
        """Assign the log to a member, as a rebalance does; None for no member."""
        self.assigned = member
        self.epoch += 1

    def leave(self, member: "MemoryTickConsumer") -> None:
        """Remove a member, as happens when it closes or when its session expires."""
        if member in self.members:
            self.members.remove(member)
        if self.assigned is member:
            self.assign(next(iter(self.members), None))


class MemoryTickConsumer:
    """A `TickConsumer` in a MemoryGroup. It notices a new assignment when it polls, as Kafka's consumers do."""

    def __init__(self, group: MemoryGroup, log: TickLog | None = None) -> None:
        self._group = group
        self._log = MemoryTickLog(group.log) if log is None else log
        self._decoder = TickDecoder(group.clock)
        self._offset: int | None = None
        self._epoch: int | None = None
        group.members.append(self)
        if group.assigned is None:
            group.assign(self)

    @property
    def assignment_epoch(self) -> int | None:
        return self._epoch

    @property
    def owner(self) -> OwnerWithOffset | None:
        return self._decoder.owner

    def last_tick(self, keep_alive: KeepAlive) -> LastTick:
        return read_last_tick(self._log, self._group.clock, keep_alive)

    def seek(self, after: Checkpoint | None) -> None:
        low, high = self._group.log.first_offset, self._group.log.end
        if after is None:
            offset = low
        else:
            offset = offset_before(self._log, after.at_ms) if after.offset is None else after.offset
        self._offset = offset if low <= offset <= high else low
        self._decoder.reset()

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        epoch = self._group.epoch if self._group.assigned is self else None
        if epoch != self._epoch:
            self._epoch, self._offset = epoch, None
        return [] if self._offset is None else self._ticks(self._read(self._offset))

    def close(self) -> None:
        self._epoch = self._offset = None
        self._group.leave(self)

    def _read(self, start: int) -> Sequence[LogEntry]:
        return self._group.log.committed(start)

    def _ticks(self, entries: Sequence[LogEntry]) -> list[TickWithOffset]:
        """Return the clock's first ticks among these records, and continue after them."""
        found: list[TickWithOffset] = []
        for offset, message in entries:
            if len(found) == _MAX_TICKS:
                break
            self._offset = offset + 1
            tick = self._decoder.decode(offset, message)
            if tick is not None:
                found.append(tick)
        return found
