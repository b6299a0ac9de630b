"""Changes of many requests at once: few transactions, and each change has its own outcome."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from clocksvc.errors import NotOwner, OutcomeUnknown, PreconditionFailed, RecordRejected
from clocksvc.interfaces.time import SystemTime
from clocksvc.scheduler import commands
from clocksvc.scheduler.commands import Change, Precondition
from clocksvc.scheduler.grouped_writes import MAX_CHANGES, GroupedWrites
from clocksvc.scheduler.owner_calls import OwnerCalls
from clocksvc.schedules.schedule import Schedule
from tests.unit.scheduler.owned_schedules import OwnedInMemory

T = TypeVar("T")


class Partition:
    """The queue of a real partition, whose functions run when the test calls `run`."""

    def __init__(self) -> None:
        self.owned, self.calls = OwnedInMemory(), OwnerCalls()
        self.calls.open()

    def call(self, function: Callable[[Any], T]) -> "Future[T]":
        return self.calls.add(function)

    def run(self) -> None:
        while self.calls.run(self.owned, SystemTime()):
            pass


@pytest.fixture
def partition() -> Partition:
    """An owned partition."""
    return Partition()


def put(number: int, precondition: Precondition = commands.ALWAYS) -> Change:
    """A change of its own schedule."""
    return Change(f"m{number}", Schedule("a.b", 1, every_ms=60_000, payload=b"%d" % number), precondition)


def test_changes_that_wait_share_a_transaction(partition: Partition) -> None:
    """Up to a maximum; each future has the offset of its record."""
    writes = GroupedWrites()
    futures = [writes.write(partition, put(number)) for number in range(MAX_CHANGES + 5)]
    partition.run()

    assert [future.result(0).offset for future in futures] == list(range(MAX_CHANGES + 5))
    assert partition.owned.transactions == 2


def test_each_change_has_its_own_outcome(partition: Partition) -> None:
    """A condition that is false, or a record that brokers reject, concerns no other change."""
    writes = GroupedWrites()
    partition.owned.rejects = {b"m2"}
    futures = [writes.write(partition, put(number)) for number in range(4)]
    futures.append(writes.write(partition, put(0, Precondition(absent=True))))
    partition.run()

    outcomes = [type(future.exception(0)) for future in futures]
    assert outcomes == [type(None), type(None), RecordRejected, type(None), PreconditionFailed]
    assert [key for key, _ in partition.owned.written] == [b"m0", b"m1", b"m3"]


def test_an_error_of_the_transaction_concerns_all(partition: Partition) -> None:
    """Nothing is known about any of them."""
    writes = GroupedWrites()
    partition.owned.after_write = OutcomeUnknown()
    futures = [writes.write(partition, put(number)) for number in range(3)]
    partition.run()

    assert {type(future.exception(0)) for future in futures} == {OutcomeUnknown}


def test_an_error_after_a_rejected_record_reaches_all_that_wait(partition: Partition) -> None:
    """Each change is then written alone. Without an outcome, a request would wait for its timeout."""
    writes = GroupedWrites()
    partition.owned.rejects = {b"m0"}
    partition.owned.after_write = OutcomeUnknown()
    futures = [writes.write(partition, put(number)) for number in range(4)]
    partition.run()

    assert [future.done() for future in futures] == [True] * 4
    outcomes = [type(future.exception(0)) for future in futures]
    assert outcomes == [RecordRejected, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown]
    assert [key for key, _ in partition.owned.written] == [b"m1"]


def test_a_change_that_was_cancelled_is_not_written(partition: Partition) -> None:
    """A request that has waited too long can be sure that nothing was written."""
    writes = GroupedWrites()
    futures = [writes.write(partition, put(number)) for number in range(3)]
    assert futures[1].cancel()
    partition.run()

    assert [key for key, _ in partition.owned.written] == [b"m0", b"m2"]
    assert not futures[0].cancel()


def test_without_an_owner_nothing_is_written(partition: Partition) -> None:
    """Changes that wait when the term ends, and later ones, get NotOwner, and no later owner writes them."""
    writes = GroupedWrites()
    waiting = writes.write(partition, put(1))
    partition.calls.close()
    late = writes.write(partition, put(2))
    partition.calls.open()
    again = writes.write(partition, put(3))
    partition.run()

    assert [type(future.exception(0)) for future in (waiting, late)] == [NotOwner, NotOwner]
    assert again.result(0).offset == 0
    assert [key for key, _ in partition.owned.written] == [b"m3"]


def test_writers_that_compare_lose_no_update(partition: Partition) -> None:
    """Eight threads count up one schedule with If-Match: the sum is the number of their successes."""
    writes, done = GroupedWrites(), threading.Event()

    def work() -> None:
        while not done.is_set():
            partition.run()

    def count_up(_: int) -> int:
        succeeded = 0
        for _ in range(60):
            found = partition.call(lambda owned: (commands.get(owned, "m0").etag, owned.get(b"m0"))).result(10)
            number = int(found[1].partition(b'"payload":')[2].rstrip(b"}"))
            schedule = Schedule("a.b", 1, every_ms=60_000, payload=b"%d" % (number + 1))
            change = Change("m0", schedule, Precondition(etags=frozenset({found[0]})))
            succeeded += writes.write(partition, change).exception(10) is None
        return succeeded

    thread = threading.Thread(target=work)
    thread.start()
    try:
        writes.write(partition, put(0)).result(10)
        with ThreadPoolExecutor(8) as pool:
            total = sum(pool.map(count_up, range(8)))
    finally:
        done.set()
        thread.join(10)

    assert 60 <= total < 480
    assert partition.owned.written[-1][1] is not None
    assert b'"payload":%d' % total in partition.owned.written[-1][1]
