"""The uvicorn server with timeouts.

It closes connections that send an incomplete request or stop reading the response. At shutdown it ends long polls and
streams.

uvicorn has no timeouts for such connections, so `Connection` subclasses uvicorn's h11 protocol. That class is internal
to uvicorn, so `pyproject.toml` has an upper bound for uvicorn's version.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

# uvicorn warns of each request that is not valid HTTP. `InvalidHttp` does it at a bounded rate.
_errors_only = logging.getLogger("uvicorn.error.connection")
_errors_only.addFilter(lambda record: record.levelno >= logging.ERROR)

HEADERS_TIMEOUT_S = 10.0
"""The maximum time to receive the headers of a request. It begins when the connection opens, or at the first byte of a
later request."""
BODY_TIMEOUT_S = 30.0
"""The maximum time from the end of the headers to the end of the body. For a long body (`LONG_BODY`), the maximum time
in which the client sends nothing although the route reads."""
WRITE_STALL_TIMEOUT_S = 30.0
"""A connection with unsent data is closed if its client reads less than `MIN_PROGRESS_BYTES` within this time."""
MIN_PROGRESS_BYTES = 1_024
SHUTDOWN_GRACE_S = 1.0
"""How long connections with an incomplete request or unsent data may stay open at shutdown."""
REQUEST_GRACE_S = 10
"""How long requests in progress may take at shutdown."""
SEND_BUFFER_BYTES = 64 * 1024
"""The size of the kernel's send buffer for a connection. The default buffer grows to megabytes, so that a stalled
client would be detected late."""

LONG_BODY = "clocksvc.long_body"
"""A route that reads a body in parts stores True under this key in the state of the request."""
ON_DROP = "clocksvc.on_drop"
"""A route may store a callable under this key in the state of the request. It is called if the server drops the
client."""
CONNECTION = "clocksvc.connection"
"""The state of each request has its `Connection` under this key."""


class Server(uvicorn.Server):
    """A server for one application. It runs until `should_exit` is set.

    Attributes:
        on_signal: called at SIGTERM and SIGINT while the server runs, instead of ending it. None ends it.
    """

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._closing = app.state.closing
        self.on_signal: Callable[[], None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn's handler of signals."""
        if self.on_signal is None:
            super().handle_exit(sig, frame)
        else:
            self.on_signal()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls and streams first, because uvicorn waits for every open connection."""
        self._closing.set()
        await super().shutdown(sockets)


def server(app: FastAPI, host: str, port: int) -> Server:
    """Return a server for this application. uvicorn logs only errors."""
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


class BodyPart:
    """A part of a response's body for many connections, with the frame of the chunked encoding."""

    __slots__ = ("chunk", "data")

    def __init__(self, data: bytes) -> None:
        self.data, self.chunk = data, b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def until_lost(connection: "Connection") -> Iterator[None]:
    """End the block, as if it were complete, when the connection of the current request is lost.

    The request's task is cancelled, so no second task has to wait for the end of the connection.
    """
    task, lost = asyncio.current_task(), False

    def end() -> None:
        nonlocal lost
        lost = True
        assert task is not None
        task.cancel()

    connection.on_lost = end
    if connection.cycle.disconnected:
        end()
    try:
        yield
    except asyncio.CancelledError:
        if not lost:
            raise
        assert task is not None
        task.uncancel()
    finally:
        connection.on_lost = None


class Connection(H11Protocol):
    """uvicorn's connection with timeouts for the request's headers, its body, and reading the response.

    Attributes:
        on_lost: called once when the connection is lost; the route of the current request may set it.
    """

    on_lost: Callable[[], object] | None = None
    _request_timer: asyncio.TimerHandle | None = None
    _received_bytes = 0
    _expected: tuple[str, object] | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger = _errors_only
        assert isinstance(self.config.app, FastAPI)
        self._application_state = self.config.app.state
        self.app_state = {**self.app_state, CONNECTION: self}

    def write(self, part: BodyPart) -> bool:
        """Write a part of the body of the current response, without a step of the request's task.

        Returns:
            False if the response has not begun or has ended, or if the client has not read all data yet. Then nothing
            is written. The task can send the part; it then waits for the client.
        """
        cycle = self.cycle
        if self.flow.write_paused or cycle.disconnected or cycle.response_complete or not cycle.response_started:
            return False
        # HTTP/1.1 has the chunked encoding, because the response has no length. HTTP/1.0 has no encoding.
        self.transport.write(part.chunk if self.scope["http_version"] == "1.1" else part.data)
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Limit the buffers for the client, so that a client that stops reading is detected at once."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        with suppress(OSError):  # the connection is closed already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._expect("headers", HEADERS_TIMEOUT_S)
        if self._application_state.closing.is_set():
            # uvicorn ends the connections that exist when its shutdown begins. This one was accepted a moment before.
            self.loop.call_soon(self.shutdown)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both timers, and end a stream."""
        self._expect_nothing()
        self._stop_stall_timer()
        super().connection_lost(exc)
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()

    # -- an incomplete request ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Update the deadline. Only the end of the headers or of the body changes it; other data does not."""
        super().data_received(data)
        self._received_bytes += len(data)
        self._expect_rest_of_request()

    def on_response_complete(self) -> None:
        """Update the deadline, because the client may already have sent the beginning of its next request."""
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
        self._request_timer = self.loop.call_later(timeout_s, self._request_overdue, timeout_s, self._received_bytes)

    def _request_overdue(self, timeout_s: float, received_before: int) -> None:
        """Close the connection, unless it has a long body and the client has sent a part of it, or had to wait."""
        is_long = self._expected is not None and self._expected[0] == "body" and self._state_of_request().get(LONG_BODY)
        progress = self._received_bytes - received_before >= MIN_PROGRESS_BYTES or self.flow.read_paused
        if is_long and progress:
            self._request_timer = self.loop.call_later(
                timeout_s, self._request_overdue, timeout_s, self._received_bytes
            )
        else:
            self.transport.abort()

    def _expect_nothing(self) -> None:
        self._expected = None
        self._stop_request_timer()

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def send_400_response(self, msg: str) -> None:
        """Count the request, and send the response 400.

        If another response has already begun, close the connection instead. If the application still works on the
        request, its response is dropped.
        """
        self._application_state.invalid_http.add("an unknown address" if self.client is None else self.client[0])
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    # -- a client that stops reading ----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Start the stall timer, because the kernel's send buffer is full."""
        super().pause_writing()
        self._start_stall_timer()

    def resume_writing(self) -> None:
        """Stop the stall timer, because the client has read all data."""
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

    def _state_of_request(self) -> Mapping[str, Any]:
        return {} if self.cycle is None else self.cycle.scope["state"]

    def _drop(self) -> None:
        on_drop: Callable[[], None] | None = self._state_of_request().get(ON_DROP)
        if on_drop is not None:
            on_drop()
        self.transport.abort()

    # -- shutdown -----------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Finish the response. If the server still waits for the client after `SHUTDOWN_GRACE_S`, close the
        connection."""
        super().shutdown()
        self.loop.call_later(SHUTDOWN_GRACE_S, self._close_if_waiting)

    def _close_if_waiting(self) -> None:
        if self._stall_timer is not None or self._request_timer is not None:
            self.transport.abort()
