"""Makes texts safe to show: masks passwords and tokens, and escapes control characters.

Every text that could contain such a secret, or that another program or user has chosen, passes through it.
"""

import re
from collections.abc import Mapping
from typing import Any

_MASK = "***"
_MAX_DEPTH = 20
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|credential|authorization|api.?key|(^|[._-])(pem|key)$|oauthbearer\.config",
    re.IGNORECASE,
)
# It matches from `://` to the last `@` before a blank or the next URL of a list. A password that is not percent-encoded
# can contain `@`, `/`, `?` or `#`. It is better to mask a host than to show a password.
_CREDENTIALS = re.compile(r"(?<=://)(?:(?![;,][A-Za-z][A-Za-z0-9+.-]*://)\S)*@")
_SECRET_ARGUMENT = re.compile(r"([?&][^=&#\s]*(?:password|passwd|token|secret)[^=&#\s]*=)[^&#;\s]*", re.IGNORECASE)


def without_password(url: str) -> str:
    """Return a text with the passwords of all URLs masked, for example `redis://user:***@host:6379/0`.

    In a list, URLs are separated by `;` or `,`. User names are not masked. A user name without a password is masked,
    because it can be a token. Never raises; a text without a URL is returned unchanged.
    """
    if "://" not in url:
        return url
    return _SECRET_ARGUMENT.sub(rf"\g<1>{_MASK}", _CREDENTIALS.sub(_masked, url))


def _masked(match: re.Match[str]) -> str:
    user, colon, _ = match.group().partition(":")
    return f"{user}:{_MASK}@" if colon else f"{_MASK}@"


def _masked_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return without_password(value)
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {name: masked_field(str(name), item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked_value(item, depth + 1) for item in value]
    return value


def masked_field(name: str, value: Any, depth: int = 0) -> Any:
    """Return the value of a field with this name for a log line, with its secrets masked at any depth.

    Masked are the values of keys with a name such as `password`, `sasl.password` or `token`, and passwords in URLs.
    """
    if _SECRET_NAME.search(name) and not isinstance(value, bool | int | float | None):
        return _MASK
    return _masked_value(value, depth)


def printable(text: str) -> str:
    """Return a text in which no character controls a terminal: control and bidirectional characters are escapes.

    A line break is an escape, too. Printable characters of all languages remain.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
