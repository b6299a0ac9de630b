"""Free ports on the loopback interface. Must not keep them: free means free when looked at."""

import random
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"

# Below the ports that Linux and macOS give to outgoing connections: a client that calls a dead server's port again and
# again would else, sooner or later, be given that very port, connect to itself, and keep the restarted server out.
_LOWEST, _HIGHEST = 20_000, 32_767
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listened on a moment ago."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = _random.randint(_LOWEST, _HIGHEST)
            if port in ports:  # a socket that doesn't listen keeps nobody from binding its port again
                continue
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            ports.append(port)
        return ports


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port now."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False
