"""Runs a program of a test in a thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDS_WITHIN_S = 30.0


@contextmanager
def in_thread(run: Callable[[], object], stop: Callable[[], object]) -> Iterator[threading.Thread]:
    """Call `run` in a thread. At the end of the block call `stop`, and wait until the thread has ended.

    Raises:
        BaseException: what `run` has raised.
        AssertionError: the thread has not ended after 30 s.
    """
    raised: list[BaseException] = []

    def keep_error() -> None:
        try:
            run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=keep_error, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop()
        thread.join(ENDS_WITHIN_S)
        assert not thread.is_alive()
    if raised:
        raise raised[0]
