"""Where Redis is, from a URL. No I/O; an error never shows a password."""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from clocksvc.errors import InvalidValue
from clocksvc.redaction import without_password

Node = tuple[str, int]

_SCHEMES = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_DEFAULT_PORTS = {"sentinel": 26379}
_QUERY = {"prefix", "service", "db", "username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL.

    Attributes:
        kind: `single`, `unix`, `sentinel` or `cluster`.
        nodes: hosts and ports; of the sentinels where `kind` is that.
        path: of the socket where `kind` is `unix`.
        service: the master's name, for Sentinel.
        prefix: of the keys, where the URL gives one.
        tls_files: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, those that the URL gives.
    """

    kind: str
    nodes: tuple[Node, ...] = ()
    path: str = ""
    db: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str | None = None
    prefix: str | None = None
    tls_files: dict[str, str] = field(default_factory=dict)


def parse(url: str) -> Address:
    """From `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`, or these with `rediss`.

    Raises:
        InvalidValue: names what is wrong, without the password.
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
        raise _invalid(url, f"does not know {', '.join(unknown)}: wanted some of {', '.join(sorted(_QUERY))}")
    kind, tls = _SCHEMES[parts.scheme]
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    if kind == "sentinel" and not query.get("service"):
        raise _invalid(url, "wanted the master's name: ?service=mymaster")
    return Address(
        kind=kind,
        nodes=() if kind == "unix" else _nodes(url, hosts, _DEFAULT_PORTS.get(kind, 6379)),
        path=unquote(parts.path) if kind == "unix" else "",
        db=_db(url, kind, parts, query),
        tls=tls,
        username=query.get("username") or unquote(username) or None,
        password=query.get("password") or unquote(password) or None,
        service=query.get("service"),
        prefix=query.get("prefix"),
        tls_files={name: value for name, value in query.items() if name.startswith("ssl_")},
    )


def _nodes(url: str, hosts: str, default_port: int) -> tuple[Node, ...]:
    nodes = []
    for node in (hosts or "localhost").split(","):
        bare = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", node.strip())
        if bare is None:
            raise _invalid(url, "wanted host, host:port or [IPv6]:port, several only for Sentinel and clusters")
        nodes.append((bare[1].strip("[]"), int(bare[2] or default_port)))
    return tuple(nodes)


def _db(url: str, kind: str, parts: SplitResult, query: dict[str, str]) -> int:
    given = query.get("db") or ("" if kind == "unix" else parts.path.strip("/"))
    if not given:
        return 0
    if not given.isdecimal():
        raise _invalid(url, "wanted a database number: redis://host:6379/0")
    if kind == "cluster" and int(given):
        raise _invalid(url, "a cluster has only database 0")
    return int(given)


def _invalid(url: str, wanted: str) -> InvalidValue:
    return InvalidValue("redis.url", without_password(url), wanted)
