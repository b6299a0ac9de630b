"""The service inside this process: leader, feed, metrics and HTTP API, as `clocksvc serve` runs them."""

import errno
import socket
import threading
from collections import deque
from importlib.metadata import version

from clocksvc.api.app import create_app
from clocksvc.api.server import server
from clocksvc.dev.ports import LOOPBACK
from clocksvc.errors import InvalidValue
from clocksvc.metrics import Metrics
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

DEFAULT_PORT = 8080
_PORTS_TRIED = 50
_BACKLOG = 128
_STOP_TIMEOUT_S = 5.0


def listen(port: int | None) -> socket.socket:
    """Bind `port`; None: 8080, or the next one that is free.

    Raises:
        InvalidValue: the port that was asked for can't be had.
    """
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if port is None else (port,):
        # With the protocol named asyncio switches Nagle's algorithm off.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, candidate))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if port is not None or error.errno != errno.EADDRINUSE:
                wanted = f"wanted a free port of {LOOPBACK} ({error.strerror}); without --port one is found"
                raise InvalidValue("--port", candidate, wanted) from error
        else:
            return listener
    raise InvalidValue("--port", None, f"wanted a port: {DEFAULT_PORT} and the {_PORTS_TRIED - 1} after it are taken")


class InProcessService:
    """One service, until it is stopped."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        metrics = Metrics(settings.clock_specs(), per_partition=settings.metrics.per_partition)
        self.latencies = LatencyRecorder(metrics)
        self._service = bootstrap.Service(settings, self.latencies)
        metrics.watch(self._service.views.values())
        app = create_app(self._service.views, metrics=metrics.render, version=version("clocksvc"))
        self._http = server(app, settings.api.host, settings.api.port)
        # Not in the main thread: there uvicorn would take the signals to itself.
        self._thread = threading.Thread(target=self._http.run, args=([listener],), name="demo-http", daemon=True)

    @property
    def running(self) -> bool:
        """Whether it answers requests, or is about to."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to lead and to answer."""
        self._service.start()
        self._thread.start()

    def stop(self) -> None:
        """Send away who waits, then give the lease up."""
        self._http.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            self._service.stop()


class LatencyRecorder:
    """A LeaderObserver that tells the metrics everything, and keeps how long the last ticks took."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._of_ticks: deque[float | None] = deque(maxlen=1_000)

    def leading(self, clock: str, yes: bool) -> None:
        """This process began or ceased to lead."""
        self._metrics.leading(clock, yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Ticks were committed and published; `latency_s` is of the first of them."""
        self._metrics.ticked(clock, count, latency_s)
        self._of_ticks.extend([latency_s, *[None] * (count - 1)])

    def take(self) -> float | None:
        """The latency of the next tick, in the order of ticks; None where it is not known."""
        return self._of_ticks.popleft() if self._of_ticks else None
