"""A Valkey behind TLS with the users of docs/security.md, and an `admin` for the tests."""

import secrets
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from redis import Redis

from clocksvc.dev.child_server import LOOPBACK
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.security.certificates import Authority
from tests.tcp_proxy import TcpProxy

_PASSWORD = ">PASSWORD"


class SecuredRedis:
    """A context manager. `admin` is a client with all rights, without TLS."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._stack = ExitStack()
        self._passwords: dict[str, str] = {}

    def __enter__(self) -> Self:
        secret = secrets.token_hex(12)
        options = {"user default": "off", "user admin": f"on >{secret} ~* &* +@all"}
        server = self._stack.enter_context(ValkeyServer(options=options))
        self._proxy = self._stack.enter_context(
            TcpProxy(server.port, tls=self._authority.sign("redis").server_context())
        )
        self.port = server.port
        self.admin: Any = Redis(
            host=LOOPBACK, port=server.port, username="admin", password=secret, decode_responses=True, protocol=2
        )
        self._stack.callback(self.admin.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def allow(self, user: str, rules: list[str]) -> None:
        """`ACL SETUSER`: exactly these rules from now on, with a random password instead of the document's."""
        password = self._passwords.setdefault(user, secrets.token_hex(12))
        known = [f">{password}" if rule == _PASSWORD else rule for rule in rules]
        self.admin.execute_command("ACL", "SETUSER", user, *known)

    def url(self, user: str) -> str:
        """`rediss://…`, without the authority's certificate."""
        return f"rediss://{user}:{self._passwords[user]}@{LOOPBACK}:{self._proxy.port}/0"

    def plain_url(self, user: str) -> str:
        """`redis://…`, without TLS."""
        return f"redis://{user}:{self._passwords[user]}@{LOOPBACK}:{self.port}/0"

    def settings(self, user: str) -> dict[str, str]:
        """The section `redis` of a configuration."""
        return {"url": self.url(user), "ssl_ca_file": str(self._authority.certificate)}

    def reporter_url(self, user: str) -> str:
        """The URL for a Reporter."""
        return f"{self.url(user)}?ssl_ca_certs={self._authority.certificate}"
