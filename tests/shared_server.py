"""A server that the processes of one parallel test run share: the first that needs it starts it, and ends it last."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def shared(folder: Path, start: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The address of a server, for the duration of the block.

    Args:
        folder: the same one for all processes of the run.
        start: starts the server and gives its address. Only the first process calls it, and there the end of the block
            waits for all others. The system releases the locks of a process that dies.
    """
    folder.mkdir(exist_ok=True)
    address = folder / "address"
    with (folder / "starting").open("w") as starting, (folder / "users").open("w") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if address.exists():
            fcntl.flock(users, fcntl.LOCK_SH)
            fcntl.flock(starting, fcntl.LOCK_UN)
            yield address.read_text()
            return
        with start() as started:
            address.write_text(started)
            fcntl.flock(starting, fcntl.LOCK_UN)
            yield started
            _wait_until_unused(starting, users)
            address.unlink()


def _wait_until_unused(starting: IO[str], users: IO[str]) -> None:
    """Wait for the other processes. Returns with the lock `starting`, so that no process begins to use the server."""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)
        fcntl.flock(starting, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process began to use it just now
            fcntl.flock(starting, fcntl.LOCK_UN)
        else:
            return
