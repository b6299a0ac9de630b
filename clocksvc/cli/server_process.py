"""What `clocksvc serve` and `clocksvc scheduler` have in common: arguments, the listening socket, signals, and a check.

This module must not import the package api: a scheduler begins to load before it imports FastAPI.
"""

import argparse
import logging
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

from clocksvc.check.finding import Level
from clocksvc.check.probe_redis import probe_redis_servers
from clocksvc.cli.console import add_config
from clocksvc.errors import ClocksvcError, InvalidValue, Unavailable
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service import bootstrap
from clocksvc.service.log_format import FORMATS, LEVELS
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.service")

BACKLOG = 2048
MAX_FILES = 1_048_576
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add_server_arguments(parser: argparse.ArgumentParser, section: str) -> None:
    """Add the arguments: the configuration file, address and logging.

    Args:
        section: the section of the configuration that has `host` and `port`.
    """
    add_config(parser)
    parser.add_argument("--host", help=f"listen on this address instead of {section}.host")
    parser.add_argument("--port", type=int, help=f"listen on this port instead of {section}.port; 0: any free port")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow an address that other machines can reach although no tokens are configured",
    )
    parser.add_argument("--log-format", choices=FORMATS, help="default: text on a terminal, else json")
    parser.add_argument("--log-level", choices=LEVELS, default="INFO", type=str.upper, help="default: INFO")


def address_variables(args: argparse.Namespace, section: str) -> dict[str, str | int | None]:
    """Return the configuration variables that `--host` and `--port` set."""
    name = section.upper()
    return {f"CLOCKSVC_{name}__HOST": args.host, f"CLOCKSVC_{name}__PORT": args.port}


def listen(host: str, port: int, section: str) -> socket.socket:
    """Return a socket that listens on an address.

    Call this before all else, so that a port in use causes only one error.

    Raises:
        InvalidValue: the process can't listen on the address. Its field is `host` or `port` of the section.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol, asyncio switches Nagle's algorithm off, which would delay half of a response by 40 ms.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidValue(f"{section}.host", host, f"wanted an address of this machine ({error.strerror})") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.set_inheritable(False)
    except OSError as error:
        listener.close()
        wanted = (
            f"wanted a free port of {host} ({error.strerror}): stop the process that uses the port, or choose "
            "another port"
        )
        raise InvalidValue(f"{section}.port", port, wanted) from error
    return listener


def allow_many_files() -> int | None:
    """Raise the soft limit of open files to the hard limit.

    Each connection is an open file, and the usual soft limit is only 1,024.

    Returns:
        The new soft limit; None if there is none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems allow less than the hard limit that they report
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def on_end_signals(end: Callable[[], None]) -> None:
    """Call `end` at SIGTERM and SIGINT, also before uvicorn's start and after its end."""

    def handle(_: int, __: FrameType | None) -> None:
        end()

    for one in _SIGNALS:
        signal.signal(one, handle)


def redis_check(settings: Settings) -> WorkerThread:
    """Return a thread that logs what `clocksvc check` finds in Redis, once Redis answers. The caller starts it."""
    return WorkerThread("check-redis", partial(_check_redis, settings, Backoff(CONNECTION)), log=logger)


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
