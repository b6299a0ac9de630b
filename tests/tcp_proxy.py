"""A TCP proxy on loopback whose connections can be cut, stalled, delayed and half closed, with or without TLS."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Self

from clocksvc.dev.child_server import LOOPBACK

_CHUNK = 65_536
_CONNECT_S = 5.0
_CALL_S = 10.0
_END_TXN = 26
"""The API key of Kafka's EndTxn request, which commits or aborts a transaction."""

Loses = Literal["request", "response"]


class Connection(NamedTuple):
    """The two sides of one forwarded connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def close(self) -> None:
        """Close both sides; data already written is still delivered."""
        self.client.close()
        self.server.close()

    def abort(self) -> None:
        """Close both sides at once."""
        self.client.transport.abort()
        self.server.transport.abort()


class TcpProxy:
    """Forwards connections on `port` to another loopback port. Listens until closed; faults last until `heal`.

    The methods may be called from any thread.

    Args:
        port: a free one unless given.
        tls: clients must speak TLS; the target does not.
    """

    def __init__(self, target_port: int, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._target_port = target_port
        self._connections: set[Connection] = set()
        self._cut = False
        self._delay_s = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # a refused handshake is what some tests want
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener: asyncio.Server = self._call(asyncio.start_server(self._serve, LOOPBACK, port, ssl=tls))
        self.port: int = self._listener.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """Close all connections; new ones are closed at once."""
        self._cut = True
        self._call(self._abort_all())

    def stall(self) -> None:
        """Forward nothing in either direction. Connections stay open, and new ones are accepted."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def slow_down(self, seconds: float) -> None:
        """Delay each chunk."""
        self._delay_s = seconds

    def half_close(self) -> None:
        """End the direction from the server to the client; requests still arrive."""
        self._call(self._half_close_all())

    def heal(self) -> None:
        """End all faults. Stalled data is delivered now: that is harder for clients than its loss."""
        self._cut = False
        self._delay_s = 0.0
        self._loop.call_soon_threadsafe(self._flowing.set)

    def close(self) -> None:
        """Stop listening and close all connections."""
        self._call(self._close_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_S)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _read(self, source: asyncio.StreamReader) -> bytes:
        """The next piece of data to forward; empty at the end."""
        return await source.read(_CHUNK)

    def _passes(self, connection: Connection, data: bytes, *, request: bool) -> bool:
        """Whether a piece of data is forwarded."""
        return True

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            server_reader, server = await asyncio.wait_for(
                asyncio.open_connection(LOOPBACK, self._target_port), _CONNECT_S
            )
        except (OSError, TimeoutError):
            client.close()
            return
        connection = Connection(client, server)
        if self._cut:
            connection.abort()
            return
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._forward(connection, client_reader, server, request=True),
                self._forward(connection, server_reader, client, request=False),
            )
        finally:
            self._connections.discard(connection)

    async def _forward(
        self, connection: Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, request: bool
    ) -> None:
        # RuntimeError: the sink was half closed.
        with suppress(OSError, EOFError, RuntimeError):
            while data := await self._read(source):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flowing.wait()
                if self._passes(connection, data, request=request):
                    sink.write(data)
                    await sink.drain()
        connection.close()

    async def _abort_all(self) -> None:
        for connection in self._connections:
            connection.abort()

    async def _half_close_all(self) -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.client.write_eof()

    async def _close_all(self) -> None:
        self._cut = True
        self._listener.close()
        self._flowing.set()
        sides = [side for connection in self._connections for side in connection]
        await self._abort_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, *(side.wait_closed() for side in sides), return_exceptions=True)

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(_CALL_S)


class KafkaProxy(TcpProxy):
    """A proxy that can lose and delay EndTxn requests: it knows the frames of Kafka's protocol.

    The broker must advertise the proxy's port.
    """

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self._loses: Loses | None = None
        self._silent: set[Connection] = set()
        self._holds = self._holds_retries = False
        self._held: list[bytes] = []
        super().__init__(target_port, port=port)

    def lose_commits(self, what: Loses) -> None:
        """From the next commit on, its connection is silent: the request, or the response to it, never arrives."""
        self._loses = what

    def hold_end_txn(self, *, retries: bool = False) -> None:
        """Hold the next EndTxn request back, and cut its connection.

        The client sends the request again on a new connection. It reports neither an error nor a log line.

        Args:
            retries: True to do the same with all further requests, until `heal`.
        """
        self._holds, self._holds_retries = True, retries

    @property
    def held(self) -> int:
        """The number of requests that are held back."""
        return len(self._held)

    def release_end_txn(self) -> int:
        """Send the oldest request that is held back, and return the error code of the broker's answer; 0 is OK."""
        return int(self._call(self._send(self._held.pop(0))))

    def heal(self) -> None:
        """End all faults, except that requests are still held back. Connections that lost a commit are closed."""
        self._holds = False
        loses, self._loses = self._loses, None
        super().heal()
        if loses is not None:
            self._call(self._abort_all())

    async def _read(self, source: asyncio.StreamReader) -> bytes:
        head = await source.readexactly(4)
        return head + await source.readexactly(int.from_bytes(head))

    def _passes(self, connection: Connection, data: bytes, *, request: bool) -> bool:
        if request and self._holds and int.from_bytes(data[4:6]) == _END_TXN:
            self._holds = self._holds_retries
            self._held.append(data)
            connection.abort()
            return False
        if request and self._loses and int.from_bytes(data[4:6]) == _END_TXN:
            self._silent.add(connection)
            return self._loses == "response"
        return connection not in self._silent

    async def _send(self, request: bytes) -> int:
        reader, writer = await asyncio.open_connection(LOOPBACK, self._target_port)
        writer.write(request)
        answer = await self._read(reader)
        writer.close()
        # Length, correlation id, throttle time, error code. Version 3 has a byte for tagged fields in its header.
        offset = 12 if int.from_bytes(request[6:8]) < 3 else 13
        return int.from_bytes(answer[offset : offset + 2])
