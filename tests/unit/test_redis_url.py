"""Redis URLs: all forms, and errors without secrets."""

from dataclasses import replace

import pytest

from clocksvc.errors import InvalidValue
from clocksvc.redis_url import RedisAddress, parse_redis_url, public_address

LOCAL = (("localhost", 6379),)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", RedisAddress("single", LOCAL)),
        ("redis://localhost", RedisAddress("single", LOCAL)),
        ("redis://h:7000/3", RedisAddress("single", (("h", 7000),), database=3)),
        ("redis://[::1]:7000", RedisAddress("single", (("::1", 7000),))),
        ("redis://h?db=4&prefix=mine", RedisAddress("single", (("h", 6379),), database=4, prefix="mine")),
        ("redis://:p%40ss@h", RedisAddress("single", (("h", 6379),), password="p@ss")),
        ("redis://user:p@h", RedisAddress("single", (("h", 6379),), username="user", password="p")),
        ("rediss://h", RedisAddress("single", (("h", 6379),), tls=True)),
        (
            "rediss://h?ssl_ca_certs=/ca.pem",
            RedisAddress("single", (("h", 6379),), tls=True, ssl_ca_certs="/ca.pem"),
        ),
        ("unix:///run/redis.sock", RedisAddress("unix", path="/run/redis.sock")),
        (
            "unix:///run/redis.sock?db=2&password=p",
            RedisAddress("unix", path="/run/redis.sock", database=2, password="p"),
        ),
        (
            "redis+sentinel://:p@a:1,b/5?service=main",
            RedisAddress("sentinel", (("a", 1), ("b", 26379)), database=5, password="p", service="main"),
        ),
        ("rediss+cluster://a:1,b:2", RedisAddress("cluster", (("a", 1), ("b", 2)), tls=True)),
    ],
)
def test_url_forms(url: str, address: RedisAddress) -> None:
    """Every form gives the address, the login and the prefix."""
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://user:s3cret@h", "wanted one of redis://"),
        ("localhost:6379", "wanted one of redis://"),
        ("redis://user:s3cret@h:port", "host:port"),
        ("redis://user:s3cret@h/nought", "database number"),
        ("redis://user:s3cret@h?prefx=mine", "unknown parameter prefx"),
        ("redis://h?password=s3cret&ssl=1", "unknown parameter ssl"),
        ("redis+sentinel://user:s3cret@h/0", "service"),
        ("redis+cluster://user:s3cret@h/1", "only database 0"),
        ("redis://user:s3cret@[::1", "redis.url"),
        ("redis://user:s3cret@a,b", "several only for Sentinel and clusters"),
        ("redis://user:s3cret@h:70000", "host:port"),
        ("redis://user:s3cret@h/0#x", "no '#'"),
    ],
)
def test_invalid_url_is_rejected_without_its_password(url: str, says: str) -> None:
    """The error names the field and what is wanted, never a secret."""
    with pytest.raises(InvalidValue) as raised:
        parse_redis_url(url)

    assert says in str(raised.value)
    assert "redis.url" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_an_address_shows_no_password() -> None:
    """Its repr has neither of its passwords."""
    address = replace(parse_redis_url("redis://user:s3cret@h"), sentinel_password="s3cret")

    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://user:s3cret@redis.example.com:6380/3", "redis.example.com:6380, database 3"),
        ("rediss://REDIS.example.com", "redis.example.com:6379, database 0"),
        ("redis://10.0.0.7", "10.0.0.7:6379, database 0"),
        ("redis://[fd00::7]:7000", "[fd00::7]:7000, database 0"),
        ("redis://redis:6379/1", "redis:6379 in shop.svc.cluster.local, database 1"),
        ("redis://localhost", "localhost:6379 on web-1, database 0"),
        ("redis://127.0.0.2:7000", "127.0.0.2:7000 on web-1, database 0"),
        ("redis://[::1]", "[::1]:6379 on web-1, database 0"),
        (
            "redis+sentinel://:s3cret@b.example,a.example:1/5?service=main",
            "main, database 5 of the Sentinels a.example:1, b.example:26379",
        ),
        ("redis+cluster://:s3cret@b.example:1,a.example:2", "cluster a.example:2, b.example:1"),
    ],
)
def test_the_public_address(url: str, text: str) -> None:
    """Without credentials, and with the machine or the domain where another one has another server of this name."""
    assert public_address(parse_redis_url(url), "web-1", "shop.svc.cluster.local") == text


def test_names_without_a_dot_on_a_machine_without_a_domain() -> None:
    """They stay as they are."""
    assert public_address(parse_redis_url("redis://redis"), "web-1", "") == "redis:6379, database 0"
