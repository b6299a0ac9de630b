"""Where the store is: one Redis, a Sentinel's, or a cluster's. Must not connect, nor import redis."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from clocksvc.settings.fields import FieldError, Secret, Section, Text, refuse

_REDIS_PORT, _SENTINEL_PORT = 6379, 26379
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]+))(?::([0-9]{1,5}))?")
_WANTED_URL = "wanted redis://host:6379/0 or rediss://host:6379/0, user and password percent-encoded, no ?arguments"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The store's URL taken apart, `username` and `password` from the settings or from the URL."""

    tls: bool
    host: str
    port: int
    database: int
    username: str | None
    password: str | None = field(repr=False)


class SentinelSettings(Section):
    """Who knows where the store's primary is. `username` and `password` are the sentinels' own."""

    service: Text = Field(description="the name that the sentinels know the primary by")
    nodes: tuple[Text, ...] = Field(description="the sentinels, a list of host:port")
    username: Text | None = None
    password: Secret | None = None
    password_file: Text | None = None

    @model_validator(mode="after")
    def _has_nodes(self) -> "SentinelSettings":
        if not self.nodes:
            refuse([FieldError(("nodes",), "wanted at least one host:port")])
        wanted = "wanted host:port"
        refuse([FieldError(("nodes", i), wanted, node) for i, node in enumerate(self.nodes) if _node(node) is None])
        return self

    def addresses(self) -> list[tuple[str, int]]:
        """(host, port) of every sentinel."""
        return [node for node in map(_node, self.nodes) if node is not None]


class RedisSettings(Section):
    """With `sentinel`, the URL's host and port count for nothing: its scheme, credentials and database do."""

    url: Secret = SecretStr("redis://localhost:6379/0")
    url_file: Text | None = None
    prefix: str = "clocksvc"
    sentinel: SentinelSettings | None = None
    cluster: bool = False
    username: Text | None = None
    password: Secret | None = None
    password_file: Text | None = None
    ssl_ca_file: Text | None = None
    ssl_cert_file: Text | None = None
    ssl_key_file: Text | None = None

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: SecretStr) -> SecretStr:
        parse_redis_url(url.get_secret_value())
        return url

    @field_validator("prefix")
    @classmethod
    def _is_a_prefix(cls, prefix: str) -> str:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("wanted 1 to 64 of a-z, A-Z, 0-9, '.', '_', ':' and '-'")
        return prefix

    @model_validator(mode="after")
    def _is_possible(self) -> "RedisSettings":
        address = parse_redis_url(self.url.get_secret_value())
        refuse([*self._refused_kinds(address), *self._refused_credentials(address), *self._refused_tls(address)])
        return self

    def _refused_kinds(self, address: RedisAddress) -> Iterator[FieldError]:
        if self.cluster and self.sentinel is not None:
            yield FieldError(("cluster",), "wanted cluster or sentinel, not both", True)
        if self.cluster and address.database:
            yield FieldError(("url",), "wanted database 0: a cluster has no other", self.url)

    def _refused_credentials(self, address: RedisAddress) -> Iterator[FieldError]:
        for name, own, other in (
            ("username", self.username, address.username),
            ("password", self.password, address.password),
        ):
            if own is not None and other is not None:
                yield FieldError((name,), "wanted it once: redis.url has one too", own)

    def _refused_tls(self, address: RedisAddress) -> Iterator[FieldError]:
        for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file"):
            if getattr(self, name) is not None and not address.tls:
                yield FieldError((name,), "wanted only where redis.url is a rediss:// one", getattr(self, name))
        if self.ssl_key_file is not None and self.ssl_cert_file is None:
            yield FieldError(("ssl_key_file",), "wanted with redis.ssl_cert_file", self.ssl_key_file)

    def address(self) -> RedisAddress:
        """Where to connect and as whom."""
        at = parse_redis_url(self.url.get_secret_value())
        password = at.password if self.password is None else self.password.get_secret_value()
        return RedisAddress(at.tls, at.host, at.port, at.database, self.username or at.username, password)


def parse_redis_url(url: str) -> RedisAddress:
    """The URL taken apart.

    Raises:
        ValueError: says what is wanted, never the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _REDIS_PORT
    except ValueError:
        raise ValueError(_WANTED_URL) from None
    database = parts.path.strip("/") or "0"
    known = parts.scheme in ("redis", "rediss") and host and not parts.query and not parts.fragment
    if not known or host is None or not re.fullmatch(r"[0-9]{1,4}", database):
        raise ValueError(_WANTED_URL)
    username, password = unquote(parts.username or "") or None, unquote(parts.password or "") or None
    return RedisAddress(parts.scheme == "rediss", unquote(host), port, int(database), username, password)


def _node(text: str) -> tuple[str, int] | None:
    match = _NODE.fullmatch(text)
    port = int(match[3] or _SENTINEL_PORT) if match else 0
    return (match[1] or match[2], port) if match and 1 <= port <= 65_535 else None


def broker_from_redis(redis: RedisSettings) -> tuple[str, dict[str, Any]]:
    """The store's Redis as a broker: URL (with its password) and transport options. Not for a cluster."""
    address = redis.address()
    tls = _tls_arguments(redis) if address.tls else {}
    if redis.sentinel is None:
        return _url("rediss" if address.tls else "redis", address.host, address.port, address, tls), {}
    # Every URL carries everything: after a failed connection the next one is taken whole.
    urls = [_url("sentinel", host, port, address, tls) for host, port in redis.sentinel.addresses()]
    options: dict[str, Any] = {"master_name": redis.sentinel.service}
    if arguments := _sentinel_arguments(redis.sentinel, tls):
        options["sentinel_kwargs"] = arguments
    return ";".join(urls), options


def _url(scheme: str, host: str, port: int, address: RedisAddress, tls: dict[str, str]) -> str:
    credentials = ""
    if address.username or address.password:
        credentials = f"{quote(address.username or '', safe='')}:{quote(address.password or '', safe='')}@"
    query = f"?{urlencode(tls)}" if tls else ""
    return f"{scheme}://{credentials}{f'[{host}]' if ':' in host else host}:{port}/{address.database}{query}"


def _tls_arguments(redis: RedisSettings) -> dict[str, str]:
    # Without ssl_cert_reqs the broker's certificate would not be looked at.
    files = {"ssl_ca_certs": redis.ssl_ca_file, "ssl_certfile": redis.ssl_cert_file, "ssl_keyfile": redis.ssl_key_file}
    given = {name: path for name, path in files.items() if path is not None}
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": "true", **given}


def _sentinel_arguments(sentinel: SentinelSettings, tls: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {**tls, "ssl": True, "ssl_check_hostname": True} if tls else {}
    if sentinel.username is not None:
        arguments["username"] = sentinel.username
    if sentinel.password is not None:
        arguments["password"] = sentinel.password.get_secret_value()
    return arguments
