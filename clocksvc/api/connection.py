"""One client's connection, with an end to every patience: who sends half a request, or takes nothing of what it asked
for, is let go, so that no number of such clients takes anything from the others.

uvicorn alone waits for ever for both. This knows nothing of routes: a route that wants to hear of it leaves a call in
the request's state under `ON_DROP`.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger("clocksvc.api")

HEAD_WITHIN_S = 10.0
"""From the connection, or from a later request's first byte, to the end of its headers."""
BODY_WITHIN_S = 30.0
"""From the end of the headers to the end of the body."""
TAKEN_WITHIN_S = 30.0
"""A client must have taken `PROGRESS_BYTES` more after so long, while something waits for it."""
PROGRESS_BYTES = 1_024
LEAVING_GRACE_S = 1.0
"""How much longer such clients are waited for once the service ends."""
SEND_BUFFER_BYTES = 64 * 1024
"""What the system may hold of what a client has not taken. Unset it grows to megabytes, which nobody counts."""

ON_DROP = "clocksvc.on_drop"


class Connection(H11Protocol):
    """uvicorn's connection with deadlines for what the client owes: a whole request, and taking its answer."""

    _request: asyncio.TimerHandle | None = None
    _awaited: tuple[str, object] | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Not one byte more than the system takes is kept here, so that whoever takes nothing shows at once."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        with suppress(OSError):  # gone already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._await("head", HEAD_WITHIN_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is owed any more."""
        self._await("", 0.0)
        self._cancel_taking()
        super().connection_lost(exc)

    # -- a whole request ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """More bytes do not move a deadline: only the end of headers or body does."""
        super().data_received(data)
        self._expect_request()

    def on_response_complete(self) -> None:
        """A request may have come in behind the one that was answered."""
        super().on_response_complete()
        self._expect_request()

    def _expect_request(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._await("body", BODY_WITHIN_S)
        elif state is not h11.IDLE:
            self._await("", 0.0)
        elif self.conn.trailing_data[0]:
            self._await("head", HEAD_WITHIN_S)
        elif self.cycle is not None:
            self._await("", 0.0)  # uvicorn's own deadline for quiet connections

    def _await(self, what: str, within_s: float) -> None:
        awaited = (what, self.cycle)
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if self._request is not None:
            self._request.cancel()
        self._request = self.loop.call_later(within_s, self.transport.abort) if what else None

    def send_400_response(self, msg: str) -> None:
        """Where an answer has begun there can't be another one: then the connection ends."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    # -- taking the answer -------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The system takes no more for this client."""
        super().pause_writing()
        self._look_again(TAKEN_WITHIN_S)

    def resume_writing(self) -> None:
        """All has been taken."""
        self._cancel_taking()
        super().resume_writing()

    def _look_again(self, after_s: float) -> None:
        waits = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(after_s, self._check_taken, waits)

    def _check_taken(self, waited: int) -> None:
        if self.transport.get_write_buffer_size() <= waited - PROGRESS_BYTES:
            self._look_again(TAKEN_WITHIN_S)
        else:
            self._drop()

    def _cancel_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _drop(self) -> None:
        state: Mapping[str, Any] = {} if self.cycle is None else self.cycle.scope["state"]
        on_drop: Callable[[], None] | None = state.get(ON_DROP)
        if on_drop is not None:
            on_drop()
        self.transport.abort()

    # -- the service ends --------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Finish what can be finished, and wait a moment only for a client that owes something."""
        super().shutdown()
        self.loop.call_later(LEAVING_GRACE_S, self._end_if_owed)

    def _end_if_owed(self) -> None:
        if self._taking is not None or self._request is not None:
            self.transport.abort()
