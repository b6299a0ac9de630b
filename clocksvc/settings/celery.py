"""The broker of the heartbeats. Must not import Celery: it gives a URL and options, in Celery's own terms."""

from typing import Any
from urllib.parse import quote, urlencode

from pydantic import field_validator

from clocksvc.settings.fields import Secret, Section, Text
from clocksvc.settings.redis import RedisAddress, RedisSettings, SentinelSettings


class CelerySettings(Section):
    """`broker_url` None: the store's Redis is the broker as well."""

    broker_url: Secret | None = None
    broker_url_file: Text | None = None

    @field_validator("broker_url")
    @classmethod
    def _is_a_url(cls, value: Secret | None) -> Secret | None:
        if value is not None and "://" not in value.get_secret_value():
            raise ValueError("wanted a broker's URL such as redis://localhost:6379/1 or amqp://…")
        return value


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
