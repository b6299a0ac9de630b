"""Consumers of a tick log in memory. One member of a group has the assignment."""

from dataclasses import dataclass, field

from clocksvc.clock.log_record import decode_message
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.tick_log import MemoryLog

_MAX_TICKS = 500


@dataclass
class MemoryGroup:
    """The processes of one dispatcher at one tick log. One member has the assignment at a time.

    Attributes:
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

    def __init__(self, group: MemoryGroup) -> None:
        self._group = group
        self._offset: int | None = None
        self._epoch: int | None = None
        group.members.append(self)
        if group.assigned is None:
            group.assign(self)

    @property
    def assignment_epoch(self) -> int | None:
        return self._epoch

    def last_tick_ms(self, keep_alive: KeepAlive) -> int | None:
        newest = next(self._group.log.committed_newest_first(), None)
        return None if newest is None else decode_message(self._group.clock, newest).state.last_tick_ms

    def seek(self, after: Checkpoint | None) -> None:
        offset = None if after is None else after.offset
        low, high = self._group.log.first_offset, self._group.log.end
        self._offset = low if offset is None or not low <= offset <= high else offset

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        epoch = self._group.epoch if self._group.assigned is self else None
        if epoch != self._epoch:
            self._epoch, self._offset = epoch, None
        return [] if self._offset is None else self._read(self._offset)

    def close(self) -> None:
        self._epoch = self._offset = None
        self._group.leave(self)

    def _read(self, start: int) -> list[TickWithOffset]:
        found: list[TickWithOffset] = []
        for offset, message in self._group.log.committed_from(start):
            tick = decode_message(self._group.clock, message).tick
            if tick is not None:
                found.append(TickWithOffset(offset, tick))
            if len(found) == _MAX_TICKS:
                break
        self._offset = found[-1].offset + 1 if found else start
        return found
