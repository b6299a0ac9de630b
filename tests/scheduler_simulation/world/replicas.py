"""The replicas of `clocksvc scheduler`: one thread for the replica, and one for each of its partitions."""

from collections.abc import Callable
from functools import partial

from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats
from clocksvc.scheduler.replica import SchedulerReplica
from tests.scheduler_simulation.sometimes import Path
from tests.scheduler_simulation.world.clock import NAME
from tests.scheduler_simulation.world.due_log import SKEW_MS, ReplicaDueLog
from tests.scheduler_simulation.world.environment import Environment
from tests.scheduler_simulation.world.schedule_writer import ReplicaScheduleWriter
from tests.scheduler_simulation.world.topic import Link, ReplicaTopic
from tests.simulation.world.scheduler import Scheduler, SimulatedTime

Owners = Callable[[int], int]
"""Returns how many replicas take themselves for the owner of a partition."""


class Replica:
    """One process. Without `dead`, its threads run.

    Attributes:
        product: the replica's own object.
        partitions: those that it has open, by number.
        leaving: SIGTERM was sent.
    """

    def __init__(self, environment: Environment, number: int, owners: Owners) -> None:
        scheduler = environment.scheduler
        self._owners = owners
        rng = scheduler.rng
        self.name = f"host:{number} {rng.getrandbits(64):016x}"
        self.link = Link(slow_s=rng.choice((0.0, 0.0, 0.0, 0.2)))
        self.time = SimulatedTime(scheduler, rng.choice((0, 0, -SKEW_MS, SKEW_MS)))
        self.partitions: dict[int, SchedulePartition] = {}
        self.leaving = False
        self._environment, self._scheduler = environment, scheduler
        self._woken = False
        self.product = SchedulerReplica(
            NAME,
            environment.spec.partitions,
            replica=self.name,
            address=f"http://host-{number}:8080",
            schedulers=environment.schedulers(self.link),
            open_partition=self._open,
            time=self.time,
            new_id=lambda: f"{rng.getrandbits(128):032x}",
            rng=rng,
        )
        scheduler.spawn(self.name, self._run)

    def leave(self) -> None:
        """As after SIGTERM."""
        self.leaving = True
        self.product.leave()
        self._woken = True

    def owns(self, number: int) -> bool:
        """True if this replica takes itself for the owner of a partition."""
        found = self.partitions.get(number)
        return found is not None and found.state is PartitionState.OWNER

    def _run(self) -> None:
        """The body of the replica's thread."""
        while True:
            self._woken = False
            wait_s = self.product.step()
            if wait_s is None:
                self._scheduler.say(f"{self.name} has left")
                if self._owners(0):
                    self._environment.sometimes.took(Path.LEFT)
                self._scheduler.act(lambda: self._scheduler.kill(self.name))
                self._scheduler.wait(3600)
                return
            self._scheduler.wait(wait_s, lambda: self._woken)

    def _wake(self) -> None:
        self._woken = True
        self.product.wake()

    def _open(self, number: int) -> "RunningPartition":
        environment, link = self._environment, self.link
        ticks = environment.ticks(link)
        partition = SchedulePartition(
            environment.spec,
            number,
            schedules=lambda: ReplicaTopic(self._scheduler, environment.topic, link),
            due_log=ReplicaDueLog(environment.logs[number], link, self._scheduler.say, ticks.known),
            writer=ReplicaScheduleWriter(self._scheduler, environment.topic, environment.writers[number], link),
            ticks=ticks,
            time=self.time,
            on_state=partial(self._changed, number),
        )
        self.partitions[number] = partition
        return RunningPartition(self._scheduler, self.name, partition, partial(self._closed, number, partition))

    def _changed(self, number: int) -> None:
        partition = self.partitions.get(number)
        if partition is not None:
            self._scheduler.say(f"{self.name}: partition {number} is {partition.state.value}, lost {partition.lost}")
            if partition.state is PartitionState.OWNER:
                self._environment.judge.began(number)
                if self._owners(number) > 1:
                    self._environment.sometimes.took(Path.TWO_OWNERS)
        self._wake()

    def _closed(self, number: int, partition: SchedulePartition) -> None:
        if self.partitions.get(number) is partition:
            del self.partitions[number]


class RunningPartition:
    """Implements ReplicaPartition with a thread of the simulation, as `scheduler.partition_thread` with a real one."""

    def __init__(
        self, scheduler: Scheduler, process: str, partition: SchedulePartition, closed: Callable[[], None]
    ) -> None:
        self._scheduler, self._partition, self._closed = scheduler, partition, closed
        self._ends = False
        self.closed = False
        scheduler.spawn(process, self._run)

    @property
    def state(self) -> PartitionState:
        return self._partition.state

    @property
    def stats(self) -> PartitionStats:
        return self._partition.stats

    def acquire(self) -> None:
        self._partition.acquire()

    def release(self) -> None:
        self._partition.release()

    def close(self) -> None:
        self._ends = True
        self._partition.wake.set()

    def _run(self) -> None:
        wake = self._partition.wake
        while not self._ends:
            wake.clear()
            wait_s = self._partition.step()
            if wait_s > 0 and not self._ends:
                self._scheduler.wait(wait_s, wake.is_set)
        self._partition.close()
        self.closed = True
        self._closed()
