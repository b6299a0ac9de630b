"""`clocksvc serve`: one process with leaders and feeds of all clocks, metrics and the HTTP API.

It starts even if Redis or Kafka can't be reached; the clocks then hold and show why. At the end it accepts no new
connections and ends streams and long polls. While running requests are finished, the leaders finish their step and
release their leases, so a slow client does not delay the takeover by another replica.
"""

import argparse
import logging
import resource
import signal
import socket
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Any

from clocksvc.api.app import create_app
from clocksvc.api.server import server
from clocksvc.api.tokens import Scope, Token
from clocksvc.check.finding import Level
from clocksvc.check.probe_redis import probe_redis_servers
from clocksvc.cli.console import add_config, load_settings
from clocksvc.errors import ClocksvcError, InvalidValue, Unavailable
from clocksvc.kafka.admin import check_settings
from clocksvc.metrics import Metrics
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service import bootstrap
from clocksvc.service.log_format import (
    FORMATS,
    LEVELS,
    setup_logging,
)
from clocksvc.settings import ApiSettings, Settings, check_bind

logger = logging.getLogger("clocksvc.service")

BACKLOG = 2048
MAX_FILES = 1_048_576
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add address and logging."""
    add_config(parser)
    parser.add_argument("--host", help="listen on this address instead of api.host")
    parser.add_argument("--port", type=int, help="listen on this port instead of api.port; 0: any free port")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow an address that other machines can reach although no tokens are configured",
    )
    parser.add_argument("--log-format", choices=FORMATS, help="default: text on a terminal, else json")
    parser.add_argument("--log-level", choices=LEVELS, default="INFO", type=str.upper, help="default: INFO")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    setup_logging(args.log_format, level=args.log_level)
    address = {"CLOCKSVC_API__HOST": args.host, "CLOCKSVC_API__PORT": args.port}
    serve(load_settings(args, address), insecure=args.insecure)
    return 0


def serve(settings: Settings, *, insecure: bool = False) -> None:
    """Block until SIGTERM or SIGINT. Only the main thread may call it.

    Raises:
        InvalidValue: the address can't be bound, or needs tokens.
        SettingsError: librdkafka rejects the settings.
    """
    check_bind(settings.api, insecure)
    check_settings(settings.kafka_settings())
    _allow_many_files()
    bootstrap.set_switch_interval()
    with _listen(settings.api) as listener:
        host, port = listener.getsockname()[:2]
        metrics = Metrics(settings.clock_specs(), per_partition=settings.metrics.per_partition)
        service = bootstrap.Service(settings, metrics)
        metrics.watch(service.views.values())
        app = create_app(
            service.views, tokens=_tokens(settings.api), metrics=metrics.render, version=version("clocksvc")
        )
        clocks = app.state.clocks
        metrics.watch_streams(lambda: {name: (live.streams, live.streams_dropped) for name, live in clocks.items()})
        app.state.closing.on_set(service.leave)
        http = server(app, settings.api.host, settings.api.port)
        _on_signals(http)
        checking = WorkerThread("check-redis", partial(_check_redis, settings, Backoff(CONNECTION)), log=logger)
        checking.start()
        service.start()
        logger.info("serving", extra={"host": host, "port": port, "clocks": sorted(service.views)})
        try:
            http.run(sockets=[listener])
        finally:
            checking.stop()
            service.stop()
            logger.info("ended")


def _listen(api: ApiSettings) -> socket.socket:
    """Bind before anything else starts, so that a port in use is a single clear error."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(api.host, api.port, type=socket.SOCK_STREAM)[0]
        # Without the protocol, asyncio leaves Nagle's algorithm on: the second half of a response comes 40 ms late.
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
        wanted = f"wanted a free port of {api.host} ({error.strerror}): stop what uses it, or choose another port"
        raise InvalidValue("api.port", api.port, wanted) from error
    return listener


def _allow_many_files() -> None:
    """Raise the limit of open files to the hard limit: each connection is one, and the usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems allow less than the hard limit that they report
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


def _on_signals(http: Any) -> None:
    """Handle signals before uvicorn does, and after it: at its end uvicorn raises them again."""

    def end(_: int, __: FrameType | None) -> None:
        http.should_exit = True

    for one in _SIGNALS:
        signal.signal(one, end)


def _check_redis(settings: Settings, backoff: Backoff) -> float | None:
    """Log once, as soon as Redis answers, which of its settings can lose the state of a clock.

    Returns:
        The seconds until the next attempt; None if there is nothing left to do.
    """
    try:
        for found in probe_redis_servers(bootstrap.open_connection(settings)):
            if found.level is not Level.OK:
                detail = f"{found.part}: {found.text}; {found.to_do}"
                logger.warning("redis settings can lose clock state", extra={"detail": detail})
    except Unavailable:
        return backoff.next()
    except ClocksvcError as error:
        logger.warning("redis could not be checked", extra={"detail": str(error)})
    return None
