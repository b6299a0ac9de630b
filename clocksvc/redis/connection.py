"""A client of one Redis, created on first use.

If Redis does not answer, a call fails within two to three seconds.
"""

import threading
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import ExponentialBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError
from redis.retry import Retry
from redis.sentinel import Sentinel

from clocksvc.redis_url import RedisAddress

RedisClient = Redis | RedisCluster

RESPONSE_TIMEOUT_S = 2.0
"""The limit for connecting, and for each response."""
_HEALTH_CHECK_S = 30


class RedisConnection:
    """A pool of connections to one Redis, Sentinel's master or cluster, for any number of clocks and threads.

    Creating it does not connect.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._client: RedisClient | None = None

    def client(self) -> RedisClient:
        """Return the client, and create it if necessary. Raises redis-py's errors.

        The client of a cluster reads the cluster's slots when it is created.
        """
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = _client(self._address)
        return self._client

    def close(self) -> None:
        """Close all connections. The connection must not be used afterwards."""
        if self._client is not None:
            self._client.close()


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
        **tls,
    }
