"""A route class that parses large JSON bodies in a thread, one at a time, so that other requests do not wait for them.

Small bodies are parsed in the event loop, because that is faster than a thread. The models in `models.py` bound the
number of errors, so that the validation that follows is fast.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

MAX_PARSED_IN_LOOP_BYTES = 16 * 1024


class JsonBodyRoute(APIRoute):
    """A route whose requests parse large bodies in a thread."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, called with the request of this module."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_JsonRequest(request.scope, request.receive))

        return handle


class _JsonRequest(Request):
    async def json(self) -> Any:
        """Parse the body. Raises what `json.loads` raises, which FastAPI turns into a response."""
        body = await self.body()
        if len(body) <= MAX_PARSED_IN_LOOP_BYTES:
            return json.loads(body)
        return await anyio.to_thread.run_sync(json.loads, body, limiter=_limiter(self))


def _limiter(request: Request) -> anyio.CapacityLimiter:
    """Return the limiter of the application for one thread. It belongs to the event loop of its first request."""
    state = request.app.state
    if not hasattr(state, "json_limiter"):
        state.json_limiter = anyio.CapacityLimiter(1)
    limiter: anyio.CapacityLimiter = state.json_limiter
    return limiter
