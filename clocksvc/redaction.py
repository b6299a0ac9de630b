"""Addresses of servers as people write them: URLs that may carry a password.

Must not connect anywhere. Any text that could hold such a URL goes through `without_password` before it is shown.
"""

import re

_MASK = "***"
# From `://` to the last `@` before a blank or the next URL of a list: greedy, because a password that is not
# percent-encoded may itself hold `@`, `/`, `?` or `#`, and hiding a host too many is the smaller harm.
_CREDENTIALS = re.compile(r"(?<=://)(?:(?![;,][A-Za-z][A-Za-z0-9+.-]*://)\S)*@")
_SECRET_ARGUMENT = re.compile(r"([?&][^=&#\s]*(?:password|passwd|token|secret)[^=&#\s]*=)[^&#;\s]*", re.IGNORECASE)


def without_password(url: str) -> str:
    """`redis://user:***@host:6379/0`: every URL in a text with its password masked, the user kept.

    Lists of URLs with `;` or `,` between them are masked one by one. A user without a password is masked too, because
    tokens are written that way. Never raises; text without a URL comes back as it is.
    """
    if "://" not in url:
        return url
    return _SECRET_ARGUMENT.sub(rf"\g<1>{_MASK}", _CREDENTIALS.sub(_masked, url))


def _masked(match: re.Match[str]) -> str:
    user, colon, _ = match.group().partition(":")
    return f"{user}:{_MASK}@" if colon else f"{_MASK}@"
