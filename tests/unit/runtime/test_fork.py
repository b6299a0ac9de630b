"""What happens in a child process after a fork."""

import os
from collections.abc import Callable

import pytest

from clocksvc.runtime.fork import PerProcess, after_fork

pytestmark = pytest.mark.core


def in_child(check: Callable[[], bool]) -> bool:
    """What a forked child process finds."""
    child = os.fork()
    if child == 0:
        found = False
        try:
            found = check()
        finally:
            os._exit(0 if found else 1)
    return os.waitpid(child, 0)[1] == 0


class Listener:
    """Counts the forks that it has seen, in this process."""

    def __init__(self, fails: bool = False) -> None:
        self.forks = 0
        self._fails = fails

    def on_fork(self) -> None:
        self.forks += 1
        if self._fails:
            raise ZeroDivisionError


def test_callbacks_run_only_in_the_child_even_if_another_one_raises() -> None:
    """In a grandchild they run once more."""
    failing, listener = Listener(fails=True), Listener()
    after_fork(failing, Listener.on_fork)
    after_fork(listener, Listener.on_fork)

    assert in_child(lambda: (failing.forks, listener.forks) == (1, 1))
    assert in_child(lambda: in_child(lambda: listener.forks == 2))
    assert (failing.forks, listener.forks) == (0, 0)


def test_a_callback_is_forgotten_with_its_object() -> None:
    """Registration keeps nothing alive."""
    seen: list[int] = []

    class Short:
        def on_fork(self) -> None:
            seen.append(1)

    short = Short()
    after_fork(short, Short.on_fork)
    kept = in_child(lambda: seen == [1])
    del short

    assert kept
    assert in_child(lambda: seen == [])


def test_each_process_has_a_value_of_its_own() -> None:
    """A child creates its own when it first needs it; the parent keeps its value."""
    made = PerProcess(lambda: [os.getpid()])
    own = made.get()

    assert made.get() is own
    assert in_child(lambda: made.take() is None and made.get() == [os.getpid()])
    assert made.get() is own


def test_a_child_never_frees_its_parents_value() -> None:
    """Closing a client of the parent's could wait for ever, or end the parent's own connection."""
    freed: list[int] = []

    class Client:
        def __del__(self) -> None:
            freed.append(os.getpid())

    made = PerProcess(Client)
    made.get()

    assert in_child(lambda: made.get() is not None and made.take() is not None and len(freed) == 1)
    assert freed == []


def test_a_taken_value_is_created_again() -> None:
    """After `take` the next `get` creates a new one."""
    made = PerProcess(object)
    own = made.get()

    assert made.take() is own
    assert made.take() is None
    assert made.get() is not own
