"""Masks passwords and tokens in URLs. Every text that could contain such a URL passes through it before it is shown."""

import re

_MASK = "***"
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
