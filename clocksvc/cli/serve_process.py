"""The service as one process: leaders and feeds of all clocks, metrics, and the HTTP API in front of them.

It starts whether or not Redis and Kafka answer (the clocks hold meanwhile, and say so), and leaves in order: nobody new
is let in and whoever waits is sent away; while what is being answered is finished, the leaders finish their step and
give their leases up, so that no client, however slow, delays another replica's taking over.
"""

import logging
import resource
import signal
import socket
import threading
from contextlib import suppress
from importlib.metadata import version
from types import FrameType
from typing import Any

from clocksvc.api.app import create_app
from clocksvc.api.server import server
from clocksvc.api.tokens import Scope, Token
from clocksvc.check.finding import Level
from clocksvc.check.probe_redis import ask_servers
from clocksvc.errors import ClocksvcError, InvalidValue, Unavailable
from clocksvc.kafka.settings_check import check_settings
from clocksvc.metrics import Metrics
from clocksvc.service import bootstrap as wiring
from clocksvc.settings import ApiSettings, Settings, check_bind

logger = logging.getLogger("clocksvc.service")

CHECK_AGAIN_S = 5.0
BACKLOG = 2048
MAX_FILES = 1_048_576
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings, *, insecure: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. Only the main thread may call it.

    Raises:
        InvalidValue: the address can't be bound, or would be open to everybody.
        SettingsError: librdkafka refuses the settings.
    """
    check_bind(settings.api, insecure)
    check_settings(settings.kafka_settings())
    _allow_many_files()
    with _listen(settings.api) as listener:
        host, port = listener.getsockname()[:2]
        metrics = Metrics(settings.clock_specs(), per_partition=settings.metrics.per_partition)
        service = wiring.Service(settings, metrics)
        metrics.watch(service.views.values())
        app = create_app(
            service.views, tokens=_tokens(settings.api), metrics=metrics.render, version=version("clocksvc")
        )
        clocks = app.state.clocks
        metrics.watch_streams(lambda: {name: (live.streams, live.streams_dropped) for name, live in clocks.items()})
        app.state.closing.on_set(service.leave)
        http = server(app, settings.api.host, settings.api.port)
        ended = threading.Event()
        _on_signals(http, ended)
        threading.Thread(target=_check_redis, args=(settings, ended), name="check-redis", daemon=True).start()
        service.start()
        logger.info("serving", extra={"host": host, "port": port, "clocks": sorted(service.views)})
        try:
            http.run(sockets=[listener])
        finally:
            ended.set()
            service.stop()
            logger.info("ended")


def _listen(api: ApiSettings) -> socket.socket:
    """Bound before anything else starts, so that a taken port is one clear error."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(api.host, api.port, type=socket.SOCK_STREAM)[0]
        # Without the protocol asyncio would leave Nagle's algorithm on: 40 ms for each answer's second half.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidValue("api.host", api.host, f"wanted an address of this machine ({error.strerror})") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.set_inheritable(False)
    except OSError as error:
        listener.close()
        wanted = f"wanted a free port of {api.host} ({error.strerror}): end what uses it, or choose another one"
        raise InvalidValue("api.port", api.port, wanted) from error
    return listener


def _allow_many_files() -> None:
    """A connection is a file: systems allow 1,024 unless asked, which is fewer than the clients that may follow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tokens(api: ApiSettings) -> list[Token]:
    return [
        Token(
            one.name,
            "" if one.token is None else one.token.get_secret_value(),
            frozenset(Scope(scope) for scope in one.scopes),
            None if one.clocks is None else frozenset(one.clocks),
        )
        for one in api.tokens
    ]


def _on_signals(http: Any, ended: threading.Event) -> None:
    """Before uvicorn listens to signals, and after it does no more (it raises them once again), they mean the same."""

    def end(_: int, __: FrameType | None) -> None:
        http.should_exit = True
        ended.set()

    for one in _SIGNALS:
        signal.signal(one, end)


def _check_redis(settings: Settings, ended: threading.Event) -> None:
    """Warn once, as soon as Redis answers, of what could make it lose a clock's state."""
    while not ended.is_set():
        try:
            for found in ask_servers(wiring.open_connection(settings)):
                if found.level is not Level.OK:
                    detail = f"{found.part}: {found.text}; {found.to_do}"
                    logger.warning("redis is not set up for clocks", extra={"detail": detail})
        except Unavailable:
            ended.wait(CHECK_AGAIN_S)
        except ClocksvcError as error:
            logger.warning("redis could not be checked", extra={"detail": str(error)})
            return
        else:
            return
