"""HTTP clients without a library: raw bytes on a socket. Shares no code with the service."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOPBACK = "127.0.0.1"


@contextmanager
def connected(port: int, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection; `receive_buffer` limits what the kernel receives before the test reads."""
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        connection.connect((LOOPBACK, port))
        yield connection


def ended(connection: socket.socket) -> bytes:
    """All data until the server closes the connection. Raises TimeoutError if it doesn't."""
    seen = b""
    while True:
        try:
            chunk = connection.recv(65_536)
        except ConnectionResetError:
            return seen
        if not chunk:
            return seen
        seen += chunk


def response_to(port: int, data: bytes) -> bytes:
    """The response to these bytes, until the server closes the connection."""
    with connected(port) as connection:
        connection.sendall(data)
        return ended(connection)


def livez_took_s(port: int) -> float:
    """How long `/livez` takes on a new connection."""
    began = time.monotonic()
    answer = response_to(port, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return time.monotonic() - began
