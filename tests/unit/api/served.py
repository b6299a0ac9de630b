"""The application behind a real server on a free port, its feeds in threads: for streams, long polls and shutdown."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from clocksvc.api.app import create_app
from clocksvc.api.server import Server, server
from clocksvc.api.tokens import Token
from tests.unit.api.bed import Bed
from tests.waiting import eventually


@dataclass
class Served:
    """A running service."""

    app: FastAPI
    server: Server
    thread: threading.Thread
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def once_asked(self, then: Callable[[], None], requests: int = 1) -> Iterator[None]:
        """Do something from another thread as soon as so many requests are held."""

        def watch() -> None:
            eventually(lambda: len(self.server.server_state.tasks) == requests, what="the requests to be held")
            then()

        watching = threading.Thread(target=watch)
        watching.start()
        yield
        watching.join(20)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def serving(*beds: Bed, tokens: Sequence[Token] = ()) -> Iterator[Served]:
    """Serve these clocks until the end of the block."""
    app = create_app({bed.spec.name: bed.view for bed in beds}, tokens=tokens, version="0.1.0")
    running = server(app, "127.0.0.1", 0)
    feeds = [bed.feed.thread() for bed in beds]
    thread = threading.Thread(target=running.run, daemon=True)
    for feed in feeds:
        feed.start()
    thread.start()
    try:
        eventually(lambda: running.started, what="the server to start")
        for bed in beds:
            eventually(lambda bed=bed: bed.feed.ready, what="the feed to have read")  # type: ignore[misc]
        port = running.servers[0].sockets[0].getsockname()[1]
        served = Served(app, running, thread, port)
        yield served
        served.stop()
    finally:
        running.should_exit = True
        for feed in feeds:
            feed.stop()
        for bed in beds:
            bed.store.broken = True  # ends a read that waits for ticks
        for feed in feeds:
            feed.join(20)
        thread.join(20)
