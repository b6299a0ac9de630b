"""The application on a real server with a free port, and its feeds in threads: for streams, long polls and shutdown."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
from fastapi import FastAPI

from clocksvc.api.app import create_app
from clocksvc.api.open_streams import STREAMS_PER_TOKEN
from clocksvc.api.schedule_access import ScheduleAccess
from clocksvc.api.server import Server, server
from clocksvc.api.tokens import Token
from clocksvc.errors import StoreUnavailable
from tests.faulty.clock_views import views_of
from tests.unit.api.clock_fixture import ClockFixture
from tests.waiting import eventually


@dataclass
class RunningService:
    """A running service."""

    app: FastAPI
    server: Server
    thread: threading.Thread
    port: int

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def once_asked(self, then: Callable[[], None], requests: int = 1) -> Iterator[None]:
        """Call `then` from another thread as soon as this number of requests wait."""

        def watch() -> None:
            eventually(lambda: len(self.server.server_state.tasks) == requests, what="the requests to wait")
            then()

        watching = threading.Thread(target=watch)
        watching.start()
        yield
        watching.join(20)

    def stop(self) -> None:
        """Shut down, and wait for the end."""
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def serving(
    *fixtures: ClockFixture,
    tokens: Sequence[Token] = (),
    streams_per_token: int = STREAMS_PER_TOKEN,
    max_files: int | None = None,
    access: Mapping[str, ScheduleAccess] = {},
    port: int = 0,
) -> Iterator[RunningService]:
    """Serve these clocks until the end of the block, on a free port unless one is given."""
    app = create_app(
        views_of(*(clock_fixture.view for clock_fixture in fixtures)),
        access=access,
        tokens=tokens,
        streams_per_token=streams_per_token,
        max_files=max_files,
        version="0.1.0",
    )
    running = server(app, "127.0.0.1", port)
    followers = [clock_fixture.follower() for clock_fixture in fixtures]
    thread = threading.Thread(target=running.run, daemon=True)
    for follower in followers:
        follower.start()
    thread.start()
    try:
        eventually(lambda: running.started, what="the server to start")
        for clock_fixture in fixtures:
            eventually(lambda clock_fixture=clock_fixture: clock_fixture.feed.ready, what="the feed to have read")  # type: ignore[misc]
        port = running.servers[0].sockets[0].getsockname()[1]
        served = RunningService(app, running, thread, port)
        yield served
        served.stop()
    finally:
        running.should_exit = True
        for clock_fixture, follower in zip(fixtures, followers, strict=True):
            follower.stop()
            with suppress(StoreUnavailable):
                clock_fixture.server.access.add_notice(clock_fixture.spec.name)  # ends a read, which waits up to 1 s
        for follower in followers:
            follower.join(20)
        thread.join(20)


@contextmanager
def serving_by_environment(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    """Serve a clock, with the address in the environment as programs of users have it, and without a token."""
    with serving(clock_fixture) as served:
        monkeypatch.setenv("CLOCKSVC_URL", served.url)
        monkeypatch.delenv("CLOCKSVC_TOKEN", raising=False)
        yield served
