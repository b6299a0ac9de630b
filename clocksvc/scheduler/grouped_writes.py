"""Writes the changes of many requests in few transactions, because a partition can have only one at a time."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, TypeVar

from clocksvc.errors import RecordRejected
from clocksvc.scheduler import commands
from clocksvc.scheduler.commands import Change, Written
from clocksvc.scheduler.owned import OwnedPartition

T = TypeVar("T")

MAX_CHANGES = 100
"""The maximum number of changes in a transaction. With the largest payloads they have 6.4 MiB."""


class CallablePartition(Protocol):
    """The part of `SchedulePartition` that is used here."""

    def call(self, function: Callable[[OwnedPartition], T]) -> "Future[T]": ...


class _Waiting(NamedTuple):
    change: Change
    future: "Future[Written]"


class GroupedWrites:
    """The changes that wait for the thread of one partition. Any thread may call `write`."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()

    def write(self, partition: CallablePartition, change: Change) -> "Future[Written]":
        """Write a change, together with others that wait for the thread as well. Returns at once.

        The future has the errors of `commands.put`, and NotOwner. If `cancel` of the future succeeds, nothing is
        written.
        """
        one = _Waiting(change, Future())
        self._waiting.append(one)
        partition.call(self._run).add_done_callback(lambda turn: self._reject(one, turn))
        return one.future

    def _reject(self, one: _Waiting, turn: "Future[Any]") -> None:
        """If the turn of a change was not run, and no earlier one has taken the change, give it the turn's error."""
        error = turn.exception()
        try:
            self._waiting.remove(one)
        except ValueError:
            return
        if error is not None and one.future.set_running_or_notify_cancel():
            one.future.set_exception(error)

    def _run(self, owned: OwnedPartition) -> None:
        """Write all changes that wait. Runs in the partition's thread."""
        group: list[_Waiting] = []
        while self._waiting and len(group) < MAX_CHANGES:
            one = self._waiting.popleft()
            if one.future.set_running_or_notify_cancel():
                group.append(one)
        try:
            _write(owned, group)
        except RecordRejected:
            _write_each(owned, group)


def _write(owned: OwnedPartition, group: list[_Waiting]) -> None:
    """Write changes in one transaction.

    Raises:
        RecordRejected: nothing was written, and the futures have no result yet.
        Others: they are also in the futures.
    """
    if not group:
        return
    try:
        results = commands.write(owned, [one.change for one in group])
    except RecordRejected:
        raise
    except BaseException as error:
        for one in group:
            one.future.set_exception(error)
        raise
    for one, result in zip(group, results, strict=True):
        if isinstance(result, Written):
            one.future.set_result(result)
        else:
            one.future.set_exception(result)


def _write_each(owned: OwnedPartition, group: list[_Waiting]) -> None:
    """Write each change in a transaction of its own, so that none fails because of another one's record.

    Raises:
        All but RecordRejected: the changes after the one with this error have it, too, and were not written.
    """
    for number, one in enumerate(group):
        try:
            _write(owned, [one])
        except RecordRejected as error:
            one.future.set_exception(error)
        except BaseException as error:
            for following in group[number + 1 :]:
                following.future.set_exception(error)
            raise
