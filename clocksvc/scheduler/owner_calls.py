"""Functions that wait for their turn in the thread of a partition's owner."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from clocksvc.errors import Fenced, NotOwner
from clocksvc.interfaces.time import Time
from clocksvc.scheduler.owned import OwnedPartition

T = TypeVar("T")

MAX_S = 0.25
"""After this time, the thread looks for ticks again."""


class OwnerCalls:
    """The queue. It accepts functions while it is open. `add` can be used from any thread, the rest from one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._queue: deque[tuple[Future[Any], Callable[[OwnedPartition], Any]]] = deque()

    def add(self, function: Callable[[OwnedPartition], T]) -> "Future[T]":
        """Add a function, and return the future with its result; it has the error NotOwner if the queue is closed."""
        future: Future[T] = Future()
        with self._lock:
            if self._open:
                self._queue.append((future, function))
                return future
        future.set_exception(NotOwner())
        return future

    def open(self) -> None:
        """Accept functions: the partition has an owner in this process."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        """Accept no more functions, because the term has ended. Those that were not run get NotOwner."""
        with self._lock:
            self._open = False
            waiting = list(self._queue)
            self._queue.clear()
        for future, _ in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(NotOwner())

    def run(self, owned: OwnedPartition, time: Time) -> bool:
        """Run functions for about 0.25 s at most. Returns True if more are waiting.

        Raises:
            Fenced: a function had this error. It is also in the function's future.
        """
        deadline = time.monotonic() + MAX_S
        while self._queue and time.monotonic() < deadline:
            future, function = self._queue.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function(owned)
            except BaseException as error:
                future.set_exception(error)
                if isinstance(error, Fenced) or not isinstance(error, Exception):
                    raise
            else:
                future.set_result(result)
        return bool(self._queue)
