"""The sections `api` and `api.tokens`: the address of the HTTP service and the permissions of its callers."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from clocksvc.errors import InvalidValue
from clocksvc.settings.fields import FieldError, Port, Secret, Section, Text, raise_errors

# Characters that `Authorization: Bearer` allows.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,4096}")
# A host name, an address, or *.DOMAIN for all subdomains.
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?\.?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")
_ANY_PORT, _LAST_PORT = 0, 65_535


def _parse_clocks(value: object) -> object:
    if value == "all":
        return None
    if isinstance(value, list | tuple) and value:
        return value
    raise ValueError("wanted 'all' or a list of clocks")


class TokenSettings(Section):
    """A caller of the service. `clocks` is None if the caller may access all clocks."""

    name: Text = Field(description="a name for the caller")
    token: Secret | None = None
    token_file: Text | None = None
    scopes: tuple[Literal["read", "report", "schedule", "admin"], ...] = Field(
        description="a list of read, report, schedule, admin"
    )
    clocks: Annotated[tuple[str, ...] | None, BeforeValidator(_parse_clocks)] = None

    @model_validator(mode="after")
    def _check(self) -> "TokenSettings":
        if not self.scopes:
            raise_errors([FieldError(("scopes",), "wanted at least one of read, report, schedule, admin")])
        if self.token is None:
            raise_errors([FieldError(("token",), "missing: wanted token or token_file")])
        elif not _TOKEN.fullmatch(self.token.get_secret_value()):
            raise_errors([FieldError(("token",), "wanted 16 or more of a-z, A-Z, 0-9 and ._~+/=-", self.token)])
        return self


class ApiSettings(Section):
    """The address of the HTTP service, its names, and its tokens. `port` 0 means any free port."""

    host: Text = "127.0.0.1"
    port: Port = 8080
    hosts: tuple[Text, ...] = ()
    streams_per_token: int = 10_000
    tokens: tuple[TokenSettings, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "ApiSettings":
        errors = []
        if not _ANY_PORT <= self.port <= _LAST_PORT:
            errors.append(FieldError(("port",), f"wanted 1 to {_LAST_PORT}, or 0 for any free port", self.port))
        if self.streams_per_token < 1:
            errors.append(FieldError(("streams_per_token",), "wanted at least 1", self.streams_per_token))
        wanted = "wanted a host name without scheme and port, such as clock.example.com or *.example.com"
        errors += [
            FieldError(("hosts", index), wanted, name)
            for index, name in enumerate(self.hosts)
            if not _HOST.fullmatch(name)
        ]
        names: dict[str, int] = {}
        tokens: dict[str, int] = {}
        for index, token in enumerate(self.tokens):
            if names.setdefault(token.name, index) != index:
                errors.append(FieldError(("tokens", index, "name"), "wanted each name once", token.name))
            first = tokens.setdefault(token.token.get_secret_value() if token.token else "", index)
            if first != index:
                wanted = f"wanted a different token: api.tokens.{first} has the same one"
                errors.append(FieldError(("tokens", index, "token"), wanted, token.token))
        raise_errors(errors)
        return self


def check_bind(api: ApiSettings, insecure: bool, host: str | None = None, field: str = "api.host") -> None:
    """Check that there are tokens if other machines can reach an address. Does nothing if `insecure` is True.

    Args:
        host: the address to listen on; None for `api.host`.
        field: the address's field in the configuration, for the error.

    Raises:
        InvalidValue: there are no tokens.
    """
    host = api.host if host is None else host
    if api.tokens or insecure or is_loopback(host):
        return
    wanted = "wanted a loopback address such as 127.0.0.1 while api.tokens is empty; add tokens, or use --insecure"
    raise InvalidValue(field, host, wanted)


def is_loopback(host: str) -> bool:
    """True if a host is `localhost` or a loopback address, with or without brackets."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
