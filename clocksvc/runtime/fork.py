"""What a child process must do after a fork.

Threads don't exist in the child, locks may stay locked for ever, and a connection fails if two processes use it. An
object with a thread, a lock or a connection registers a function here that replaces them in the child.
"""

import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

logger = logging.getLogger("clocksvc.fork")

T = TypeVar("T")

_owners: "weakref.WeakKeyDictionary[Any, Callable[[Any], None]]" = weakref.WeakKeyDictionary()


def after_fork(owner: T, restart: Callable[[T], None]) -> None:
    """Call `restart(owner)` in every child of this process, right after the fork, as long as the owner exists.

    Only a weak reference to the owner is kept. An owner has at most one callback. Callbacks run in the order of
    registration. If a callback raises, the exception is logged and the next callback runs.
    """
    _owners[owner] = restart


def _run_callbacks() -> None:
    for owner, restart in list(_owners.items()):
        try:
            restart(owner)
        except Exception:
            logger.exception("unexpected error after a fork")


os.register_at_fork(after_in_child=_run_callbacks)


class PerProcess(Generic[T]):
    """One value for each process, created at the first use. Safe to use from several threads.

    After a fork, the child creates its own value. It does not use or free its parent's value, because librdkafka, for
    example, would wait for threads that don't exist in the child.
    """

    def __init__(self, create: Callable[[], T]) -> None:
        self._create = create
        self._values: list[T] = []
        self._inherited: list[T] = []
        self._lock = threading.Lock()
        after_fork(self, PerProcess._start_in_child)

    def get(self) -> T:
        """Return this process's value."""
        with self._lock:
            if not self._values:
                self._values.append(self._create())
            return self._values[0]

    def take(self) -> T | None:
        """Remove this process's value and return it, so that the caller can close it; None if there is no value."""
        with self._lock:
            return self._values.pop() if self._values else None

    def _start_in_child(self) -> None:
        self._lock = threading.Lock()
        self._inherited += self._values
        self._values = []
