"""Turns at a tick log in memory: a group's members, and who of them has the turn. For tests and simulations."""

from dataclasses import dataclass, field

from clocksvc.clock.log_record import Record, decode_message
from clocksvc.errors import OpenTransaction, TickLogUnavailable
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.tick_log import MemoryLog

BATCH = 500


@dataclass
class MemoryGroup:
    """One dispatcher's processes at one tick log. `give` hands the turn on, as a rebalance does."""

    log: MemoryLog
    clock: str
    members: list["MemoryTickConsumer"] = field(default_factory=list)
    holder: "MemoryTickConsumer | None" = None
    turns: int = 0

    def give(self, member: "MemoryTickConsumer | None") -> None:
        """Another member, or nobody, has the turn from now on."""
        self.holder = member
        self.turns += 1

    def leave(self, member: "MemoryTickConsumer") -> None:
        """A member is gone, or is taken for dead."""
        if member in self.members:
            self.members.remove(member)
        if self.holder is member:
            self.give(next(iter(self.members), None))


class MemoryTickConsumer:
    """One process's membership of a MemoryGroup: a Subscription.

    It learns of a turn's end when it polls, as Kafka's consumers do.
    """

    def __init__(self, group: MemoryGroup) -> None:
        self._group = group
        self._place: int | None = None
        self._turn: int | None = None
        group.members.append(self)
        if group.holder is None:
            group.give(self)

    @property
    def assignment_epoch(self) -> int | None:
        return self._turn

    def last_tick_ms(self, waiting: KeepAlive) -> int | None:
        log = self._group.log
        if log.unavailable:
            raise TickLogUnavailable
        if log.last_stable_offset < log.end:
            raise OpenTransaction
        newest = next(log.committed_newest_first(), None)
        return None if newest is None else decode_message(self._group.clock, newest).state.last_tick_ms

    def seek(self, after: Checkpoint | None) -> None:
        offset = None if after is None else after.offset
        low, high = self._group.log.first_offset, self._group.log.end
        self._place = low if offset is None or not low <= offset <= high else offset

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        group = self._group
        mine = group.turns if group.holder is self else None
        if mine != self._turn:
            self._turn, self._place = mine, None
        if self._place is None:
            return []
        if group.log.unavailable:
            raise TickLogUnavailable
        return self._read(self._place)

    def close(self) -> None:
        self._turn = self._place = None
        self._group.leave(self)

    def _read(self, place: int) -> list[TickWithOffset]:
        log, found = self._group.log, list[TickWithOffset]()
        for entry in log.entries:
            landed = entry.transaction is None or entry.transaction.committed is True
            if entry.message is None or entry.offset < place or entry.offset >= log.last_stable_offset or not landed:
                continue
            record: Record = decode_message(self._group.clock, entry.message)
            if record.tick is not None:
                found.append(TickWithOffset(entry.offset, record.tick))
            if len(found) == BATCH:
                break
        self._place = found[-1].offset + 1 if found else place
        return found
