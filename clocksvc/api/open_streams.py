"""Limits the number of streams that a token has open at the same time, so that one client can't use all connections."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from clocksvc.api import problems
from clocksvc.api.problems import Problem
from clocksvc.api.tokens import Caller

STREAMS_PER_TOKEN = 10_000
OTHER_FILES = 500
"""How many of the files that a process may open are for other connections than streams."""


class OpenStreams:
    """The open streams of this process by token. Without tokens, all clients count as one. Not thread-safe.

    Args:
        most: the maximum number for a token.
        what: what is counted, for the problem.
        files: the number of files that this process may open; None for no limit. Each stream is one, and
            `OTHER_FILES` are for the connections to Kafka, Redis and other clients.
    """

    def __init__(self, most: int, what: str = "open streams", *, files: int | None = None) -> None:
        self._most, self._what, self._files = most, what, files
        self._open: Counter[str] = Counter()

    def check(self, caller: Caller) -> None:
        """Raise Problem (429) if the caller has the maximum number of streams, or if this process has."""
        if self._open[caller.name] >= self._most:
            detail = f"token '{caller.name}' has {self._most} {self._what} here, the maximum"
            raise Problem(problems.TOO_MANY_STREAMS, detail)
        if self._files is not None and self._open.total() >= max(1, self._files - OTHER_FILES):
            detail = f"this replica may open {self._files} files (ulimit -n), which allows no more {self._what}"
            raise Problem(problems.TOO_MANY_STREAMS, detail)

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        """Count a stream during the block."""
        self._open[caller.name] += 1
        try:
            yield
        finally:
            self._open[caller.name] -= 1
