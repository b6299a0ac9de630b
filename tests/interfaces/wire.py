"""The wire between Kafka's clients and one broker, which can be made to fail. Knows a request's frame and kind only.

The broker has to advertise the wire's port, or clients go around it.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal

from clocksvc.dev.ports import LOOPBACK

END_TXN = 26
"""Kafka's number for the request that commits a transaction."""

Loses = Literal["request", "response"]


class KafkaWire:
    """Forwards TCP connections to a broker on `target_port`; made and closed like a file."""

    def __init__(self, port: int, target_port: int) -> None:
        self._target = (LOOPBACK, target_port)
        self._flowing = threading.Event()
        self._flowing.set()
        self._loses: Loses | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, port))
        self.bootstrap = f"{LOOPBACK}:{port}"
        _in_background(self._accept)

    def stall(self) -> None:
        """Nothing gets through in either direction; connections stay."""
        self._flowing.clear()

    def lose_commits(self, what: Loses) -> None:
        """From the next commit on, its connection is silent: its request, or the answer to it, never arrives."""
        self._loses = what

    def heal(self) -> None:
        """All is well again. What was stalled arrives; silent connections are closed."""
        self._flowing.set()
        if self._loses is not None:
            self._loses = None
            self._close_connections()

    def close(self) -> None:
        self._flowing.set()
        self._listener.close()
        self._close_connections()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with suppress(OSError):
                    self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            broker = socket.create_connection(self._target)
        except OSError:
            client.close()
            raise
        with self._lock:
            self._open += [client, broker]
        silent = threading.Event()
        _in_background(partial(self._requests, client, broker, silent))
        _in_background(partial(self._responses, broker, client, silent))

    def _requests(self, client: socket.socket, broker: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError), client, broker:
            while frame := _frame(client):
                self._flowing.wait()
                loses = self._loses if int.from_bytes(frame[4:6]) == END_TXN else None
                if loses == "response":
                    silent.set()
                    broker.sendall(frame)
                elif loses == "request":
                    silent.set()
                elif not silent.is_set():
                    broker.sendall(frame)

    def _responses(self, broker: socket.socket, client: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError), client, broker:
            while frame := _frame(broker):
                self._flowing.wait()
                if not silent.is_set():
                    client.sendall(frame)

    def _close_connections(self) -> None:
        with self._lock:
            closing, self._open = self._open, []
        for connection in closing:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _frame(source: socket.socket) -> bytes:
    """One request or response, its length in front; nothing when the other side is gone."""
    head = _exactly(source, 4)
    return head + _exactly(source, int.from_bytes(head)) if head else b""


def _exactly(source: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        more = source.recv(count - len(got))
        if not more:
            raise ConnectionResetError
        got += more
    return got


def _in_background(run: Callable[[], None]) -> None:
    threading.Thread(target=run, daemon=True).start()
