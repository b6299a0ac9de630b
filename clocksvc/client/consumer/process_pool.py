"""Calls the author's function in a pool of processes. The results of each partition keep their order."""

import pickle
import signal
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Generic, NamedTuple, TypeVar

from clocksvc.client.consumer.processing import Poison, Process, Processed, Run, process_records
from clocksvc.clock.partition import Partition
from clocksvc.errors import ConsumerFailed, InvalidValue

Item = TypeVar("Item")

MOST_RECORDS = 200
"""The largest number of records that one process gets at once. A longer run is divided among processes."""


class PlainRecord(NamedTuple):
    """A copy of a record for another process, with the same methods: confluent-kafka's messages can't be pickled."""

    fields: tuple[Any, ...]

    @classmethod
    def of(cls, record: Any) -> "PlainRecord":
        """Copy a message."""
        origin = record.topic(), record.partition(), record.offset()
        return cls((*origin, record.timestamp(), record.key(), record.value(), record.headers()))

    def topic(self) -> Any:
        return self.fields[0]

    def partition(self) -> Any:
        return self.fields[1]

    def offset(self) -> Any:
        return self.fields[2]

    def timestamp(self) -> Any:
        return self.fields[3]

    def key(self) -> Any:
        return self.fields[4]

    def value(self) -> Any:
        return self.fields[5]

    def headers(self) -> Any:
        return self.fields[6]

    def error(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.fields[5] or b"")


class _Part(NamedTuple):
    run: Run
    future: "Future[tuple[list[Any], bool]]"


class ProcessPool(Generic[Item]):
    """Implements `Processing` with processes that are started by `spawn`, because a fork would copy Kafka clients.

    The function must be importable in another process, and items are pickled on the way back.

    Raises:
        InvalidValue: the function can't be pickled.
    """

    def __init__(self, process: Process[Item], processes: int) -> None:
        try:
            pickle.dumps(process)
        except Exception as error:
            wanted = f"with processes, wanted a function of a module, which can be pickled ({error})"
            raise InvalidValue("process", process, wanted) from None
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin_worker, (process,))
        self._parts: deque[_Part] = deque()
        self._records = 0

    @property
    def records(self) -> int:
        return self._records

    def has_runs_of(self, partitions: Collection[Partition]) -> bool:
        return any(part.run.assignment.partition in partitions for part in self._parts)

    def submit(self, run: Run) -> None:
        for first in range(0, len(run.records), MOST_RECORDS):
            records = run.records[first : first + MOST_RECORDS]
            try:
                future = self._pool.submit(_process_part, list(map(PlainRecord.of, records)))
            except BrokenProcessPool as error:
                raise self._broken(error) from error
            self._parts.append(_Part(Run(run.assignment, records), future))
            self._records += len(records)

    def finished(self, timeout_s: float) -> Sequence[Processed[Item]]:
        if timeout_s > 0 and self._parts:
            wait([self._parts[0].future], timeout_s)
        found: list[Processed[Item]] = []
        while self._parts and self._parts[0].future.done():
            run, future = self._parts.popleft()
            self._records -= len(run.records)
            try:
                results, all_items = future.result()
            except BrokenProcessPool as error:
                raise self._broken(error) from error
            except BaseException as error:  # an item that can't be pickled, or SystemExit
                self._forget_all()
                raise ConsumerFailed(f"the results of `process` can't be received: {error!r}") from error
            found.append(Processed(run, results, all_items))
        return found

    def close(self) -> None:
        # A process whose function hangs must not delay the end of this one, so none is awaited.
        workers = list((getattr(self._pool, "_processes", None) or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()

    def _forget_all(self) -> None:
        # The records behind lost results must not be done: a commit of them would skip those in front.
        self._parts.clear()
        self._records = 0

    def _broken(self, error: BrokenProcessPool) -> ConsumerFailed:
        self._forget_all()
        return ConsumerFailed(f"a process that runs `process` has ended: {error}")


_process: Process[Any]
"""The author's function, in a worker process."""


def _begin_worker(process: Process[Any]) -> None:
    global _process
    _process = process
    # Ctrl-C in a terminal goes to all processes. The consumer drains, and needs its workers for that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _process_part(records: Sequence[PlainRecord]) -> tuple[list[Any], bool]:
    results, all_items = process_records(_process, records)
    if not all_items:
        # An exception may not be picklable. Its text and stack are.
        results = [
            Poison(result.cause._replace(error=None)) if isinstance(result, Poison) else result for result in results
        ]
    return results, all_items
