"""Replicas of the scheduler with threads and a real Redis: they share partitions, survive a flush, and leave."""

import threading
import uuid
from collections.abc import Callable
from typing import cast

import pytest

from clocksvc.interfaces.schedulers import SchedulersReading
from clocksvc.interfaces.time import SystemTime
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats
from clocksvc.scheduler.partition_thread import PartitionThread
from clocksvc.scheduler.replica import SchedulerReplica
from tests.interfaces.store_examples import CLOCK
from tests.interfaces.store_implementations import RedisStoreImplementation
from tests.unit.scheduler.fleet import Brokers, FakePartition, Pace
from tests.waiting import eventually

pytestmark = pytest.mark.servers

PACE = Pace(load_s=0.1, fence_s=0.1, append_every_s=0.1)


class SteppedPartition:
    """A partition that loads and fences as Fleet's, with the members that a thread calls."""

    def __init__(self, number: int, brokers: Brokers, on_state: Callable[[], None]) -> None:
        self.number = number
        self.wake = threading.Event()
        self._fake, self._on_state = FakePartition(number, brokers, SystemTime(), PACE), on_state

    @property
    def state(self) -> PartitionState:
        return self._fake.state

    @property
    def stats(self) -> PartitionStats:
        return self._fake.stats

    def acquire(self) -> None:
        self._fake.acquire()
        self.wake.set()

    def release(self) -> None:
        self._fake.release()
        self.wake.set()

    def step(self) -> float:
        if self._fake.step():
            self._on_state()
        return 0.02

    def close(self) -> None:
        self._fake.close()


class Process:
    """One replica with its threads."""

    def __init__(self, name: str, store: RedisStoreImplementation, brokers: Brokers) -> None:
        self._brokers = brokers
        self.replica = SchedulerReplica(
            CLOCK,
            4,
            replica=f"{name}:1 x",
            address=f"http://{name}:8081",
            schedulers=store.server.schedulers(CLOCK),
            open_partition=self._open,
            time=SystemTime(),
            new_id=lambda: uuid.uuid4().hex,
        )
        self.replica.start()

    def _open(self, number: int) -> PartitionThread:
        partition = SteppedPartition(number, self._brokers, lambda: self.replica.wake())
        return PartitionThread(cast(SchedulePartition, partition), CLOCK, SystemTime())

    def owned(self) -> int:
        """How many partitions it owns, as it announces."""
        owned = [number for number, one in self.replica.partitions.items() if one.state is PartitionState.OWNER]
        return len(owned)


def test_replicas_on_redis(on_redis: RedisStoreImplementation) -> None:
    """Two replicas share four partitions. A flush moves none. One leaves as soon as the other one has taken over, and
    this one ends at once, because it is the last one."""
    brokers = Brokers()
    a, b = Process("a", on_redis, brokers), Process("b", on_redis, brokers)
    schedulers = on_redis.server.schedulers(CLOCK)

    def owned(reading: SchedulersReading) -> dict[str, int]:
        return {one.replica: len(one.owned) for one in reading.announcements}

    # On a slow machine, the second replica may start too late, and takes its partitions over after 10 s. Until the
    # previous owner has noticed a takeover, a flush gives it the lease back.
    shared = {"a:1 x": 2, "b:1 x": 2}
    eventually(lambda: owned(schedulers.read()) == shared, within=60, what="all partitions to be owned by one replica")
    leases, fences = schedulers.read().leases, brokers.fences.copy()

    on_redis.wipe()
    eventually(lambda: schedulers.read().leases == leases, what="the leases to be acquired again")
    assert brokers.fences == fences

    a.replica.leave()
    assert a.replica.join(30.0)
    assert (a.owned(), b.owned()) == (0, 4)
    assert sum((brokers.fences - fences).values()) == 2
    eventually(lambda: owned(schedulers.read()) == {"b:1 x": 4}, what="the announcement")

    b.replica.leave()
    assert b.replica.join(10.0)
    assert (schedulers.read().announcements, schedulers.read().leases) == ((), {})
