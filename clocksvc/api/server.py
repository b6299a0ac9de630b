"""The uvicorn server: closes connections that send an incomplete request or stop reading the response, and ends long
polls and streams at shutdown.

uvicorn has no timeout for such connections; `Connection` subclasses its h11 protocol, which is internal to uvicorn, so
`pyproject.toml` has an upper bound for its version.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_TIMEOUT_S = 10.0
"""From the connection, or from a later request's first byte, to the end of the headers."""
BODY_TIMEOUT_S = 30.0
"""From the end of the headers to the end of the body."""
WRITE_STALL_TIMEOUT_S = 30.0
"""A connection with unsent data is closed if its client reads less than `MIN_PROGRESS_BYTES` within this time."""
MIN_PROGRESS_BYTES = 1_024
SHUTDOWN_GRACE_S = 1.0
"""At shutdown: how long connections with an incomplete request or unsent data may stay open."""
REQUEST_GRACE_S = 10
"""At shutdown: how long requests that are being answered may take."""
SEND_BUFFER_BYTES = 64 * 1024
"""The kernel's send buffer of a connection. By default it grows to megabytes, and a stalled client shows late."""

ON_DROP = "clocksvc.on_drop"
"""A route may store a callable under this key in the request's state: it is called if the client is dropped."""


class Server(uvicorn.Server):
    """Serves one application until `should_exit`."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._closing = app.state.closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls and streams first, because uvicorn waits for every open connection."""
        self._closing.set()
        await super().shutdown(sockets)


def server(app: FastAPI, host: str, port: int) -> Server:
    """A server for this application. uvicorn logs only errors."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=REQUEST_GRACE_S,
    )
    return Server(app, config)


class Connection(H11Protocol):
    """uvicorn's connection with timeouts for the request's headers, its body, and reading the response."""

    _request_timer: asyncio.TimerHandle | None = None
    _expected: tuple[str, object] | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Limit what is buffered for the client, so that a client that stops reading is noticed at once."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        with suppress(OSError):  # the connection is closed already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._expect("headers", HEADERS_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both timers."""
        self._expect_nothing()
        self._stop_stall_timer()
        super().connection_lost(exc)

    # -- an incomplete request ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Data alone moves no deadline: only the end of the headers or of the body does."""
        super().data_received(data)
        self._expect_rest_of_request()

    def on_response_complete(self) -> None:
        """The client may have sent the beginning of its next request already."""
        super().on_response_complete()
        self._expect_rest_of_request()

    def _expect_rest_of_request(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._expect("body", BODY_TIMEOUT_S)
        elif state is not h11.IDLE:
            self._expect_nothing()
        elif self.conn.trailing_data[0]:
            self._expect("headers", HEADERS_TIMEOUT_S)
        elif self.cycle is not None:
            self._expect_nothing()  # uvicorn's own timeout applies to idle connections

    def _expect(self, part: str, timeout_s: float) -> None:
        expected = (part, self.cycle)
        if expected == self._expected:
            return
        self._expected = expected
        self._stop_request_timer()
        self._request_timer = self.loop.call_later(timeout_s, self.transport.abort)

    def _expect_nothing(self) -> None:
        self._expected = None
        self._stop_request_timer()

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def send_400_response(self, msg: str) -> None:
        """Close the connection if a response has begun already: a second one can't be sent."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    # -- a client that stops reading ----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The kernel's send buffer is full: start the stall timer."""
        super().pause_writing()
        self._start_stall_timer()

    def resume_writing(self) -> None:
        """The client has read everything."""
        self._stop_stall_timer()
        super().resume_writing()

    def _start_stall_timer(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(WRITE_STALL_TIMEOUT_S, self._check_progress, unsent)

    def _check_progress(self, unsent_before: int) -> None:
        if self.transport.get_write_buffer_size() <= unsent_before - MIN_PROGRESS_BYTES:
            self._start_stall_timer()
        else:
            self._drop()

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _drop(self) -> None:
        state: Mapping[str, Any] = {} if self.cycle is None else self.cycle.scope["state"]
        on_drop: Callable[[], None] | None = state.get(ON_DROP)
        if on_drop is not None:
            on_drop()
        self.transport.abort()

    # -- shutdown -----------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Finish the response, but close the connection after `SHUTDOWN_GRACE_S` if it waits for the client."""
        super().shutdown()
        self.loop.call_later(SHUTDOWN_GRACE_S, self._close_if_waiting)

    def _close_if_waiting(self) -> None:
        if self._stall_timer is not None or self._request_timer is not None:
            self.transport.abort()
