"""One replica of the scheduler for one clock: which partitions it loads and owns, once a second.

The decisions are in `ownership.py`, without I/O. The partitions run elsewhere: each in its own thread
(`partition_thread.py`), or under the control of a test.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from clocksvc.interfaces.schedulers import Schedulers, SchedulersReading, Stats
from clocksvc.interfaces.time import Time
from clocksvc.scheduler.partition_state import PartitionState


class ReplicaPartition(Protocol):
    """What a replica needs of one of its partitions. All of it can be used from any thread, and returns at once.

    Attributes:
        state: LOADING until the partition was read to its end; LOADED, a standby that follows it; OWNER.
        stats: shown in the announcement.
    """

    @property
    def state(self) -> PartitionState: ...

    @property
    def stats(self) -> Stats: ...

    def acquire(self) -> None:
        """Become the owner: fence the owner before it at the next step. Without effect for an owner."""

    def release(self) -> None:
        """Become a standby at the next step. Without effect for a standby."""

    def close(self) -> None:
        """End, and free the table. Nothing else is called afterwards."""


class SchedulerReplica:
    """One replica of the scheduler for one clock.

    `start` runs `step` in a thread. A test can call `step` instead.

    Attributes:
        replica: the unique name: `host:pid` and an id.

    Args:
        clock: the clock's name.
        partitions: the number of partitions of its schedules.
        replica: the unique name of this process.
        address: the URL at which other processes reach this process's HTTP server, without a path.
        schedulers: the announcements and leases of the clock.
        open_partition: begins to load a partition. It is called in the thread of `step`, and returns at once.
        new_id: returns a new unique text for each token.
    """

    def __init__(
        self,
        clock: str,
        partitions: int,
        *,
        replica: str,
        address: str,
        schedulers: Schedulers,
        open_partition: Callable[[int], ReplicaPartition],
        time: Time,
        new_id: Callable[[], str],
    ) -> None:
        raise NotImplementedError

    @property
    def partitions(self) -> Mapping[int, ReplicaPartition]:
        """The partitions that this replica has opened, by number. Any thread; the mapping does not change."""
        raise NotImplementedError

    @property
    def reading(self) -> SchedulersReading | None:
        """What the store last returned; None before the first answer. Any thread."""
        raise NotImplementedError

    @property
    def settled(self) -> bool:
        """True if each partition that this replica should have is at least loaded. For `/readyz`."""
        raise NotImplementedError

    @property
    def left(self) -> bool:
        """True once `leave` was called and the process can end."""
        raise NotImplementedError

    def start(self) -> None:
        """Run `step` in a thread until the replica has left."""
        raise NotImplementedError

    def step(self) -> float | None:
        """Announce the replica, and load, acquire, release and close partitions. Blocks for one call of the store.

        Returns:
            The seconds until the next call; None once the replica has left.
        """
        raise NotImplementedError

    def wake(self) -> None:
        """Call `step` now, because the state of a partition has changed. Any thread; returns at once."""
        raise NotImplementedError

    def leave(self) -> None:
        """Announce that this replica ends. Returns at once; signal handlers may call it.

        It works until other live replicas own its partitions, for at most 30 s; without another live replica it ends at
        once. `left` is true then.
        """
        raise NotImplementedError

    def join(self, timeout_s: float) -> bool:
        """Wait until the replica has left and its threads have ended, for at most `timeout_s`; True if so."""
        raise NotImplementedError
