"""Connections to every kind of Redis, and what is checked when a service starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from clocksvc.check.finding import Finding, Level
from clocksvc.check.probe_redis import probe_redis_servers
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import StoreUnavailable
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.keys import log_key
from clocksvc.redis.leases import RedisLeases
from clocksvc.redis.notices import open_notices
from clocksvc.redis.store import open_redis_store
from clocksvc.redis_url import RedisAddress, parse_redis_url
from clocksvc.settings.redis import RedisSettings, SentinelSettings
from tests.interfaces.redis_servers import SentinelServer, one_node_cluster
from tests.interfaces.store_examples import BASE, CLOCK, LOG, TOKEN, chain, lead
from tests.waiting import eventually

pytestmark = pytest.mark.servers


@contextmanager
def connected(address: RedisAddress) -> Iterator[RedisConnection]:
    """A connection, closed at the end."""
    connection = RedisConnection(address)
    yield connection
    connection.close()


def trouble(connection: RedisConnection) -> list[Finding]:
    """The findings that are not OK."""
    return [finding for finding in probe_redis_servers(connection) if finding.level is not Level.OK]


def test_prefix_of_the_url_takes_precedence(redis_url: str, key_prefix: str) -> None:
    """It replaces the argument, so that two services can share one Redis."""
    stores = [
        open_redis_store(f"{redis_url}?prefix={key_prefix}", CLOCK, prefix="other"),
        open_redis_store(redis_url, CLOCK, prefix=key_prefix),
        open_redis_store(redis_url, CLOCK, prefix=f"{key_prefix}-2"),
    ]
    with connected(parse_redis_url(redis_url)) as connection:
        lead(stores[0], RedisLeases(connection, key_prefix, LOG))

    assert [store.snapshot().leader is not None for store in stores] == [True, True, False]
    with_keys = Redis.from_url(redis_url)
    with_keys.delete(*with_keys.scan_iter(match=f"{key_prefix}:*"))
    with_keys.close()
    for store in stores:
        store.close()


def test_unix_socket_and_password() -> None:
    """A server on a Unix socket with a password; without the password the error names the credentials."""
    with ValkeyServer(password="s3cret", options={"unixsocket": "redis.sock"}) as server:
        url = f"unix://{server.directory}/redis.sock"
        store, stranger = open_redis_store(f"{url}?password=s3cret", CLOCK), open_redis_store(url, CLOCK)

        assert store.now_ms() > BASE
        with pytest.raises(StoreUnavailable, match="credentials"):
            stranger.now_ms()
        store.close()
        stranger.close()


def test_user_and_password() -> None:
    """They may come from another source than the URL, such as a file."""
    with ValkeyServer(options={"user": "clocksvc on >s3cret ~* +@all"}) as server:
        address = replace(parse_redis_url(server.url), username="clocksvc", password="s3cret")
        with connected(address) as connection:
            client: Any = connection.client()
            assert client.acl_whoami() == "clocksvc"


@pytest.fixture
def sentinel() -> Iterator[tuple[ValkeyServer, SentinelServer]]:
    """A master and its sentinel."""
    with ValkeyServer() as master, SentinelServer(master) as watching:
        yield master, watching


def test_sentinel_knows_the_master(sentinel: tuple[ValkeyServer, SentinelServer]) -> None:
    """By URL or by the configuration. An unknown name, or a master that is gone, makes the store unavailable."""
    master, watching = sentinel
    store = open_redis_store(f"redis+sentinel://127.0.0.1:{watching.port}/0?service=mymaster", CLOCK)
    unknown = open_redis_store(f"redis+sentinel://127.0.0.1:{watching.port}/0?service=other", CLOCK)

    nodes = (f"127.0.0.1:{watching.port}",)
    settings = RedisSettings(
        url=SecretStr("redis://ignored:1/0"), sentinel=SentinelSettings(service="mymaster", nodes=nodes)
    )
    with connected(settings.address()) as connection:
        leases, reader = RedisLeases(connection, "clocksvc", LOG), open_notices(connection, "clocksvc", [CLOCK])
        lead(store, leases)
        assert reader.read(0) is None
        store.publish(TOKEN, chain(0, 0, None))
        assert (reader.read(1.0), leases.wait_for_notification(0.05)) == ([CLOCK], False)
        assert connection.client().exists(log_key("clocksvc", LOG, "lease")) == 1
    with pytest.raises(StoreUnavailable):
        unknown.now_ms()
    master.kill()
    with pytest.raises(StoreUnavailable):
        store.now_ms()
    store.close()
    unknown.close()


def test_a_sound_server_gives_no_warning() -> None:
    """A recent version that evicts nothing."""
    with ValkeyServer() as server, connected(parse_redis_url(server.url)) as connection:
        assert trouble(connection) == []


@pytest.mark.parametrize(
    ("policy", "harm"),
    [("allkeys-lru", "evict rosters"), ("volatile-ttl", "evict leases"), ("noeviction", None)],
)
def test_eviction_that_could_lose_keys_gives_a_warning(policy: str, harm: str | None) -> None:
    """Each policy with its effect, with and without a memory limit."""
    with ValkeyServer(maxmemory_policy=policy) as server, connected(parse_redis_url(server.url)) as connection:
        unlimited = trouble(connection)
        connection.client().config_set("maxmemory", "100mb")
        limited = trouble(connection)

    assert [policy in found.text and (harm or "") in found.text for found in limited] == ([True] if harm else [])
    assert [policy in found.text and "no maxmemory yet" in found.text for found in unlimited] == (
        [True] if harm else []
    )


def test_a_server_that_forbids_info_gives_one_warning() -> None:
    """A hosted Redis may forbid INFO: that is no failure."""
    with (
        ValkeyServer(options={"rename-command INFO": '""'}) as server,
        connected(parse_redis_url(server.url)) as connection,
    ):
        (found,) = trouble(connection)

    assert found.level is Level.WARNING
    assert "version and eviction policy" in found.text


def test_every_node_of_a_cluster_is_checked() -> None:
    """A warning names its node."""
    with (
        one_node_cluster() as node,
        connected(parse_redis_url(node.url.replace("redis://", "redis+cluster://"))) as connection,
    ):
        client: Any = connection.client()
        assert trouble(connection) == []
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
        (found,) = trouble(connection)

    assert str(node.port) in found.part


def test_check_of_a_server_that_is_gone() -> None:
    """No answer is an error, not a warning."""
    with ValkeyServer() as server, connected(parse_redis_url(server.url)) as connection:
        server.kill()
        eventually(lambda: not server.running, what="the server to end")

        with pytest.raises(StoreUnavailable):
            trouble(connection)
