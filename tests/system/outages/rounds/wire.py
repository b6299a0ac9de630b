"""A TCP wire that can be cut, stalled, slowed down and half closed. Knows nothing of what goes over it."""

import socket
import threading
from contextlib import suppress
from typing import Self

from clocksvc.dev.ports import LOOPBACK, free_ports

_CHUNK = 65_536
_CONNECT_S = 5.0


class Wire:
    """Forwards connections on `port` to another loopback port; made and closed like a file.

    Its faults last until `heal`.
    """

    def __init__(self, target_port: int) -> None:
        self._target = (LOOPBACK, target_port)
        self.port = free_ports(1)[0]
        self._whole, self._flowing, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._whole.set()
        self._flowing.set()
        self._delay_s = 0.0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection ends, and none is made."""
        self._whole.clear()
        self._end_all()

    def stall(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self._flowing.clear()

    def slow_down(self, seconds: float) -> None:
        """Everything comes later."""
        self._delay_s = seconds

    def half_close(self) -> None:
        """Whoever listens for an answer hears the end of it; what is asked still arrives."""
        with self._lock:
            for client, _ in self._pairs:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)

    def heal(self) -> None:
        """All is well again. What was held back arrives, however late: that is the harder case than its loss."""
        self._delay_s = 0.0
        self._whole.set()
        self._flowing.set()

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        self.heal()
        self._end_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end_all(self) -> None:
        with self._lock:
            for pair in self._pairs:
                _end(pair)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=_CONNECT_S)
        except OSError:
            client.close()
            return
        pair = (client, server)
        with client, server:
            server.settimeout(None)
            for one in pair:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if not self._whole.is_set() or self._closed.is_set():
                    return
                self._pairs.append(pair)
            back = threading.Thread(target=self._forward, args=(server, client), daemon=True)
            back.start()
            self._forward(client, server)
            back.join()
            with self._lock:
                self._pairs.remove(pair)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if self._delay_s:
                    self._closed.wait(self._delay_s)
                self._flowing.wait()
                sink.sendall(data)
        _end((source, sink))


def _end(pair: tuple[socket.socket, socket.socket]) -> None:
    for side in pair:
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
