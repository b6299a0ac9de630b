"""Bearer tokens. A token has scopes, and applies to all clocks or to some clocks. Secrets are never logged or shown."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from clocksvc.api import problems
from clocksvc.api.problems import Problem
from clocksvc.clock.spec import wanted_clock
from clocksvc.settings import ApiSettings

_SCHEME = b"bearer "


class Scope(StrEnum):
    """What a token allows. `admin` implies `read`; the other scopes imply nothing."""

    READ = "read"
    REPORT = "report"
    SCHEDULE = "schedule"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A configured token. If `clocks` is None, it applies to all clocks."""

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[Scope]
    clocks: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The token that a request was authenticated with, without its secret."""

    name: str
    scopes: frozenset[Scope]
    clocks: frozenset[str] | None = None

    def sees(self, clock: str) -> bool:
        """True if the token applies to this clock."""
        return self.clocks is None or clock in self.clocks

    def check_scope(self, *scopes: Scope) -> None:
        """Raise Problem (403) unless the token has one of these scopes for at least one clock."""
        given = self.scopes | {Scope.READ} if Scope.ADMIN in self.scopes else self.scopes
        if given.isdisjoint(scopes):
            raise self._forbidden(f"lacks the scope {' or '.join(repr(str(scope)) for scope in scopes)}")

    def check(self, *scopes: Scope, clock: str | None = None) -> None:
        """Raise Problem (403) unless the token has one of these scopes for `clock`, or for all clocks if it is None."""
        self.check_scope(*scopes)
        if clock is None and self.clocks is not None:
            raise self._forbidden("is for some clocks only")
        if clock is not None and not self.sees(clock):
            raise self._forbidden(f"is not for this clock: {wanted_clock(clock, self.clocks or ())}")

    def _forbidden(self, why: str) -> Problem:
        challenge = 'Bearer realm="clocksvc", error="insufficient_scope"'
        return Problem(problems.FORBIDDEN, f"token '{self.name}' {why}", headers={"WWW-Authenticate": challenge})


ANONYMOUS = Caller("anonymous", frozenset(Scope))
"""The caller if no tokens are configured."""


class Tokens:
    """The configured tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._callers = [(token.secret.encode(), Caller(token.name, token.scopes, token.clocks)) for token in tokens]

    def authenticate(self, authorizations: Sequence[bytes]) -> Caller:
        """Return the caller of a request with these Authorization headers.

        Raises:
            Problem: 401 if tokens are configured and the request has none of these tokens.
        """
        if not self._callers:
            return ANONYMOUS
        if len(authorizations) != 1 or authorizations[0][: len(_SCHEME)].lower() != _SCHEME:
            raise _unauthenticated(problems.UNAUTHENTICATED.example)
        given = authorizations[0][len(_SCHEME) :].strip()
        found = None
        # Every token is compared, so that the time taken does not depend on which one matches.
        for secret, caller in self._callers:
            if hmac.compare_digest(secret, given):
                found = caller
        if found is None:
            raise _unauthenticated("this token is not known here", ', error="invalid_token"')
        return found


def _unauthenticated(detail: str, challenge: str = "") -> Problem:
    header = {"WWW-Authenticate": f'Bearer realm="clocksvc"{challenge}'}
    return Problem(problems.UNAUTHENTICATED, detail, headers=header)


def tokens_of(api: ApiSettings) -> list[Token]:
    """Return the configured tokens."""
    return [
        Token(
            one.name,
            "" if one.token is None else one.token.get_secret_value(),
            frozenset(Scope(scope) for scope in one.scopes),
            None if one.clocks is None else frozenset(one.clocks),
        )
        for one in api.tokens
    ]
