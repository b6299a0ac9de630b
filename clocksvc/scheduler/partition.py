"""One partition of a clock's schedules in one replica: it loads, follows as a standby, and works as the owner.

All work is done in `step`, by one thread. At each tick, the owner asks for the end of its partition of schedules, reads
to it, decides what is due, and appends this with its position to its partition of due records, in one transaction.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from clocksvc.interfaces.compacted_topic import CompactedTopic
from clocksvc.interfaces.due_log import DueLog
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.schedule_writer import ScheduleWriter
from clocksvc.interfaces.tick_source import TickSource
from clocksvc.interfaces.time import Time
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats

T = TypeVar("T")


class SchedulePartition:
    """One partition. One thread calls `step` and, at last, `close`; all other members can be used from any thread.

    Attributes:
        number: the number of the partition.
        wake: set when there is work before the time that `step` has returned, such as a new tick.

    Args:
        spec: the clock's schedules.
        number: the number of the partition.
        schedules: opens the topic of schedules for the table. It is called in the constructor.
        due_log: the partition of due records.
        writer: writes the partition of schedules.
        ticks: the clock's ticks.
        on_state: called in the thread of `step` after `state` or `lost` has changed. It must not block.
    """

    def __init__(
        self,
        spec: SchedulesSpec,
        number: int,
        *,
        schedules: Callable[[], CompactedTopic],
        due_log: DueLog,
        writer: ScheduleWriter,
        ticks: TickSource,
        time: Time,
        on_state: Callable[[], None] = lambda: None,
    ) -> None:
        self.number = number
        self.wake = threading.Event()
        raise NotImplementedError

    @property
    def state(self) -> PartitionState:
        """The present state."""
        raise NotImplementedError

    @property
    def stats(self) -> PartitionStats:
        """A snapshot of the figures."""
        raise NotImplementedError

    @property
    def lost(self) -> bool:
        """True if another owner has fenced this one since the last `acquire`. `acquire` begins a new attempt."""
        raise NotImplementedError

    def acquire(self) -> None:
        """Become the owner, once loaded: the thread fences the owner before it. Returns at once. Idempotent.

        After an error with an unknown outcome, the thread fences again by itself. After another owner has fenced this
        one, the partition is a standby until `acquire` is called again.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Become a standby at the next step. Returns at once. Idempotent."""
        raise NotImplementedError

    def call(self, function: Callable[[OwnedPartition], T]) -> "Future[T]":
        """Run a function in the partition's thread while it is the owner. Returns at once.

        Ticks come first. The future has the function's result or exception, or NotOwner if this replica is not the
        owner, or does not own the partition any more before the function has begun.
        """
        raise NotImplementedError

    def step(self) -> float:
        """Do what is next: load, follow, take over, handle ticks, and run functions of `call`.

        Blocks for as long as Kafka needs, usually for milliseconds, and for a few seconds if it does not answer. A
        takeover of a million schedules takes about a second. It raises nothing that is expected: `stats` has the
        problem, and the next step tries again.

        Returns:
            How many seconds the next step can wait, unless `wake` is set.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close connections, and free the table. Functions that were not run get NotOwner."""
        raise NotImplementedError
