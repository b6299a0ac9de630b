"""Which values of the header Host the service answers. This stops DNS rebinding.

A web page can make the name of its own server resolve to this service's address. A browser then lets the page read and
change the service, because it compares names. The Host of such a request is the page's name, never an address. So
without tokens, only known names are answered. With tokens, the page has no token, and every name is answered unless
`api.hosts` lists the names.
"""

import ipaddress
import re
from collections.abc import Collection

from clocksvc.settings.api import is_loopback

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::[0-9]*)?")


class AllowedHosts:
    """The accepted hosts.

    Args:
        names: host names in any case, or `*.DOMAIN` for all subdomains of a domain.
        any_address: accept every IP address. False: only loopback addresses.
    """

    def __init__(self, names: Collection[str], *, any_address: bool) -> None:
        known = [name.lower().rstrip(".").strip("[]") for name in names]
        self._names = frozenset(name for name in known if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in known if name.startswith("*."))
        self._any_address = any_address

    def allows(self, header: str) -> bool:
        """True if this value of the header Host is accepted, with any port."""
        match = _HOST.fullmatch(header.strip())
        if match is None:
            return False
        host = match[1].strip("[]").lower().rstrip(".")
        if host in self._names or host.endswith(self._suffixes) or is_loopback(host):
            return True
        return self._any_address and _is_address(host)


def allowed_hosts(listening: str, names: Collection[str], *, tokens: bool) -> AllowedHosts | None:
    """Return the hosts that a service answers; None for all.

    Args:
        listening: the address or name that the service listens on, `api.host`. If other machines can reach it, every IP
            address is accepted: probes of Kubernetes and Prometheus use the address of a pod as Host.
        names: `api.hosts`.
        tokens: True if the service requires tokens.
    """
    if tokens and not names:
        return None
    return AllowedHosts([listening, *names], any_address=not is_loopback(listening))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
