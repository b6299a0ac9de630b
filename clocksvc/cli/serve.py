"""`clocksvc serve`: runs one process with leaders and feeds of all clocks, metrics and the HTTP API.

The process starts even if Redis or Kafka can't be reached. The clocks then hold, and their status shows the reason.

When the process ends, it accepts no new connections, and ends streams and long polls. Then it does two things at the
same time: the HTTP server finishes the running requests, and the leaders finish their steps and release their leases.
Therefore a slow client does not delay the next leader.
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

from clocksvc.api.allowed_hosts import allowed_hosts
from clocksvc.api.app import create_app
from clocksvc.api.server import server
from clocksvc.api.tokens import Scope, Token
from clocksvc.check.finding import Level
from clocksvc.check.probe_redis import probe_redis_servers
from clocksvc.cli.console import add_config, load_settings
from clocksvc.errors import ClocksvcError, InvalidValue, Unavailable
from clocksvc.metrics.exposition import Metrics
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service import bootstrap
from clocksvc.service.log_format import FORMATS, LEVELS, setup_logging
from clocksvc.settings import ApiSettings, Settings, check_bind

logger = logging.getLogger("clocksvc.service")

BACKLOG = 2048
MAX_FILES = 1_048_576
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the configuration file, address and logging."""
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
    """Serve until SIGTERM or SIGINT, and return the exit code 0."""
    setup_logging(args.log_format, level=args.log_level)
    address = {"CLOCKSVC_API__HOST": args.host, "CLOCKSVC_API__PORT": args.port}
    serve(load_settings(args, address), insecure=args.insecure)
    return 0


def serve(settings: Settings, *, insecure: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. Blocks. Only the main thread may call this function.

    Raises:
        InvalidValue: the process can't listen on the address, or the address requires tokens.
    """
    check_bind(settings.api, insecure)
    _allow_many_files()
    bootstrap.set_switch_interval()
    with _listen(settings.api) as listener:
        host, port = listener.getsockname()[:2]
        metrics = Metrics(settings.clock_specs(), per_partition=settings.metrics.per_partition)
        service = bootstrap.Service(settings, metrics)
        metrics.watch(service.views.values())
        api = settings.api
        app = create_app(
            service.views,
            tokens=_tokens(api),
            hosts=allowed_hosts(api.host, api.hosts, tokens=bool(api.tokens)),
            streams_per_token=api.streams_per_token,
            metrics=metrics.render,
            version=version("clocksvc"),
        )
        clocks = app.state.clocks
        metrics.watch_streams(lambda: {name: (live.streams, live.streams_dropped) for name, live in clocks.items()})
        metrics.watch_invalid_http(lambda: app.state.invalid_http.count)
        app.state.closing.on_set(service.leave)
        http = server(app, api.host, api.port)
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
    """Return a socket that listens on the API's address.

    Called before all else, so that a port in use causes only one error.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(api.host, api.port, type=socket.SOCK_STREAM)[0]
        # With the protocol, asyncio switches Nagle's algorithm off, which would delay half of a response by 40 ms.
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
        wanted = (
            f"wanted a free port of {api.host} ({error.strerror}): stop the process that uses the port, or choose "
            "another port"
        )
        raise InvalidValue("api.port", api.port, wanted) from error
    return listener


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard limit.

    Each connection is an open file, and the usual soft limit is only 1,024.
    """
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
    """Handle signals before uvicorn's start and after its end. At its end, uvicorn raises its signals again."""

    def end(_: int, __: FrameType | None) -> None:
        http.should_exit = True

    for one in _SIGNALS:
        signal.signal(one, end)


def _check_redis(settings: Settings, backoff: Backoff) -> float | None:
    """Log the warnings and problems that `clocksvc check` finds in Redis. Log them once, when Redis answers.

    Returns:
        The seconds until the next attempt; None if there is nothing left to do.
    """
    try:
        for found in probe_redis_servers(bootstrap.open_connection(settings)):
            if found.level is not Level.OK:
                detail = f"{found.part}: {found.text}; {found.to_do}"
                logger.warning("redis check", extra={"detail": detail})
    except Unavailable:
        return backoff.next()
    except ClocksvcError as error:
        logger.warning("redis could not be checked", extra={"detail": str(error)})
    return None
