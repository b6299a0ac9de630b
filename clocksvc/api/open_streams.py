"""Limits the number of streams that a token has open at the same time, so that one client can't use all connections."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from clocksvc.api import problems
from clocksvc.api.problems import Problem
from clocksvc.api.tokens import Caller

STREAMS_PER_TOKEN = 10_000


class OpenStreams:
    """The open streams of this process by token. Without tokens, all clients count as one. Not thread-safe.

    Args:
        most: the maximum number for a token.
        what: what is counted, for the problem.
    """

    def __init__(self, most: int, what: str = "open streams") -> None:
        self._most, self._what = most, what
        self._open: Counter[str] = Counter()

    def check(self, caller: Caller) -> None:
        """Raise Problem (429) if the caller has the maximum number of streams."""
        if self._open[caller.name] >= self._most:
            detail = f"token '{caller.name}' has {self._most} {self._what} here, the maximum"
            raise Problem(problems.TOO_MANY_STREAMS, detail)

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        """Count a stream during the block."""
        self._open[caller.name] += 1
        try:
            yield
        finally:
            self._open[caller.name] -= 1


class CountedStream(EventSourceResponse):
    """A response that counts as an open stream while it is sent."""

    streams: OpenStreams
    caller: Caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        with self.streams.counted(self.caller):
            await super().__call__(scope, receive, send)
