"""Waiting for a condition instead of for a time. The only place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_WAIT_SECONDS = 0.002
_LONGEST_WAIT_SECONDS = 0.2


def eventually(condition: Callable[[], T], *, within: float = 10.0, what: str = "the condition to hold") -> T:
    """Call `condition` until what it returns is true, and return that.

    An exception counts as "not yet". After `within` seconds: AssertionError with `what` and the last outcome.
    """
    deadline = time.monotonic() + within
    wait = _FIRST_WAIT_SECONDS
    while True:
        error: Exception | None = None
        try:
            value = condition()
            if value:
                return value
            last = f"the last value was {value!r}"
        except Exception as raised:
            error = raised
            last = f"the last exception was {raised!r}"
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {within:g} s for {what}: {last}") from error
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT_SECONDS)
