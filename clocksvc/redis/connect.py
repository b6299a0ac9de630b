"""From a URL to a connection or a store. A dead Redis must fail in two or three seconds, not in minutes."""

from dataclasses import replace
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import ExponentialBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError
from redis.retry import Retry
from redis.sentinel import Sentinel

from clocksvc.clock.spec import DAY_MS
from clocksvc.redis.address import (
    Address,
    Node,
    parse,
)
from clocksvc.redis.connection import Connection
from clocksvc.redis.scripts import Client
from clocksvc.redis.store import RedisStore

_HEALTH_CHECK_S = 30
_PREFIX = "clocksvc"


def connect(
    url: str,
    *,
    timeout_s: float = 2.0,
    username: str | None = None,
    password: str | None = None,
    ca_file: str | None = None,
    cert_file: str | None = None,
    key_file: str | None = None,
    sentinel_service: str | None = None,
    sentinel_nodes: tuple[Node, ...] = (),
    sentinel_username: str | None = None,
    sentinel_password: str | None = None,
    cluster: bool = False,
) -> Connection:
    """A connection to the Redis of a URL; it makes no contact yet.

    Args:
        url: see `address.parse`; what it holds stands back behind the arguments that are given.
        timeout_s: for a connection to be made, and for one answer.
        ca_file: a PEM file with the authorities that may sign a `rediss://` server's certificate.
        cert_file, key_file: PEM files with this client's own certificate and key.
        sentinel_service, sentinel_nodes: the master's name and the sentinels to ask for it; then the URL gives only
            database, TLS and credentials.
        sentinel_username, sentinel_password: of the sentinels, where they want any.
        cluster: that the URL's host is a node of a cluster.

    Raises:
        InvalidValue: the URL is not one.
    """
    address = parse(url)
    tls_files = {"ssl_ca_certs": ca_file, "ssl_certfile": cert_file, "ssl_keyfile": key_file}
    address = replace(
        address,
        kind="sentinel" if sentinel_service else "cluster" if cluster else address.kind,
        nodes=sentinel_nodes or address.nodes,
        service=sentinel_service or address.service,
        username=username or address.username,
        password=password or address.password,
        tls_files=address.tls_files | {name: file for name, file in tls_files.items() if file},
    )
    sentinel_credentials = {"username": sentinel_username, "password": sentinel_password}
    return Connection(lambda: _client(address, timeout_s, sentinel_credentials), timeout_s, address.prefix)


def open_store(url: str, clock: str, prefix: str = _PREFIX, recent_ticks_ms: int = 7 * DAY_MS) -> RedisStore:
    """One clock's store with a connection of its own; `?prefix=` in the URL goes before `prefix`.

    Raises:
        InvalidValue: the URL is not one.
    """
    connection = connect(url)
    return RedisStore(connection, connection.prefix or prefix, clock, recent_ticks_ms, owns_connection=True)


def _client(address: Address, timeout_s: float, sentinel_credentials: dict[str, str | None]) -> Client:
    options = _options(address, timeout_s)
    # A connection that broke while idle is made anew once; a server that does not answer in time is not asked again.
    retry = Retry(ExponentialBackoff(cap=0.1, base=0.01), 1, supported_errors=(ConnectionError,))
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=nodes, retry=retry, **options)
    options |= {"db": address.db, "retry": retry}
    if address.kind == "sentinel":
        asking = _options(address, timeout_s) | sentinel_credentials
        sentinels: Any = Sentinel(address.nodes, sentinel_kwargs=asking, **options)  # type: ignore[no-untyped-call]
        master: Redis = sentinels.master_for(address.service)
        return master
    if address.kind == "unix":
        return Redis(unix_socket_path=address.path, **options)
    host, port = address.nodes[0]
    return Redis(host=host, port=port, **options)


def _options(address: Address, timeout_s: float) -> dict[str, Any]:
    tls = {"ssl": True, **address.tls_files} if address.tls else {}
    return {
        "username": address.username,
        "password": address.password,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": _HEALTH_CHECK_S,
        "protocol": 2,
        "decode_responses": True,
        **tls,
    }
