"""The functions and options of a consumer, as its author gives them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from clocksvc.client.consumer.batches import BatchLimits
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.errors import InvalidValue

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineOptions:
    """What the state machine must know.

    Attributes:
        batch: when a batch is cut.
        buffer_records, buffer_bytes: the bounds of the buffer. It has the records whose items are not flushed yet, and
            those of dead letters that are not acknowledged yet. One `consume` can exceed them by what it returns.
        slots: the number of batches that are flushed at the same time. 1 keeps them in order.
        retry: the attempts of a flush, and of the delivery of a dead letter.
        dead_letters: True if there is a dead-letter topic.
        commit_interval_s: the shortest time between two commits, except before a partition is revoked and at the end.
    """

    batch: BatchLimits
    buffer_records: int
    buffer_bytes: int
    slots: int
    retry: RetryPolicy
    dead_letters: bool
    commit_interval_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopOptions:
    """What the loop must know.

    Attributes:
        machine: the options of the state machine.
        revoke_timeout_s: how long a revocation waits until the records of its partitions are flushed.
        drain_timeout_s: how long the consumer waits at its end until everything is flushed and committed.
        stuck_after_s: a flush that runs longer is logged with its stack, and the consumer is not healthy.
    """

    machine: MachineOptions
    revoke_timeout_s: float
    drain_timeout_s: float
    stuck_after_s: float

    def check(self) -> None:
        """Raise InvalidValue unless all options are possible. The names are those of BufferedConsumer's arguments."""
        machine = self.machine
        counts = {
            "batch_records": machine.batch.records,
            "batch_bytes": machine.batch.bytes,
            "concurrent_flushes": machine.slots,
            "buffer_records": machine.buffer_records,
            "buffer_bytes": machine.buffer_bytes,
        }
        for name, count in counts.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise InvalidValue(name, count, "wanted an integer of at least 1")
        times = {
            "batch_seconds": machine.batch.age_s,
            "commit_interval_seconds": machine.commit_interval_s,
            "revoke_timeout_seconds": self.revoke_timeout_s,
            "drain_timeout_seconds": self.drain_timeout_s,
            "stuck_after_seconds": self.stuck_after_s,
        }
        for name, seconds in times.items():
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
                raise InvalidValue(name, seconds, "wanted a number of seconds, 0 or more")
        if machine.buffer_records < machine.batch.records:
            wanted = f"wanted at least batch_records ({machine.batch.records}): a batch must fit into the buffer"
            raise InvalidValue("buffer_records", machine.buffer_records, wanted)
        machine.retry.check()


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerPlan(Generic[Item]):
    """The functions and options of a consumer. They are the same for each of its processes, and for its tests.

    Attributes:
        topics: the names of the topics.
        process, flush, state: the author's functions; `state` is None if there is none.
        options: see LoopOptions.
        processes: the number of processes that call `process`; 0 if the consumer's loop calls it.
    """

    topics: Sequence[str]
    process: Callable[[Any], Item | None]
    flush: Callable[..., Any]
    state: Callable[[], Any] | None
    options: LoopOptions
    processes: int = 0
