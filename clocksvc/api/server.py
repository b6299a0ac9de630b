"""uvicorn, told to end those who wait before it waits for them, and to wait for no client for ever."""

import socket

import uvicorn
from fastapi import FastAPI

from clocksvc.api.connection import Connection

GRACE_S = 10
"""For so long requests that are being answered may hold the end up."""


class Server(uvicorn.Server):
    """Serves one application until `should_exit`."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._closing = app.state.closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls and streams first: uvicorn waits for every open connection."""
        self._closing.set()
        await super().shutdown(sockets)


def server(app: FastAPI, host: str, port: int) -> Server:
    """A server for this application; it logs nothing itself but errors."""
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
        timeout_graceful_shutdown=GRACE_S,
    )
    return Server(app, config)
