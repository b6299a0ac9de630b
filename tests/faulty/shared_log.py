"""Several clocks of one log, with a store, a tick log and topics that can fail, and the replicas that lead the log."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.topics import TimestampType
from clocksvc.leader.context import LeaderDependencies, LeaderObserver
from clocksvc.leader.leader import Leader
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStoreServer
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.faulty.topics import FaultyTopics

LOG = 2
_MOST_STEPS = 10_000
_INSTALLATION = Installation("memory", "memory")


def clocks_of_log(count: int, log: int = LOG) -> list[str]:
    """Names of clocks that belong to one log: c2, c20, …"""
    names = (f"c{number}" for number in itertools.count())
    return list(itertools.islice((name for name in names if log_of(name) == log), count))


class _LeasesOfReplica:
    """`Leases` that one replica does not always reach."""

    def __init__(self, leases: Leases, reached: Callable[[], bool]) -> None:
        self._leases, self._reached = leases, reached

    def __getattr__(self, name: str) -> Any:
        if not self._reached():
            raise StoreUnavailable
        return getattr(self._leases, name)


class SharedLog:
    """Clocks of one log. Each has a topic of its own, named after the clock, with one partition unless set.

    Attributes:
        names, specs: the clocks.
        time: the time of store, brokers and leaders.
        store_server, log, topics: the servers.
        stores: the store of each clock, which leaders use. A test can replace one before it creates a leader.
        ready: False if replicas announce themselves as not ready; by replica.
        without_store: the replicas that do not reach the store.
        leaders: the leaders that `run` steps, by replica.
    """

    def __init__(
        self,
        count: int = 2,
        *,
        now: str = "2026-11-22T12:30:00Z",
        interval_seconds: int = 60,
        partitions: int = 1,
        timestamp_type: TimestampType = TimestampType.LOG_APPEND_TIME,
    ) -> None:
        self.names = clocks_of_log(count)
        self.time = ManualTime(now)
        self.store_server = FaultyStoreServer(self.time)
        self.log = FaultyLog(self.time)
        self.topics = FaultyTopics("memory")
        self.specs = {
            name: ClockSpec(name, (name,), "group", interval_seconds * 1000, max_out_of_orderness_ms=0)
            for name in self.names
        }
        self.stores: dict[str, Store] = {name: self.store_server.store(name) for name in self.names}
        for name in self.names:
            self.topics.create(name, partitions, timestamp_type)
        self.ready: dict[str, bool] = {}
        self.without_store: set[str] = set()
        self.leaders: dict[str, Leader] = {}
        self._ids = itertools.count(1)

    def add_leader(
        self,
        replica: str = "leader",
        *,
        specs: Mapping[str, ClockSpec] | None = None,
        ticklog: TickLog | None = None,
        observer: LeaderObserver | None = None,
        installation: Installation = _INSTALLATION,
        settle: bool = True,
    ) -> Leader:
        """Create the leader of a replica, which `run` steps, and let it step until it is idle."""
        specs = self.specs if specs is None else specs
        parts = LeaderDependencies(
            log=LOG,
            installation=installation,
            specs=specs,
            leases=self._leases(replica),
            stores={name: self.stores[name] for name in specs},
            ticklog=ticklog or FaultyTickLog(self.log),
            topics=self.topics,
            time=self.time,
            kafka_ready=lambda: self.ready.get(replica, True),
            new_id=lambda: f"{next(self._ids):012x}{0:020x}",
        )
        leader = self.leaders[replica] = Leader(parts, replica, observer)
        if settle:
            self.settle(leader)
        return leader

    def _leases(self, replica: str) -> Leases:
        leases = self.store_server.leases(LOG)
        return cast("Leases", _LeasesOfReplica(leases, lambda: replica not in self.without_store))

    def change(self, **fields: object) -> None:
        """Change the configuration of all clocks. Leaders that exist keep the old one."""
        self.specs = {name: replace(spec, **fields) for name, spec in self.specs.items()}  # type: ignore[arg-type]

    def settle(self, *leaders: Leader) -> None:
        """Let leaders step until they are idle; all of them unless some are given. The time does not change."""
        for leader in leaders or tuple(self.leaders.values()):
            for _ in range(_MOST_STEPS):
                if leader.step() > 0:
                    break
            else:
                raise AssertionError(f"after {_MOST_STEPS} steps another step is due")

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False, step_s: float = 0.25) -> None:
        """Advance the time and let all leaders step, until a condition is true."""
        for _ in range(round(seconds / step_s)):
            if until():
                return
            self.time.advance(step_s)
            self.settle()

    def send(self, timestamp: str | int, clocks: Iterable[str] | None = None, partition: int = 0) -> list[Outcome]:
        """Report a processed timestamp to clocks, to all of them unless some are given. No leader steps."""
        timestamp_ms = parse_timestamp("timestamp", timestamp) if isinstance(timestamp, str) else timestamp
        outcomes: list[Outcome] = []
        for name in self.names if clocks is None else clocks:
            reported = PartitionTimestamp(Partition(name, partition), timestamp_ms)
            outcomes += self.stores[name].report(Report(self.specs[name].group, (reported,))).outcomes
        return outcomes

    def report(self, timestamp: str | int, clocks: Sequence[str] | None = None, partition: int = 0) -> None:
        """Report a processed timestamp to clocks, and let all leaders step until they are idle."""
        self.send(timestamp, clocks, partition)
        self.settle()
