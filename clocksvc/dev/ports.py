"""Free ports on the loopback interface. They are not reserved: another process may take one at any time."""

import random
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"

# Below the range of ephemeral ports of Linux and macOS: a client that keeps connecting to the port of a stopped server
# could otherwise get that port itself, connect to itself, and block the port for the restarted server.
_LOWEST, _HIGHEST = 20_000, 32_767
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """`count` different ports on which no process listened a moment ago."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = _random.randint(_LOWEST, _HIGHEST)
            if port in ports:  # a bound socket that does not listen does not stop a second bind of its port
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
    """True if a process accepts connections on this loopback port now."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False
