"""A client of a clock's event stream, in a thread. Shares no code with the service."""

import threading
import time
from collections.abc import Sequence

import httpx2

from tests.unit.api.events import streaming

_RECONNECT_S = 0.1


class StreamFollower:
    """Follows a clock's stream as a browser does: when a connection ends, it resumes at the next replica after the last
    id that it saw.

    Args:
        urls: the replicas, used in turn.
        after: where to begin, epoch seconds; None for live.
        hang_up_every: close a connection after so many ticks.

    Attributes:
        arrived: the id of each tick in seconds, and the monotonic time of its arrival, in order.
        errors: of connections.
    """

    def __init__(
        self, urls: Sequence[str], clock: str, *, after: int | None = None, hang_up_every: int | None = None
    ) -> None:
        self._urls = [f"{url}/v1/clocks/{clock}/ticks/stream" for url in urls]
        self._after, self._last_id = after, ""
        self._hang_up_every = hang_up_every
        self._stop = threading.Event()
        self.arrived: list[tuple[int, float]] = []
        self.connections = 0
        self.errors: list[str] = []
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """End with the next event. Does not wait."""
        self._stop.set()

    def has_begun(self) -> bool:
        """Whether a stream has sent its first id."""
        return self._last_id != ""

    def ticks(self) -> list[int]:
        """The ticks seen, in seconds, in the order of arrival."""
        return [at_s for at_s, _ in self.arrived]

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            try:
                self._listen(self._urls[turn % len(self._urls)])
            except (httpx2.HTTPError, AssertionError) as error:
                self.errors.append(repr(error))
                self._stop.wait(_RECONNECT_S)
            turn += 1

    def _listen(self, url: str) -> None:
        with streaming(url, after=self._after, last_event_id=self._last_id or None) as events:
            self.connections += 1
            seen = 0
            for event in events:
                if self._stop.is_set():
                    return
                self._last_id = event.id or self._last_id
                if event.kind == "tick":
                    self.arrived.append((int(event.id), time.monotonic()))
                    seen += 1
                if seen == self._hang_up_every:
                    return
