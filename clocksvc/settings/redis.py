"""The section `redis` (one server, Sentinels or a cluster), and its URL for Celery's broker. Must not connect."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from clocksvc.errors import InvalidValue
from clocksvc.redis_url import SENTINEL_PORT, Node, RedisAddress, parse_node, parse_redis_url
from clocksvc.settings.fields import FieldError, Secret, Section, Text, raise_errors

_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_WANTED_URL = "wanted redis://host:6379/0 or rediss://host:6379/0, user and password percent-encoded, no ?arguments"


def _node(text: str) -> Node | None:
    return parse_node(text, SENTINEL_PORT)


class SentinelSettings(Section):
    """The Sentinels that know the primary's address. `username` and `password` are for the Sentinels."""

    service: Text = Field(description="the name of the primary at the Sentinels")
    nodes: tuple[Text, ...] = Field(description="the Sentinels, a list of host:port")
    username: Text | None = None
    password: Secret | None = None
    password_file: Text | None = None

    @model_validator(mode="after")
    def _check_nodes(self) -> "SentinelSettings":
        if not self.nodes:
            raise_errors([FieldError(("nodes",), "wanted at least one host:port")])
        wanted = "wanted host:port"
        raise_errors([FieldError(("nodes", i), wanted, node) for i, node in enumerate(self.nodes) if not _node(node)])
        return self

    def addresses(self) -> tuple[Node, ...]:
        """Return host and port of every Sentinel."""
        return tuple(node for node in map(_node, self.nodes) if node is not None)


class RedisSettings(Section):
    """How to connect to Redis. If `sentinel` is set, only scheme, credentials and database of `url` are used."""

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
    def _check_url(cls, url: SecretStr) -> SecretStr:
        _parse_url(url.get_secret_value())
        return url

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("wanted 1 to 64 of a-z, A-Z, 0-9, '.', '_', ':' and '-'")
        return prefix

    @model_validator(mode="after")
    def _check(self) -> "RedisSettings":
        address = _parse_url(self.url.get_secret_value())
        raise_errors([*self._kind_errors(address), *self._credential_errors(address), *self._tls_errors(address)])
        return self

    def _kind_errors(self, address: RedisAddress) -> Iterator[FieldError]:
        if self.cluster and self.sentinel is not None:
            yield FieldError(("cluster",), "wanted cluster or sentinel, not both", True)
        if self.cluster and address.database:
            yield FieldError(("url",), "wanted database 0, because a cluster has only this database", self.url)

    def _credential_errors(self, address: RedisAddress) -> Iterator[FieldError]:
        for name, own, other in (
            ("username", self.username, address.username),
            ("password", self.password, address.password),
        ):
            if own is not None and other is not None:
                yield FieldError((name,), f"set twice: redis.url contains a {name}, too", own)

    def _tls_errors(self, address: RedisAddress) -> Iterator[FieldError]:
        for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file"):
            if getattr(self, name) is not None and not address.tls:
                yield FieldError((name,), "wanted only with a rediss:// URL in redis.url", getattr(self, name))
        if self.ssl_key_file is not None and self.ssl_cert_file is None:
            yield FieldError(("ssl_key_file",), "wanted only with redis.ssl_cert_file", self.ssl_key_file)

    def address(self) -> RedisAddress:
        """Return the address and the credentials: those of the URL, overridden by the other fields."""
        address = _parse_url(self.url.get_secret_value())
        address = replace(
            address,
            kind="cluster" if self.cluster else address.kind,
            username=self.username or address.username,
            password=address.password if self.password is None else self.password.get_secret_value(),
            ssl_ca_certs=self.ssl_ca_file,
            ssl_certfile=self.ssl_cert_file,
            ssl_keyfile=self.ssl_key_file,
        )
        sentinel = self.sentinel
        if sentinel is None:
            return address
        return replace(
            address,
            kind="sentinel",
            nodes=sentinel.addresses(),
            service=sentinel.service,
            sentinel_username=sentinel.username,
            sentinel_password=None if sentinel.password is None else sentinel.password.get_secret_value(),
        )


def _parse_url(url: str) -> RedisAddress:
    """Parse a URL. Parameters in it are an error, because the section has a field for each of them.

    Raises:
        ValueError: the URL is not valid. The message does not contain the URL.
    """
    try:
        address = parse_redis_url(url)
    except InvalidValue:
        raise ValueError(_WANTED_URL) from None
    if address.kind != "single" or "?" in url or not urlsplit(url).hostname:
        raise ValueError(_WANTED_URL)
    return address


def broker_from_redis(redis: RedisSettings) -> tuple[str, dict[str, Any]]:
    """Return the URL (with its password) and the transport options that Celery needs to use this Redis as its broker.

    Must not be called for a cluster.
    """
    address = redis.address()
    # Without ssl_cert_reqs the broker's certificate would not be verified.
    tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true", **address.tls_files()} if address.tls else {}
    if address.kind != "sentinel":
        return _url("rediss" if address.tls else "redis", *address.nodes[0], address, tls), {}
    # Every URL has all parameters, because after a failed connection Celery uses only the next URL.
    urls = [_url("sentinel", host, port, address, tls) for host, port in address.nodes]
    options: dict[str, Any] = {"master_name": address.service}
    if arguments := _sentinel_arguments(address, tls):
        options["sentinel_kwargs"] = arguments
    return ";".join(urls), options


def _url(scheme: str, host: str, port: int, address: RedisAddress, tls: dict[str, str]) -> str:
    credentials = ""
    if address.username or address.password:
        credentials = f"{quote(address.username or '', safe='')}:{quote(address.password or '', safe='')}@"
    query = f"?{urlencode(tls)}" if tls else ""
    return f"{scheme}://{credentials}{f'[{host}]' if ':' in host else host}:{port}/{address.database}{query}"


def _sentinel_arguments(address: RedisAddress, tls: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {**tls, "ssl": True, "ssl_check_hostname": True} if tls else {}
    login = {"username": address.sentinel_username, "password": address.sentinel_password}
    return arguments | {name: value for name, value in login.items() if value is not None}
