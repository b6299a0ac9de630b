"""Addresses: of Redis, of Celery's broker, and the address to listen on."""

import ssl
from typing import Any

import pytest
from kombu.connection import Connection

from clocksvc.errors import InvalidValue, SettingsError
from clocksvc.redis_url import parse_redis_url
from clocksvc.settings import check_bind, settings_from
from tests.unit.settings.sample_config import TOKEN, with_section

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("url", "extra", "tls", "host", "port", "database", "username", "password"),
    [
        ("redis://h", {}, False, "h", 6379, 0, None, None),
        ("rediss://u:p%40%2F@h:1/3", {}, True, "h", 1, 3, "u", "p@/"),
        ("redis://:p@[::1]:1/", {}, False, "::1", 1, 0, None, "p"),
        ("redis://h/2", {"username": "u", "password": "p:@"}, False, "h", 6379, 2, "u", "p:@"),
    ],
)
def test_the_stores_address(
    url: str, extra: dict[str, str], tls: bool, host: str, port: int, database: int, username: str, password: str
) -> None:
    """The URL is parsed; user and password come from the URL or from their fields; its repr shows no password."""
    address = settings_from(with_section("redis", {"url": url, **extra})).redis.address()

    assert (address.tls, address.nodes, address.database) == (tls, ((host, port),), database)
    assert (address.username, address.password) == (username, password)
    assert "password" not in repr(address)


def _parsed_by_celery(url: str) -> Any:
    return Connection(url)  # type: ignore[no-untyped-call]  # kombu's is not typed


def test_the_broker_is_the_stores_redis() -> None:
    """Celery's own client reads host, database, credentials and verified TLS from it."""
    redis = {"url": "rediss://h:1/3", "username": "u", "password": "p/@", "ssl_ca_file": "/c a", "ssl_cert_file": "/c"}

    url, _ = settings_from(with_section("redis", redis)).celery_broker()

    broker = _parsed_by_celery(url)
    assert (broker.transport_cls, broker.hostname, broker.port, broker.virtual_host) == ("rediss", "h", 1, "3")
    assert (broker.userid, broker.password) == ("u", "p/@")
    assert broker.ssl["ssl_cert_reqs"].name == "CERT_REQUIRED"
    assert (broker.ssl["ssl_ca_certs"], broker.ssl["ssl_certfile"]) == ("/c a", "/c")
    assert broker.ssl["ssl_check_hostname"] is True


def test_the_broker_is_built_from_sentinels() -> None:
    """Every Sentinel is an alternative URL with the primary's credentials; the Sentinels' own are transport options."""
    sentinel = {"service": "main", "nodes": ["a:1", "b", "[::1]:3"], "username": "su", "password": "sp"}
    redis = {"url": "redis://ignored:9/2", "password": "p/@", "sentinel": sentinel}

    url, options = settings_from(with_section("redis", redis)).celery_broker()

    assert options == {"master_name": "main", "sentinel_kwargs": {"username": "su", "password": "sp"}}
    for alternative, host, port in zip(url.split(";"), ["a", "b", "::1"], [1, 26379, 3], strict=True):
        broker = _parsed_by_celery(alternative)
        assert (broker.transport_cls, broker.hostname, broker.port) == ("sentinel", host, port)
        assert (broker.virtual_host, broker.password, broker.ssl) == ("2", "p/@", False)


def test_a_separate_broker() -> None:
    """A configured URL is used, also with a Redis cluster."""
    data = {**with_section("redis", {"cluster": True}), "celery": {"broker_url": "amqp://u:p@h//"}}

    assert settings_from(data).celery_broker() == ("amqp://u:p@h//", {})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_loopback_needs_no_tokens(host: str) -> None:
    """A loopback address can be served without tokens."""
    check_bind(settings_from(with_section("api", {"host": host})).api, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com"])
def test_other_addresses_need_tokens_or_insecure(host: str) -> None:
    """Without both, the start fails; the error names both."""
    token = {"name": "n", "token": TOKEN, "scopes": ["read"]}
    api = settings_from(with_section("api", {"host": host})).api

    check_bind(settings_from(with_section("api", {"host": host, "tokens": [token]})).api, insecure=False)
    check_bind(api, insecure=True)
    with pytest.raises(InvalidValue, match=r"^api\.host: .*api\.tokens.*--insecure"):
        check_bind(api, insecure=False)


@pytest.mark.parametrize("name", ["clock.example.com", "localhost", "*.example.com", "10.0.0.1", "::1", "[::1]", "a_b"])
def test_hosts_are_names_and_addresses(name: str) -> None:
    """`api.hosts` has host names, addresses, and all subdomains of a domain."""
    assert settings_from(with_section("api", {"hosts": [name]})).api.hosts == (name,)


@pytest.mark.parametrize("name", ["http://clock", "clock:8080", "clock/", "*", "a.*.b", "", "a b"])
def test_other_hosts_are_rejected(name: str) -> None:
    """The error names the position in the list."""
    with pytest.raises(SettingsError, match=r"api\.hosts\.1"):
        settings_from(with_section("api", {"hosts": ["clock", name]}))


@pytest.mark.parametrize("query", ["", "?ssl_ca_certs=/ca.pem", "?ssl_cert_reqs=required&ssl_check_hostname=true"])
def test_a_separate_broker_is_always_verified(query: str) -> None:
    """Without parameters, Celery would not verify the certificate of a `rediss://` broker."""
    url, _ = settings_from(with_section("celery", {"broker_url": f"rediss://:p@h:6380/1{query}"})).celery_broker()

    assert _parsed_by_celery(url).ssl["ssl_cert_reqs"] is ssl.CERT_REQUIRED
    assert "ssl_check_hostname=true" in url
    assert url.startswith("rediss://:p@h:6380/1?")


@pytest.mark.parametrize("query", ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs=optional"])
@pytest.mark.parametrize("other", ["ssl_check_hostname=true", "ssl_check_hostname=false"])
def test_a_broker_without_verification_is_rejected(query: str, other: str) -> None:
    """The error has what is wanted, without the URL's password."""
    url = f"rediss://:hunter2@h?{query}&{other}"
    with pytest.raises(SettingsError, match=r"celery\.broker_url.*ssl_cert_reqs=required") as raised:
        settings_from(with_section("celery", {"broker_url": url}))

    assert "hunter2" not in str(raised.value)
    for parameter in ("?ssl_cert_reqs=none", "?ssl_cert_reqs=none&prefix=p"):
        with pytest.raises(InvalidValue, match="ssl_cert_reqs"):
            parse_redis_url(f"rediss://h{parameter}")
        with pytest.raises(SettingsError, match=r"redis\.url"):
            settings_from(with_section("redis", {"url": f"rediss://h{parameter}"}))
