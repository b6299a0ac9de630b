"""Parses Redis URLs for the store's client, the configuration, and Celery's broker. No I/O.

redis-py's own `from_url` can't be used: it does not support Sentinel and clusters, it uses database 0 if the database
is not a number, and it passes unknown parameters to the connection.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from clocksvc.errors import InvalidValue
from clocksvc.redaction import without_password

Node = tuple[str, int]
"""Host and port."""

REDIS_PORT, SENTINEL_PORT = 6379, 26379
_SCHEMES = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_QUERY = {"prefix", "service", "db", "username", "password", *_TLS_FILES}
_NODE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?")
_LOOPBACK = re.compile(r"localhost|.*\.localhost|127\.[0-9.]+|0\.0\.0\.0|::1?|0:0:0:0:0:0:0:1")
_DATABASE = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address of a Redis, and the credentials for it.

    Attributes:
        kind: `single`, `unix`, `sentinel` or `cluster`.
        nodes: hosts and ports; for `kind` `sentinel`, those of the Sentinels.
        path: the path of the socket, for `kind` `unix`.
        database: the number of the database.
        service: the Sentinels' name for the master.
        sentinel_username, sentinel_password: the credentials for the Sentinels, if they require any.
        prefix: the prefix of all keys, if the URL contains one.
        ssl_ca_certs: PEM file with the authorities that may sign the server's certificate.
        ssl_certfile, ssl_keyfile: PEM files with the client's certificate and its key.
    """

    kind: str
    nodes: tuple[Node, ...] = ()
    path: str = ""
    database: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    prefix: str | None = None
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def tls_files(self) -> dict[str, str]:
        """Return the TLS files that are set. The keys are redis-py's names of these parameters."""
        files = {name: getattr(self, name) for name in _TLS_FILES}
        return {name: file for name, file in files.items() if file is not None}


def parse_redis_url(url: str) -> RedisAddress:
    """Parse a URL `redis://`, `unix://`, `redis+sentinel://` or `redis+cluster://`. `rediss` instead of `redis` is TLS.

    Raises:
        InvalidValue: the URL is not valid. The error's field is `redis.url`, and its text has no password.
    """
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError as error:
        raise _invalid(url, str(error)) from None
    if parts.scheme not in _SCHEMES:
        raise _invalid(url, "wanted one of " + ", ".join(f"{scheme}://" for scheme in _SCHEMES))
    unknown = sorted(set(query) - _QUERY)
    if unknown:
        raise _invalid(url, f"unknown parameter {', '.join(unknown)}: wanted some of {', '.join(sorted(_QUERY))}")
    if parts.fragment:
        raise _invalid(url, "wanted no '#': percent-encode it in user and password (%23)")
    kind, tls = _SCHEMES[parts.scheme]
    if kind == "sentinel" and not query.get("service"):
        raise _invalid(url, "wanted the master's name: ?service=mymaster")
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    return RedisAddress(
        kind=kind,
        nodes=() if kind == "unix" else _nodes(url, kind, hosts),
        path=unquote(parts.path) if kind == "unix" else "",
        database=_database(url, kind, parts, query),
        tls=tls,
        username=query.get("username") or unquote(username) or None,
        password=query.get("password") or unquote(password) or None,
        service=query.get("service"),
        prefix=query.get("prefix"),
        **{name: value for name, value in query.items() if name in _TLS_FILES},
    )


def public_address(address: RedisAddress, machine: str, domain: str) -> str:
    """Return the text by which an installation names its Redis, without credentials.

    Addresses that mean another server elsewhere have the name of the place, so that two places have different texts.

    Args:
        machine: the name of this machine, for loopback addresses.
        domain: the domain in which this machine looks up names without a dot; "" if there is none.
    """
    nodes = sorted(_public_node(node, machine, domain) for node in address.nodes)
    if address.kind == "cluster":
        return f"cluster {', '.join(nodes)}"
    if address.kind == "sentinel":
        return f"{address.service}, database {address.database} of the Sentinels {', '.join(nodes)}"
    return f"{nodes[0]}, database {address.database}"


def _public_node(node: Node, machine: str, domain: str) -> str:
    host, port = node[0].lower(), node[1]
    text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if _LOOPBACK.fullmatch(host):
        return f"{text} on {machine}"
    return f"{text} in {domain}" if domain and "." not in host and ":" not in host else text


def parse_node(text: str, default_port: int) -> Node | None:
    """Parse `host`, `host:port` or `[IPv6]:port`, and return host and port. None if the text has another form."""
    match = _NODE.fullmatch(text)
    port = int(match[2] or default_port) if match else 0
    return (match[1].strip("[]"), port) if match and 1 <= port <= 65_535 else None


def _nodes(url: str, kind: str, hosts: str) -> tuple[Node, ...]:
    default_port = SENTINEL_PORT if kind == "sentinel" else REDIS_PORT
    nodes = [parse_node(node.strip(), default_port) for node in (hosts or "localhost").split(",")]
    valid = tuple(node for node in nodes if node is not None)
    if len(valid) < len(nodes) or (kind == "single" and len(nodes) > 1):
        raise _invalid(url, "wanted host, host:port or [IPv6]:port, several only for Sentinel and clusters")
    return valid


def _database(url: str, kind: str, parts: SplitResult, query: dict[str, str]) -> int:
    given = query.get("db") or ("" if kind == "unix" else parts.path.strip("/"))
    if not given:
        return 0
    if not _DATABASE.fullmatch(given):
        raise _invalid(url, "wanted a database number: redis://host:6379/0")
    if kind == "cluster" and int(given):
        raise _invalid(url, "a cluster has only database 0")
    return int(given)


def _invalid(url: str, wanted: str) -> InvalidValue:
    return InvalidValue("redis.url", without_password(url), wanted)
