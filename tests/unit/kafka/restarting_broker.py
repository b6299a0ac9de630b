"""A broker that answers only requests for metadata. After a restart, its answers name no broker at first."""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from clocksvc.dev.child_server import LOOPBACK

_API_VERSIONS, _METADATA, _METADATA_VERSION, _UNSUPPORTED_VERSION = 18, 3, 4, 35


class RestartingBroker:
    """`lists_itself` is False after a restart, until the broker has registered."""

    def __init__(self, server: socket.socket) -> None:
        self.lists_itself = True
        self._server = server
        self._port: int = server.getsockname()[1]
        self.address = f"{LOOPBACK}:{self._port}"

    def run(self) -> None:
        """Serve each connection in a thread of its own."""
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._server.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error), client, client.makefile("rb") as received:
            while True:
                (size,) = struct.unpack(">i", received.read(4))
                request = received.read(size)
                api, version, correlation, name_size = struct.unpack(">hhih", request[:10])
                topics = request[10 + max(0, name_size) :]
                answer = _versions(version) if api == _API_VERSIONS else self._metadata(_names(topics))
                client.sendall(struct.pack(">ii", 4 + len(answer), correlation) + answer)

    def _metadata(self, topics: Sequence[bytes]) -> bytes:
        """Return an answer in which each topic has one partition."""
        broker = struct.pack(">i", 1) + _text(LOOPBACK.encode()) + struct.pack(">ih", self._port, -1)
        brokers, controller = ([broker], 1) if self.lists_itself else ([], -1)
        partition = struct.pack(">hiiii", 0, 0, controller, 0, 0)
        return b"".join(
            (
                struct.pack(">ii", 0, len(brokers)),
                *brokers,
                _text(b"a-cluster"),
                struct.pack(">ii", controller, len(topics)),
                *(struct.pack(">h", 0) + _text(name) + struct.pack(">bi", 0, 1) + partition for name in topics),
            )
        )


@contextmanager
def restarting_broker() -> Iterator[RestartingBroker]:
    """A broker that runs for the duration of the block."""
    with socket.create_server((LOOPBACK, 0)) as server:
        broker = RestartingBroker(server)
        threading.Thread(target=broker.run, daemon=True).start()
        yield broker


def _versions(version: int) -> bytes:
    if version > 0:
        return struct.pack(">hi", _UNSUPPORTED_VERSION, 0)
    supported = ((_API_VERSIONS, 0, 0), (_METADATA, 0, _METADATA_VERSION))
    return struct.pack(">hi", 0, len(supported)) + b"".join(struct.pack(">hhh", *one) for one in supported)


def _names(body: bytes) -> Sequence[bytes]:
    """Return the topics of a request."""
    (count,) = struct.unpack(">i", body[:4])
    names, at = [], 4
    for _ in range(count):
        (size,) = struct.unpack(">h", body[at : at + 2])
        names.append(body[at + 2 : at + 2 + size])
        at += 2 + size
    return names


def _text(text: bytes) -> bytes:
    return struct.pack(">h", len(text)) + text
