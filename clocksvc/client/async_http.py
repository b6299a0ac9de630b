"""The HTTP client of `clocksvc.aio`: asyncio's own streams, and h11 as the parser. No connection pool.

Each request has a connection of its own, which is closed as soon as the request ends or its task is cancelled.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

import h11

from clocksvc.client.exchange import CONNECT_TIMEOUT_S, Request, ServiceAddress, ServiceResponse

_PART_BYTES = 16_384
_PORTS = {"http": 80, "https": 443}


class RawResponse(NamedTuple):
    """A response as it was received. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AsyncServiceClient:
    """Sends requests to one service, in one event loop. Holds no connection between requests.

    The arguments and errors of `ServiceAddress` apply.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._address = ServiceAddress(url, token)
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, request: Request) -> ServiceResponse:
        """Send a request and return its response.

        Raises:
            RequestRejected, UnknownClock, ServiceUnavailable: as for `ServiceAddress.read`; ServiceUnavailable also if
                there is no response.
        """
        async with self._response(request) as response:
            return self._address.read(request, response.status, response.headers, await response.read())

    async def forward(self, request: Request) -> RawResponse:
        """Send a request and return its response with any status. Redirects are not followed.

        Raises:
            ServiceUnavailable: there is no response. With `is_connection_refused`, the request was not sent.
        """
        async with self._response(request) as response:
            return RawResponse(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator["AsyncResponse"]:
        """Send a request for a stream, and give its response, of which `next_part` can be called. Raises like `fetch`.

        The connection is closed at the end of the block.
        """
        async with self._response(request) as response:
            if response.status != 200:
                raise self._address.error(request, response.status, response.headers, await response.read())
            yield response

    @asynccontextmanager
    async def _response(self, request: Request) -> AsyncIterator["AsyncResponse"]:
        reader, writer = await self._connect(request)
        try:
            response = AsyncResponse(reader, self._address, request.timeout_s)
            writer.write(response.begin(request))
            await response.read_head()
            yield response
        finally:
            writer.transport.abort()  # closes the socket without a wait, also if the task was cancelled

    async def _connect(self, request: Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = self._address.url_of(request)
        host, scheme = (url.host or "").strip("[]"), url.scheme or "http"
        if scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # it reads files
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await asyncio.open_connection(host, url.port or _PORTS[scheme], ssl=self._tls)
        except ssl.SSLError as error:
            raise self._address.not_answered(_reason(error)) from error
        except OSError as error:
            raise self._address.not_connected(_reason(error)) from error


class AsyncResponse:
    """A response that is read in parts. Each wait for data has the request's timeout.

    Attributes:
        status: the response's status.
        headers: its headers, with names in lower case.
    """

    def __init__(self, reader: asyncio.StreamReader, address: ServiceAddress, timeout_s: float) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._reader, self._address, self._timeout_s = reader, address, timeout_s
        self._http = h11.Connection(h11.CLIENT)

    def begin(self, request: Request) -> bytes:
        """Return the bytes of a request."""
        url = self._address.url_of(request)
        own = {"Host": url.netloc or "", "Connection": "close", "Accept-Encoding": "identity", "User-Agent": "clocksvc"}
        headers = {**own, **self._address.headers_of(request)}
        body = b"" if request.body is None else request.body
        if request.body is not None:
            headers["Content-Length"] = str(len(body))
        head = h11.Request(method=request.method, target=url.request_uri, headers=list(headers.items()))
        parts = (head, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self._http.send(part) or b"" for part in parts)

    async def read_head(self) -> None:
        """Wait for status and headers.

        Raises:
            ServiceUnavailable: they did not come.
        """
        while not isinstance(event := await self._next_event(), h11.Response):
            pass  # an informational response
        self.status = event.status_code
        for name, value in event.headers:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    async def read(self) -> bytes:
        """Wait for the end of the body, and return all of it.

        Raises:
            ServiceUnavailable: the connection was lost.
        """
        parts = []
        while part := await self.next_part():
            parts.append(part)
        return b"".join(parts)

    async def next_part(self) -> bytes:
        """Wait for the next part of the body, and return it; b"" at the end.

        Raises:
            ServiceUnavailable: the connection was lost, or there was no data for the request's timeout.
        """
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Data):
                if event.data:
                    return bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return b""

    async def _next_event(self) -> h11.Event:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                await asyncio.sleep(0)  # if data is there already, a read does not yield to other tasks
                async with asyncio.timeout(self._timeout_s):
                    self._http.receive_data(await self._reader.read(_PART_BYTES))
        except h11.RemoteProtocolError as error:
            raise self._address.not_answered("connection lost") from error
        except OSError as error:
            raise self._address.not_answered(_reason(error)) from error
        return cast("h11.Event", event)  # PAUSED comes only for a second request


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLError) or error.errno is None:
        return str(error)
    # asyncio replaces the text of a failed connection by one with the address.
    return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
