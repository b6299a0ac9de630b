"""Waits for the notifications of all leaders of a process with one thread and one blocking command.

A notification is an element of a list. Consumers write these lists, and must have no permission for writing streams,
because ticks are in a stream. So one command can't read notifications and notices: a process has two blocking commands.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis.errors import translated
from clocksvc.runtime.backoff import FEED, Backoff

_BLOCK_S = 0.25
"""How long one command blocks. A wait for another list begins with the next command."""
_FIRST_BLOCK_S = 0.01
"""The same for the first command, which shows whether the server answers."""
_FOLLOWED_S = 2.0
"""How long the thread reads a list after a wait, because leaders wait again after their round. It must be short: once a
leader has lost its lease, this process must not take the notifications of its successor."""
_CHECK_S = 0.01


@dataclass(slots=True)
class _List:
    """A list that is followed.

    Attributes:
        changed: notified when the list had an element, or the server does not answer.
        notified: True if an element was taken, and no wait has returned it yet.
        waiting: the number of waits.
        followed_until: the time at which it is not followed any more, unless there is a wait.
    """

    changed: threading.Condition
    notified: bool = False
    waiting: int = 0
    followed_until: float = 0.0


@dataclass(slots=True)
class _Health:
    """How many commands the server has answered since the thread began; and the error of the last command, if any."""

    answers: int = 0
    error: Exception | None = None


class Notifications:
    """Takes elements from lists that one command can read together. Thread-safe.

    The thread starts with the first wait, and ends when no list is followed any more.

    Args:
        client: returns the client for blocking commands. It raises redis-py's errors.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        self._monotonic = SystemTime().monotonic
        self._lock = threading.Lock()
        self._lists: dict[str, _List] = {}
        self._health = _Health()
        self._runs = self._closed = False

    def wait(self, key: str, timeout_s: float) -> bool:
        """Block until a list has an element, and remove it; False if it has none within `timeout_s`.

        Returns at once if the thread has removed an element since the last wait. It finds every element that was in the
        list before the call. So with a timeout of 0 it can block for 0.5 s, if the thread still reads the list.

        Raises:
            StoreUnavailable: the server does not answer. The first wait blocks until this is known, for at most as long
                as a response may take.
        """
        if timeout_s <= 0 and key not in self._lists:
            return bool(self._take_at_once([key]))
        with self._lock:
            end = self._monotonic() + timeout_s
            one = self._follow(key)
            health = self._health
            # The present command may have ended before the call, without an element.
            needed = 1 if timeout_s > 0 else health.answers + 2
            one.waiting += 1
            try:
                while not one.notified:
                    if health.error is not None:
                        raise _copied(health.error)
                    left_s = end - self._monotonic()
                    if left_s <= 0 and (health.answers >= needed or self._closed):
                        return False
                    one.changed.wait(left_s if left_s > 0 else _CHECK_S)
                one.notified = False
                return True
            finally:
                one.waiting -= 1
                one.followed_until = self._monotonic() + _FOLLOWED_S

    def clear(self, key: str) -> None:
        """Ignore an element that was removed since the last wait. Does not block."""
        with self._lock:
            one = self._lists.get(key)
            if one is not None:
                one.notified = False

    def forget(self, key: str) -> None:
        """Stop to read a list, because another process reads it now. Does not block."""
        with self._lock:
            one = self._lists.get(key)
            if one is not None and not one.waiting:
                del self._lists[key]

    def close(self) -> None:
        """End the thread after its present command. Does not block. The thread then closes the client again."""
        with self._lock:
            self._closed = True

    def _follow(self, key: str) -> _List:
        if key not in self._lists:
            self._lists[key] = _List(threading.Condition(self._lock))
        if not self._runs and not self._closed:
            self._health = _Health()
            threading.Thread(target=self._run, args=(self._health,), name="notifications", daemon=True).start()
            self._runs = True
        return self._lists[key]

    def _run(self, health: _Health) -> None:
        """The body of the thread."""
        backoff, pause = Backoff(FEED), threading.Event()
        while keys := self._next():
            try:
                taken = self._take(keys, _BLOCK_S if health.answers else _FIRST_BLOCK_S)
            except Exception as error:  # for the threads that wait
                self._fail(health, error)
                pause.wait(backoff.next())
            else:
                backoff.reset()
                self._deliver(health, taken)
        if self._closed:
            # A blocked command connects again, if its connection is closed.
            self._client().close()

    def _next(self) -> tuple[str, ...]:
        """Return the lists for the next command; none if the thread ends."""
        with self._lock:
            now = self._monotonic()
            for key, one in list(self._lists.items()):
                if not one.waiting and one.followed_until < now:
                    del self._lists[key]
            keys = () if self._closed else tuple(self._lists)
            self._runs = bool(keys)
            return keys

    def _take(self, keys: tuple[str, ...], block_s: float) -> list[str]:
        """Take an element of one of the lists, and return the lists that had one."""
        try:
            with translated():
                taken = self._client().blpop(keys, timeout=block_s)
        except StoreUnavailable as error:
            if "WRONGTYPE" not in str(error.__cause__):
                raise
            return self._take_at_once(keys)
        return [] if taken is None else [taken[0]]

    def _take_at_once(self, keys: Iterable[str]) -> list[str]:
        """Take an element of each list that has one, and return these lists.

        Deletes keys of another type, which a consumer can have created.
        """
        taken = []
        for key in keys:
            try:
                with translated():
                    if self._client().lpop(key) is not None:
                        taken.append(key)
            except StoreUnavailable as error:
                if "WRONGTYPE" not in str(error.__cause__):
                    raise
                with translated():
                    self._client().delete(key)
        return taken

    def _deliver(self, health: _Health, taken: list[str]) -> None:
        with self._lock:
            health.answers += 1
            health.error = None
            for key in taken:
                one = self._lists.pop(key, None)
                if one is not None:
                    # The command takes from the first list that has an element. So no list waits for all others.
                    self._lists[key] = one
                    one.notified = True
                    one.changed.notify()

    def _fail(self, health: _Health, error: Exception) -> None:
        with self._lock:
            health.error = error
            for one in self._lists.values():
                one.changed.notify_all()


def _copied(error: Exception) -> Exception:
    """Return an error of the same text, for one of the threads that raise it."""
    copied = StoreUnavailable(str(error)) if isinstance(error, StoreUnavailable) else RuntimeError(str(error))
    copied.__cause__ = error
    return copied
