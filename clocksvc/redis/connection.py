"""The client of one Redis, made when it is first used: making this object never waits for a server."""

import threading
from collections.abc import Callable

from clocksvc.redis.scripts import Client


class Connection:
    """A pool of connections to one Redis, Sentinel's master or cluster, for any number of clocks and threads.

    Attributes:
        timeout_s: how long one answer may take.
        prefix: of the keys, where the URL gave one.
    """

    def __init__(self, make: Callable[[], Client], timeout_s: float, prefix: str | None = None) -> None:
        self.timeout_s = timeout_s
        self.prefix = prefix
        self._make = make
        self._lock = threading.Lock()
        self._client: Client | None = None

    def client(self) -> Client:
        """The client. A cluster's asks for the cluster's shape when it is made; raises what redis raises."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make()
        return self._client

    def close(self) -> None:
        """Close every connection. Nothing may be called afterwards."""
        if self._client is not None:
            self._client.close()
