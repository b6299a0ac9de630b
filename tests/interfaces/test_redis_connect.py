"""From a URL to a Redis: every form, errors in words without secrets, and what is checked at start."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import InvalidValue, StoreUnavailable
from clocksvc.redis import checks
from clocksvc.redis.address import (
    Address,
    parse,
)
from clocksvc.redis.connect import (
    connect,
    open_store,
)
from clocksvc.redis.facts import RedisFacts
from tests.interfaces.redis_servers import (
    SentinelServer,
    one_node_cluster,
)
from tests.interfaces.store_values import (
    BASE,
    CLOCK,
    lead,
)
from tests.waiting import eventually

LOCAL = (("localhost", 6379),)


@contextmanager
def client_of(url: str, **options: Any) -> Iterator[Any]:
    """The client of a connection, closed at the end."""
    connection = connect(url, **options)
    yield connection.client()
    connection.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address("single", LOCAL)),
        ("redis://localhost", Address("single", LOCAL)),
        ("redis://h:7000/3", Address("single", (("h", 7000),), db=3)),
        ("redis://[::1]:7000", Address("single", (("::1", 7000),))),
        ("redis://h?db=4&prefix=mine", Address("single", (("h", 6379),), db=4, prefix="mine")),
        ("redis://:p%40ss@h", Address("single", (("h", 6379),), password="p@ss")),
        ("redis://user:p@h", Address("single", (("h", 6379),), username="user", password="p")),
        ("rediss://h", Address("single", (("h", 6379),), tls=True)),
        (
            "rediss://h?ssl_ca_certs=/ca.pem",
            Address("single", (("h", 6379),), tls=True, tls_files={"ssl_ca_certs": "/ca.pem"}),
        ),
        ("unix:///run/redis.sock", Address("unix", path="/run/redis.sock")),
        ("unix:///run/redis.sock?db=2&password=p", Address("unix", path="/run/redis.sock", db=2, password="p")),
        (
            "redis+sentinel://:p@a:1,b/5?service=main",
            Address("sentinel", (("a", 1), ("b", 26379)), db=5, password="p", service="main"),
        ),
        ("rediss+cluster://a:1,b:2", Address("cluster", (("a", 1), ("b", 2)), tls=True)),
    ],
)
def test_url_forms(url: str, address: Address) -> None:
    """Each form says where Redis is, as whom to ask, and under which prefix."""
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://user:s3cret@h", "wanted one of redis://"),
        ("localhost:6379", "wanted one of redis://"),
        ("redis://user:s3cret@h:port", "host:port"),
        ("redis://user:s3cret@h/nought", "database number"),
        ("redis://user:s3cret@h?prefx=mine", "does not know prefx"),
        ("redis://h?password=s3cret&ssl=1", "does not know ssl"),
        ("redis+sentinel://user:s3cret@h/0", "service"),
        ("redis+cluster://user:s3cret@h/1", "only database 0"),
        ("redis://user:s3cret@[::1", "redis.url"),
    ],
)
def test_wrong_url_is_told_without_its_password(url: str, says: str) -> None:
    """The error names the field and what would be right, never a secret; no contact is made."""
    with pytest.raises(InvalidValue) as raised:
        connect(url)

    assert says in str(raised.value)
    assert "redis.url" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_an_address_shows_no_password() -> None:
    """Not even to somebody who prints it."""
    assert "s3cret" not in repr(parse("redis://user:s3cret@h"))


@pytest.mark.servers
def test_prefix_of_the_url_is_honoured(redis_url: str, key_prefix: str) -> None:
    """It goes before the argument, so that two services may share one Redis."""
    stores = [
        open_store(f"{redis_url}?prefix={key_prefix}", CLOCK, prefix="other"),
        open_store(redis_url, CLOCK, prefix=key_prefix),
        open_store(redis_url, CLOCK, prefix=f"{key_prefix}-2"),
    ]
    lead(stores[0])

    assert [store.snapshot().leader is not None for store in stores] == [True, True, False]
    with_keys = Redis.from_url(redis_url)
    with_keys.delete(*with_keys.scan_iter(match=f"{key_prefix}:*"))
    with_keys.close()
    for store in stores:
        store.close()


@pytest.mark.servers
def test_unix_socket_and_password() -> None:
    """A server that listens on a socket, with a password; without the password it is refused in words."""
    with ValkeyServer(password="s3cret", options={"unixsocket": "redis.sock"}) as server:
        url = f"unix://{server.directory}/redis.sock"
        store, stranger = open_store(f"{url}?password=s3cret", CLOCK), open_store(url, CLOCK)

        assert store.now_ms() > BASE
        with pytest.raises(StoreUnavailable, match="credentials"):
            stranger.now_ms()
        store.close()
        stranger.close()


@pytest.mark.servers
def test_credentials_beside_the_url() -> None:
    """A user and a password that come from elsewhere, such as a file, go before those of the URL."""
    with (
        ValkeyServer(options={"user": "clocksvc on >s3cret ~* +@all"}) as server,
        client_of(server.url, username="clocksvc", password="s3cret") as client,
    ):
        assert client.acl_whoami() == "clocksvc"


@pytest.fixture
def sentinel() -> Iterator[tuple[ValkeyServer, SentinelServer]]:
    """A master and its sentinel."""
    with ValkeyServer() as master, SentinelServer(master) as watching:
        yield master, watching


@pytest.mark.servers
def test_sentinel_knows_the_master(sentinel: tuple[ValkeyServer, SentinelServer]) -> None:
    """By URL or by arguments; a name that it does not know, or a master that is gone, is unavailable."""
    master, watching = sentinel
    by_url = open_store(f"redis+sentinel://127.0.0.1:{watching.port}/0?service=mymaster", CLOCK)
    unknown = open_store(f"redis+sentinel://127.0.0.1:{watching.port}/0?service=other", CLOCK)
    lead(by_url)

    nodes = (("127.0.0.1", watching.port),)
    with client_of("redis://ignored:1/0", sentinel_service="mymaster", sentinel_nodes=nodes) as client:
        assert client.exists(f"clocksvc:{{{CLOCK}}}:lease") == 1
    with pytest.raises(StoreUnavailable):
        unknown.now_ms()
    master.kill()
    with pytest.raises(StoreUnavailable):
        by_url.now_ms()
    by_url.close()
    unknown.close()


@pytest.mark.servers
def test_a_sound_server_gives_no_warning() -> None:
    """A recent one that evicts nothing."""
    with ValkeyServer() as server:
        connection = connect(server.url)

        assert checks.check(connection) == []
        connection.close()


@pytest.mark.servers
@pytest.mark.parametrize(
    ("policy", "harm"),
    [("allkeys-lru", "drop rosters"), ("volatile-ttl", "drop leases"), ("noeviction", None)],
)
def test_eviction_that_could_drop_our_keys_is_told(policy: str, harm: str | None) -> None:
    """Each policy with what it would do; none where the memory has no limit."""
    with ValkeyServer(maxmemory_policy=policy) as server:
        connection = connect(server.url)
        assert checks.check(connection) == []
        connection.client().config_set("maxmemory", "100mb")
        warnings = checks.check(connection)
        connection.close()

    assert [policy in warning and (harm or "") in warning for warning in warnings] == ([True] if harm else [])


@pytest.mark.servers
def test_server_that_forbids_questions_gives_a_note() -> None:
    """A hosted Redis may not say how it is configured: that is no failure."""
    with ValkeyServer(options={"rename-command INFO": '""'}) as server:
        connection = connect(server.url)
        notes = checks.check(connection)
        connection.close()

    assert len(notes) == 1
    assert "not checked" in notes[0]


@pytest.mark.servers
def test_every_node_of_a_cluster_is_checked() -> None:
    """A warning says which node it is about."""
    with one_node_cluster() as node:
        connection = connect(node.url, cluster=True)
        client: Any = connection.client()
        assert checks.check(connection) == []
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
        warnings = checks.check(connection)
        connection.close()

    assert len(warnings) == 1
    assert str(node.port) in warnings[0]


@pytest.mark.parametrize(
    ("version", "role", "says"),
    [
        ("6.0.16", "master", "is too old"),
        ("5.0", "master", "is too old"),
        ("6.2.0", "master", None),
        ("10.0.1", "master", None),
        ("7.2.4", "slave", "is a replica"),
        (None, None, "not checked"),
    ],
)
def test_version_and_role(version: str | None, role: str | None, says: str | None) -> None:
    """6.2 is the floor, and only a master can be written."""
    warnings = checks.warnings(RedisFacts("", version=version, role=role))

    assert [says in warning for warning in warnings if says] == ([True] if says else [])
    assert len(warnings) == (1 if says else 0)


@pytest.mark.servers
def test_check_of_a_server_that_is_gone() -> None:
    """No answer is no warning but an error."""
    with ValkeyServer() as server:
        connection = connect(server.url)
        server.kill()
        eventually(lambda: not server.running, what="the server to end")

        with pytest.raises(StoreUnavailable):
            checks.check(connection)
        connection.close()
