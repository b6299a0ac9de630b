"""Calls the author's function for each record, and passes the results to the state machine."""

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.batches import timestamps_of
from clocksvc.client.consumer.machine import ConsumerMachine
from clocksvc.client.consumer.stats import ConsumerStats
from clocksvc.client.consumer.watermark import Timestamps
from clocksvc.client.message import is_heartbeat
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import Cause, cause_of

Item = TypeVar("Item")
Process = Callable[[Any], Item | None]


class Run(NamedTuple):
    """Consecutive records of one partition, and the assignment under which they were received."""

    assignment: Assignment
    records: Sequence[Any]


class Poison(NamedTuple):
    """The result of a record for which the author's function raised."""

    cause: Cause


class Processed(NamedTuple, Generic[Item]):
    """A run with the result of each record: an item, None, a Poison, or HEARTBEAT.

    Attributes:
        all_items: True if each result is an item.
    """

    run: Run
    results: Sequence[Any]
    all_items: bool


class _Mark(Enum):
    HEARTBEAT = "heartbeat"


HEARTBEAT = _Mark.HEARTBEAT
"""The result of a heartbeat of clocksvc, which is not processed."""


def process_run(process: Process[Item], run: Run) -> Processed[Item]:
    """Call the author's function for each record that is not a heartbeat."""
    results, all_items = process_records(process, run.records)
    return Processed(run, results, all_items)


def process_records(process: Process[Item], records: Sequence[Any]) -> tuple[list[Any], bool]:
    """Return the result of each record, and whether each result is an item."""
    headers = [record.headers() for record in records]
    if headers.count(None) != len(headers) and any(map(is_heartbeat, records)):
        call: Process[Any] = lambda record: HEARTBEAT if is_heartbeat(record) else process(record)  # noqa: E731
        all_items = False
    else:
        call = process
        all_items = True
    results: list[Any] = []
    append = results.append
    left = iter(records)
    while True:
        try:
            for record in left:
                item = call(record)
                if item is None:
                    all_items = False
                append(item)
        except Exception as error:
            append(Poison(cause_of(error)))
            all_items = False
        else:
            return results, all_items


def pass_on(
    machine: ConsumerMachine[Item], processed: Processed[Item], stats: ConsumerStats, near_until_ms: int | None
) -> None:
    """Pass the results of a run to the machine.

    Args:
        near_until_ms: timestamps above it are far in the future; None if there is no reporter.
    """
    (assignment, records), results, all_items = processed
    end = records[-1].offset() + 1

    def times(part: Sequence[Any]) -> Timestamps | None:
        return None if near_until_ms is None else timestamps_of(part, near_until_ms)

    if all_items:
        machine.received(assignment, results, records, end, times(records))
        return
    items: list[Item] = []
    kept: list[Any] = []
    first = 0

    def pass_part(stop: int, end: int) -> None:
        if stop > first:
            part = records[first:stop]
            machine.received(assignment, items, kept, end, times(part))

    for index, (record, result) in enumerate(zip(records, results, strict=True)):
        if isinstance(result, Poison):
            pass_part(index, record.offset())
            items, kept, first = [], [], index + 1
            stats.poison_total += 1
            machine.poisoned(assignment, record, result.cause, times([record]))
        elif result is HEARTBEAT:
            stats.heartbeats_total += 1
        elif result is not None:
            items.append(result)
            kept.append(record)
    pass_part(len(records), end)


class Processing(Protocol[Item]):
    """Where the author's function runs. All methods are called from the consumer's loop."""

    @property
    def records(self) -> int:
        """The number of records whose results were not returned yet."""

    def has_runs_of(self, partitions: Collection[Partition]) -> bool:
        """True if the results of a run of these partitions were not returned yet."""

    def submit(self, run: Run) -> None:
        """Process a run. May block for as long as the author's function takes.

        Raises:
            ConsumerFailed: runs can't be processed any more.
        """

    def finished(self, timeout_s: float) -> Sequence[Processed[Item]]:
        """Return runs with their results, for each partition in the order of `submit`.

        Blocks for up to `timeout_s` until there is at least one.

        Raises:
            ConsumerFailed: runs can't be processed any more.
        """

    def close(self) -> None:
        """Free what the processing needs. Does not wait for runs."""


class InlineProcessing(Generic[Item]):
    """Processes runs in the consumer's loop."""

    records = 0

    def __init__(self, process: Process[Item]) -> None:
        self._process = process
        self._finished: list[Processed[Item]] = []

    def has_runs_of(self, partitions: Collection[Partition]) -> bool:
        return False

    def submit(self, run: Run) -> None:
        self._finished.append(process_run(self._process, run))

    def finished(self, timeout_s: float) -> Sequence[Processed[Item]]:
        found, self._finished = self._finished, []
        return found

    def close(self) -> None:
        pass
