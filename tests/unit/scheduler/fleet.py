"""Replicas of the scheduler over a store in memory, with partitions that only load and fence. Time is manual."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count

from clocksvc.interfaces.schedulers import SchedulerAnnouncement, SchedulersReading
from clocksvc.interfaces.time import Time
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats
from clocksvc.scheduler.replica import SchedulerReplica
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStoreServer

CLOCK = "checkins"
STEP_S = 0.25


@dataclass
class Brokers:
    """Who fenced each partition last, as Kafka knows it.

    Attributes:
        writers: by partition.
        fences: the number of fences of each partition.
    """

    writers: dict[int, object] = field(default_factory=dict)
    fences: Counter[int] = field(default_factory=Counter)

    def fence(self, number: int, writer: object) -> None:
        """Make an object the only writer of a partition."""
        self.writers[number] = writer
        self.fences[number] += 1


class FakePartition:
    """A partition in a replica. An owner notices that it was fenced when it appends. A fence that has begun takes
    effect, although it is not wanted any more.

    Attributes:
        load_s, fence_s: how long these take.
        append_every_s: how often an owner appends something.
        problem: as in the stats.
    """

    def __init__(self, number: int, brokers: Brokers, time: Time, pace: "Pace") -> None:
        self.number = number
        self.stats = PartitionStats()
        self.closed = False
        self.problem: str | None = None
        self._brokers, self._time, self._pace = brokers, time, pace
        self._loaded_at = time.monotonic() + pace.load_s
        self._wanted = self._closing = False
        self._fenced_at: float | None = None
        self._appends_at = 0.0

    @property
    def state(self) -> PartitionState:
        return self.stats.state

    @property
    def writes(self) -> bool:
        """True if it owns the partition and no other one has fenced it."""
        return self.state is PartitionState.OWNER and self._brokers.writers.get(self.number) is self

    def acquire(self) -> None:
        self._wanted = True

    def release(self) -> None:
        self._wanted = False

    def close(self) -> None:
        self._closing, self._wanted = True, False
        self.closed = self._fenced_at is None
        self._set(PartitionState.LOADING)

    def step(self) -> bool:
        """Do what is due; True if the state has changed."""
        before, now = self.state, self._time.monotonic()
        if self._closing:
            if self._fenced_at is not None and now >= self._fenced_at:
                self._brokers.fence(self.number, self)
                self.closed = True
        elif before is PartitionState.LOADING:
            if now >= self._loaded_at and self.problem is None:
                self._set(PartitionState.LOADED)
        elif self._fenced_at is not None:
            if now >= self._fenced_at:
                self._fenced_at = None
                self._brokers.fence(self.number, self)
                self._appends_at = now + self._pace.append_every_s
                self._set(PartitionState.OWNER if self._wanted else PartitionState.LOADED)
        elif before is PartitionState.OWNER:
            fenced = self._brokers.writers.get(self.number) is not self
            if now >= self._appends_at and self.problem is None:
                self._appends_at = now + self._pace.append_every_s
                if fenced:
                    self._wanted = False
            if not self._wanted:
                self._set(PartitionState.LOADED)
        elif self._wanted and self.problem is None:
            self._fenced_at = now + self._pace.fence_s
        self.stats = replace(self.stats, problem=self.problem)
        return self.state is not before

    def _set(self, state: PartitionState) -> None:
        self.stats = replace(self.stats, state=state)


@dataclass
class Pace:
    """How long things take in a replica, in seconds."""

    load_s: float = 2.0
    fence_s: float = 0.5
    append_every_s: float = 1.0


class Fleet:
    """Replicas of one clock's scheduler.

    Attributes:
        partitions: the number of partitions.
        brokers: what Kafka knows.
        idle_s: for each partition, for how long it has had no owner that can write.
        gaps: the longest such time of each partition, since it had an owner first.
    """

    def __init__(self, partitions: int = 8, brokers: Brokers | None = None) -> None:
        self.partitions = partitions
        self.time = ManualTime()
        self.server = FaultyStoreServer(self.time)
        self.brokers = brokers or Brokers()
        self.replicas: dict[str, SchedulerReplica[FakePartition]] = {}
        self.paces: dict[str, Pace] = {}
        self.idle_s: dict[int, float] = {}
        self.gaps: dict[int, float] = {}
        self._due: dict[str, float] = {}
        self._opened: dict[str, list[FakePartition]] = {}
        self._paused: dict[str, float] = {}
        self._ids = count(1)

    def start(self, name: str, pace: Pace | None = None) -> SchedulerReplica[FakePartition]:
        """Start a replica."""
        self.paces[name] = pace or Pace()
        self._opened[name] = []

        def open_partition(number: int) -> FakePartition:
            assert all(one.closed for one in self._opened[name] if one.number == number), "opened twice"
            made = FakePartition(number, self.brokers, self.time, self.paces[name])
            self._opened[name].append(made)
            return made

        self.replicas[name] = SchedulerReplica(
            CLOCK,
            self.partitions,
            replica=f"{name}:1 x",
            address=f"http://{name}:8081",
            schedulers=self.server.schedulers(CLOCK),
            open_partition=open_partition,
            time=self.time,
            new_id=lambda: f"t-{next(self._ids)}",
        )
        self._due[name] = self.time.monotonic()
        return self.replicas[name]

    def kill(self, name: str) -> None:
        """SIGKILL."""
        for kept in (self.replicas, self.paces, self._due, self._opened):
            kept.pop(name)
        self._paused.pop(name, None)

    def pause(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        self._paused[name] = self.time.monotonic() + seconds

    def run(self, seconds: float) -> None:
        """Let time pass. Replicas that have left are removed."""
        for _ in range(round(seconds / STEP_S)):
            self._step()

    def owners(self) -> dict[int, str]:
        """The replica of each partition that can write to it."""
        return {
            one.number: name
            for name, replica in self.replicas.items()
            for one in replica.partitions.values()
            if one.writes
        }

    def tables(self) -> Counter[int]:
        """How many replicas have each partition in memory."""
        return Counter(number for replica in self.replicas.values() for number in replica.partitions)

    def reading(self) -> SchedulersReading:
        """What the store has."""
        return self.server.schedulers(CLOCK).read()

    def announcement(self, name: str) -> SchedulerAnnouncement:
        """What a replica announces."""
        return next(one for one in self.reading().announcements if one.replica == f"{name}:1 x")

    def _step(self) -> None:
        self.time.advance(STEP_S)
        now = self.time.monotonic()
        for name in list(self.replicas):
            if now < self._paused.get(name, 0.0):
                continue
            changed = [one.step() for one in self._opened[name] if not one.closed]
            if any(changed) or now >= self._due[name]:
                wait_s = self.replicas[name].step()
                if wait_s is None:
                    self.kill(name)
                else:
                    self._due[name] = now + wait_s
        writing = self.owners()
        for number in range(self.partitions):
            if number in writing:
                self.idle_s[number] = 0.0
                self.gaps.setdefault(number, 0.0)
            elif number in self.gaps:
                self.idle_s[number] += STEP_S
                self.gaps[number] = max(self.gaps[number], self.idle_s[number])
