"""The thread of one partition of schedules."""

import dataclasses
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from clocksvc.interfaces.time import Time
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats

STALLED_AFTER_S = 20.0
"""A step that takes longer is a problem. It must be longer than a takeover and the timeouts of Kafka's clients."""

T = TypeVar("T")


class PartitionThread:
    """Runs a partition in a thread of its own, from the creation of this object until `close`.

    After an unexpected exception, which is logged, the partition becomes a standby: an owner fences again before it
    appends anything.

    Args:
        clock: the clock's name, for log lines.
    """

    def __init__(self, partition: SchedulePartition, clock: str, time: Time) -> None:
        self._partition, self._time = partition, time
        self._step_began: float | None = None
        self._crashed = False
        self._thread = WorkerThread(
            f"clocksvc-schedules-{clock}-{partition.number}",
            self._step,
            log=logging.getLogger("clocksvc.scheduler"),
            extra={"clock": clock, "partition": str(partition.number)},
            wake=partition.wake,
            on_crash=self._reset,
            finish=partition.close,
        )
        self._thread.start()

    @property
    def state(self) -> PartitionState:
        """The partition's state."""
        return self._partition.state

    @property
    def stats(self) -> PartitionStats:
        """The partition's figures. `problem` is also set while a step takes too long, and after an exception."""
        stats, began = self._partition.stats, self._step_began
        running_s = 0.0 if began is None else self._time.monotonic() - began
        if self._crashed:
            return dataclasses.replace(stats, problem="an unexpected error, which the log has with its traceback")
        if stats.problem is None and running_s >= STALLED_AFTER_S:
            return dataclasses.replace(stats, problem=f"a step has not ended for {running_s:.0f} s")
        return stats

    @property
    def closed(self) -> bool:
        """True once the thread has ended and the partition is closed."""
        return not self._thread.alive

    def acquire(self) -> None:
        """See `SchedulePartition.acquire`."""
        self._partition.acquire()

    def release(self) -> None:
        """See `SchedulePartition.release`."""
        self._partition.release()

    def call(self, function: Callable[[OwnedPartition], T]) -> "Future[T]":
        """See `SchedulePartition.call`."""
        return self._partition.call(function)

    def close(self) -> None:
        """End the thread after the present step. Returns at once."""
        self._thread.stop()

    def _step(self) -> float:
        self._step_began = self._time.monotonic()
        try:
            wait_s = self._partition.step()
        finally:
            self._step_began = None
        self._crashed = False
        return wait_s

    def _reset(self) -> None:
        self._crashed = True
        self._partition.release()
