"""A client of one Redis, created on first use.

If Redis does not answer, a call fails within two to three seconds; within five seconds if it must wait for its turn.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import ExponentialBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from clocksvc.redis.notifications import Notifications
from clocksvc.redis_url import RedisAddress

RedisClient = Redis | RedisCluster

RESPONSE_TIMEOUT_S = 2.0
"""The limit for connecting, and for each response."""
_HEALTH_CHECK_S = 30
MAX_CALLS = 32
"""The largest number of calls at a time, and so of their connections to each server. More threads wait for their turn:
a server executes one command at a time, so more connections would not make them faster.

redis-py's own limits are not used: its usual pool raises an error when all connections are in use. Its blocking pool
can't be combined with Sentinel, and counts the connections of blocking commands, too.
"""
_UNLIMITED = 2**31
_SHORTEST_BLOCK_S = 0.01


class RedisConnection:
    """A pool of connections to one Redis, Sentinel's master or cluster, for any number of clocks and threads.

    Creating it does not connect. The number of connections is at most MAX_CALLS, plus one for each blocking command. A
    process has one for the notifications of all its leaders and one for its notices; in a cluster one for each log.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._client: RedisClient | None = None
        self._calls = threading.BoundedSemaphore(MAX_CALLS)
        self._notifications: dict[str, Notifications] = {}

    @property
    def is_cluster(self) -> bool:
        """True if commands can't use keys with different hash tags."""
        return self._address.kind == "cluster"

    @contextmanager
    def calling(self) -> Iterator[Any]:
        """Give the client for commands that do not block. Waits while MAX_CALLS threads use it.

        Raises redis-py's errors; TimeoutError if other threads use it for longer than a response may take.
        """
        client = self.client()
        if not self._calls.acquire(timeout=RESPONSE_TIMEOUT_S):
            raise TimeoutError(f"{MAX_CALLS} other calls are waiting for an answer")
        try:
            yield client
        finally:
            self._calls.release()

    def client(self) -> RedisClient:
        """Return the client for blocking commands, and create it if necessary. Raises redis-py's errors.

        The client of a cluster reads the cluster's slots when it is created.
        """
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = _client(self._address)
        return self._client

    def notifications(self, key: str) -> Notifications:
        """Return the object that waits for elements of a list. Lists that one command can read share it."""
        group = key if self.is_cluster else ""
        with self._lock:
            return self._notifications.setdefault(group, Notifications(self.client))

    def close(self) -> None:
        """Close all connections. The connection must not be used afterwards."""
        for notifications in self._notifications.values():
            notifications.close()
        if self._client is not None:
            self._client.close()


def blocking_slices(timeout_s: float, monotonic: Callable[[], float]) -> Iterator[float]:
    """Yield the durations of the blocking commands of one long wait, in seconds, until the wait is over.

    Each command blocks for half of the connection's timeout. So a lost server is detected in time, and a long wait does
    not cause a timeout.
    """
    end = monotonic() + timeout_s
    while (left_s := end - monotonic()) > 0:
        yield max(_SHORTEST_BLOCK_S, min(left_s, RESPONSE_TIMEOUT_S / 2))


def _client(address: RedisAddress) -> RedisClient:
    options = _options(address)
    # One retry, for a pooled connection that broke while it was idle. No retry after a timeout.
    retry = Retry(ExponentialBackoff(cap=0.1, base=0.01), 1, supported_errors=(ConnectionError,))
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=nodes, retry=retry, **options)
    options |= {"db": address.database, "retry": retry}
    if address.kind == "sentinel":
        login = {"username": address.sentinel_username, "password": address.sentinel_password}
        sentinel_options = _options(address) | login
        sentinel: Any = Sentinel(address.nodes, sentinel_kwargs=sentinel_options, **options)  # type: ignore[no-untyped-call]
        master: Redis = sentinel.master_for(address.service)
        return master
    if address.kind == "unix":
        return Redis(unix_socket_path=address.path, **options)
    host, port = address.nodes[0]
    return Redis(host=host, port=port, **options)


def _options(address: RedisAddress) -> dict[str, Any]:
    tls = {"ssl": True, **address.tls_files()} if address.tls else {}
    return {
        "username": address.username,
        "password": address.password,
        "socket_timeout": RESPONSE_TIMEOUT_S,
        "socket_connect_timeout": RESPONSE_TIMEOUT_S,
        "health_check_interval": _HEALTH_CHECK_S,
        "protocol": 2,
        "decode_responses": True,
        "max_connections": _UNLIMITED,
        **tls,
    }
