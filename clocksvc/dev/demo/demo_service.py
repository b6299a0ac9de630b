"""Runs the service in this process, as `clocksvc serve` does, and reads the clock from it over HTTP."""

import errno
import json
import socket
import threading
from collections import deque
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any

from clocksvc.api.allowed_hosts import allowed_hosts
from clocksvc.api.app import create_app
from clocksvc.api.forwarded_schedules import ForwardedSchedules
from clocksvc.api.server import server
from clocksvc.client.exchange import Request, stream_request
from clocksvc.client.http import ServiceClient
from clocksvc.client.sse import Event
from clocksvc.clock.tick import Tick
from clocksvc.dev.child_server import LOOPBACK
from clocksvc.errors import ClocksvcError, InvalidValue, Unavailable
from clocksvc.interfaces.time import SystemTime
from clocksvc.metrics.exposition import Metrics
from clocksvc.service import bootstrap
from clocksvc.service.public_state import PublicState, state_from_wire
from clocksvc.settings import Settings

DEFAULT_PORT = 8080
_PORTS_TRIED = 50
_BACKLOG = 128
_STOP_TIMEOUT_S = 5.0


def listen(port: int | None) -> socket.socket:
    """Return a socket that listens on `port`; None means 8080 or the next free port.

    Raises:
        InvalidValue: the port is in use.
    """
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if port is None else (port,):
        # asyncio switches Nagle's algorithm off only if the protocol is given.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, candidate))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if port is not None or error.errno != errno.EADDRINUSE:
                wanted = f"wanted a free port of {LOOPBACK} ({error.strerror}); without --port, the demo finds one"
                raise InvalidValue("--port", candidate, wanted) from error
        else:
            return listener
    raise InvalidValue(
        "--port", None, f"wanted a free port, because {DEFAULT_PORT} and the next {_PORTS_TRIED - 1} ports are in use"
    )


class InProcessService:
    """Runs one service until `stop` is called."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        metrics = Metrics(settings.clock_specs(), per_partition=settings.metrics.per_partition)
        self.latencies = LatencyRecorder(metrics)
        self._service = bootstrap.Service(settings, self.latencies)
        metrics.watch(self._service.views)
        metrics.watch_observer(self._service.observer_stats)
        hosts = allowed_hosts(settings.api.host, settings.api.hosts, tokens=False)
        access = {
            name: ForwardedSchedules(spec, bootstrap.open_schedulers(settings, name), SystemTime())
            for name, spec in settings.schedules_specs().items()
        }
        app = create_app(
            self._service.views, access=access, hosts=hosts, metrics=metrics.render, version=version("clocksvc")
        )
        self._http = server(app, settings.api.host, settings.api.port)
        # In another thread, because uvicorn would install its own signal handlers in the main thread.
        self._thread = threading.Thread(target=self._http.run, args=([listener],), name="demo-http", daemon=True)

    @property
    def running(self) -> bool:
        """True if the service answers requests, or is starting."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the leader and the HTTP server."""
        bootstrap.set_switch_interval()
        self._service.start()
        self._thread.start()

    def stop(self) -> None:
        """Close HTTP connections, and release the lease. Blocks for up to 5 s, then until the leader has stopped."""
        self._http.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            self._service.stop()


class LatencyRecorder:
    """A LeaderObserver that forwards to the metrics and records the latency of the last ticks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._of_ticks: deque[float | None] = deque(maxlen=1_000)

    def leading(self, log: int, yes: bool) -> None:
        """Called when this process becomes the leader of a log (True) or stops being it (False)."""
        self._metrics.leading(log, yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Ticks were committed and published. `latency_s` is the latency of the first tick."""
        self._metrics.ticked(clock, count, latency_s)
        self._of_ticks.extend([latency_s, *[None] * (count - 1)])

    def take(self) -> float | None:
        """Return the latency of the next tick; None if it is unknown. Call this once for each tick, in order."""
        return self._of_ticks.popleft() if self._of_ticks else None


_SILENCE_S = 40.0
_AGAIN_S = 0.2
_STATE_EVERY_S = 0.25
_ANSWER_S = 5.0


class ServiceWatch:
    """Reads one clock of one service with two threads, from its first tick until `stop` is called."""

    def __init__(self, url: str, clock: str) -> None:
        self.failure: Exception | None = None
        self.state: PublicState | None = None
        """The last answer of `GET /v1/clocks/{clock}`; None before the first answer."""
        self._url, self._path = url, f"/v1/clocks/{clock}"
        self._ticks: SimpleQueue[Tick] = SimpleQueue()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=f"demo-watch-{clock}-{name}", daemon=True)
            for name, run in (("ticks", self._follow), ("state", self._ask))
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads. The stream's thread ends when the service closes the stream."""
        self._stop.set()

    def new_ticks(self) -> list[Tick]:
        """Return the ticks received since the last call, in order of arrival."""
        ticks = []
        try:
            while True:
                ticks.append(self._ticks.get_nowait())
        except Empty:
            return ticks

    def _guarded(self, run: Any) -> None:
        client = ServiceClient(self._url)
        try:
            run(client)
        except ClocksvcError as error:
            self.failure = error
        finally:
            client.close()

    def _follow(self, client: ServiceClient) -> None:
        # Does not use `clocksvc.ticks`, which repairs a broken chain by reading again: the demo must detect it.
        last_id = "0"
        while not self._stop.is_set():
            try:
                with client.events(self._stream(last_id)) as events:
                    for event in events:
                        last_id = event.id or last_id
                        self._take(event)
            except Unavailable:
                self._stop.wait(_AGAIN_S)

    def _take(self, event: Event) -> None:
        if event.kind == "tick":
            self._ticks.put(Tick.from_wire(json.loads(event.data)))
        elif event.kind == "reset":
            raise ClocksvcError(f"the service can't continue the stream of ticks: {event.data}")

    def _ask(self, client: ServiceClient) -> None:
        while not self._stop.wait(_STATE_EVERY_S):
            try:
                self.state = state_from_wire(client.get(self._path, timeout_s=_ANSWER_S).body)
            except Unavailable:
                continue

    def _stream(self, last_id: str) -> Request:
        return stream_request(f"{self._path}/ticks/stream", last_id=last_id, idle_timeout_s=_SILENCE_S)
