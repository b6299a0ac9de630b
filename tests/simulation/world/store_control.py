"""The store of one installation: what faults do to it, and what the judge sees of it."""

from collections.abc import Collection, Mapping, Sequence

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken
from clocksvc.memory.clock_reads import MemoryClockReads
from clocksvc.memory.leases import MemoryLeases
from clocksvc.memory.notices import MemoryNoticeReader
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.store_access import StoreAccess, StoreContent
from clocksvc.memory.store_state import StoredClock
from tests.faulty.store import FaultyStoreServer
from tests.simulation.world.scheduler import SimulatedTime


class _Leases(MemoryLeases):
    """Leases whose store keeps ticks for the time that the simulation sets, and not for `recent_ticks`."""

    def __init__(self, access: StoreAccess, log: int, recent_ms: Mapping[str, int]) -> None:
        super().__init__(access, log)
        self._recent_ms = recent_ms

    def publish(
        self, token: str, ticks: Mapping[str, Sequence[Tick]], recent_ticks_ms: Mapping[str, int]
    ) -> Mapping[str, int | ChainBroken]:
        return super().publish(token, ticks, self._recent_ms)


class StoreControl:
    """One store. `recent_ms` is for how long it keeps the ticks of each clock."""

    def __init__(self, time: SimulatedTime, recent_ms: Mapping[str, int]) -> None:
        self._server = FaultyStoreServer(time)
        self._time, self._recent_ms = time, recent_ms
        self.snapshots: list[StoreContent] = []
        self.snapshot_before: set[str] = set()
        """The methods before which a snapshot is always taken: `publish`, `write_roster`."""

    # -- for processes ------------------------------------------------------------------------------------------------

    def leases(self, log: int) -> MemoryLeases:
        """Return the leases of a log."""
        return _Leases(self._server.access, log, self._recent_ms)

    def store(self, clock: str) -> MemoryStore:
        """Return the store of a clock."""
        return self._server.store(clock, self._recent_ms[clock])

    def clock_reads(self) -> MemoryClockReads:
        """Return what reads many clocks at once."""
        return self._server.clock_reads()

    def notices(self, clocks: Collection[str]) -> MemoryNoticeReader:
        """Return a reader of notices."""
        return self._server.notices(clocks)

    # -- what it contains ---------------------------------------------------------------------------------------------

    def clock(self, clock: str) -> StoredClock:
        """Return the content of a clock."""
        return self._server.content.clock(clock)

    def ticks(self, clock: str) -> list[Tick]:
        """Return the stream of a clock."""
        return self._server.content.clock(clock).ticks

    def clocks(self, clock: str) -> dict[Partition, int | None]:
        """Return the partition clocks of a clock."""
        return self._server.content.clock(clock).clocks

    def topics(self, clock: str) -> dict[str, TopicMetadata]:
        """Return the topics of a clock's roster."""
        return self._server.content.clock(clock).topics

    def highest_known_ms(self, clock: str, topic: str) -> int:
        """Return the highest timestamp of a topic that a clock's store has."""
        known = [raw_ms or 0 for one, raw_ms in self.clocks(clock).items() if one.topic == topic]
        return max(known, default=0)

    def highest_ms(self) -> int:
        """Return the highest timestamp of all partitions, and the highest that a recreated topic waits for."""
        highest_ms = 0
        for content in self._server.content.clocks.values():
            known = (*content.clocks.values(), *content.accepted_from_ms.values())
            highest_ms = max([highest_ms, *(raw_ms or 0 for raw_ms in known)])
        return highest_ms

    def digests(self, log: int, clock: str) -> set[str]:
        """Return the announced digests of a clock."""
        found = self._server.content.log(log).live(self._time.now_ms())
        return {one.digests[clock] for one in found if clock in one.digests}

    def holder(self, log: int) -> str | None:
        """Return the replica that has the lease of a log."""
        lease = self._server.content.log(log).leader(self._time.now_ms())
        return None if lease is None else lease.replica

    def leads(self, log: int, token: str) -> bool:
        """True if a token has the lease of a log."""
        lease = self._server.content.log(log).leader(self._time.now_ms())
        return lease is not None and lease.token == token

    def notified(self, log: int) -> bool:
        """True if the leader of a log is notified."""
        return self._server.content.log(log).notified

    def notice_ends(self, logs: Collection[int]) -> tuple[int, ...]:
        """Return the number of the last notice of each log."""
        return tuple(self._server.content.log(number).last_notice for number in logs)

    # -- faults -------------------------------------------------------------------------------------------------------

    @property
    def broken(self) -> bool:
        return self._server.broken

    @broken.setter
    def broken(self, broken: bool) -> None:
        self._server.broken = broken

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self._server.wipe()

    def take_snapshot(self) -> None:
        """The store writes a snapshot; the last few are kept."""
        self.snapshots[:] = [*self.snapshots[-2:], self._server.copy_state()]

    def copy(self) -> StoreContent:
        """Return a copy of the content."""
        return self._server.copy_state()

    def restore(self, state: StoreContent) -> None:
        """A restart from an older file."""
        self._server.restore(state)

    def fail_over(self, state: StoreContent) -> None:
        """A failover to a replica that lagged."""
        self._server.fail_over(state)

    def lose_notification(self, log: int) -> None:
        """The notification of a leader is lost."""
        self._server.content.log(log).notified = False

    def trim_notices(self, log: int) -> None:
        """All notices are trimmed."""
        self._server.content.log(log).notices.clear()

    def drop_requests(self) -> None:
        """The requests are lost."""
        for content in self._server.content.clocks.values():
            content.requests.clear()
