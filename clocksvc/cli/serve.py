"""`clocksvc serve`: runs one process with leaders and feeds of all clocks, metrics and the HTTP API.

The process starts even if Redis or Kafka can't be reached. The clocks then hold, and their status shows the reason.

When the process ends, it accepts no new connections, and ends streams and long polls. Then it does two things at the
same time: the HTTP server finishes the running requests, and the leaders finish their steps and release their leases.
Therefore a slow client does not delay the next leader.
"""

import argparse
import logging
from functools import partial
from importlib.metadata import version

from clocksvc.api.allowed_hosts import allowed_hosts
from clocksvc.api.app import create_app
from clocksvc.api.forwarded_schedules import ForwardedSchedules
from clocksvc.api.server import server
from clocksvc.api.tokens import tokens_of
from clocksvc.cli.console import load_settings
from clocksvc.cli.server_process import (
    add_server_arguments,
    address_variables,
    allow_many_files,
    listen,
    on_end_signals,
    redis_check,
)
from clocksvc.clock.partition import name_first
from clocksvc.interfaces.time import SystemTime
from clocksvc.metrics.exposition import Metrics
from clocksvc.service import bootstrap
from clocksvc.service.log_format import setup_logging
from clocksvc.settings import Settings, check_bind

logger = logging.getLogger("clocksvc.service")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the configuration file, address and logging."""
    add_server_arguments(parser, "api")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code 0."""
    setup_logging(args.log_format, level=args.log_level)
    serve(load_settings(args, address_variables(args, "api")), insecure=args.insecure)
    return 0


def serve(settings: Settings, *, insecure: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. Blocks. Only the main thread may call this function.

    Raises:
        InvalidValue: the process can't listen on the address, or the address requires tokens.
    """
    api = settings.api
    check_bind(api, insecure)
    max_files = allow_many_files()
    bootstrap.set_switch_interval()
    with listen(api.host, api.port, "api") as listener:
        host, port = listener.getsockname()[:2]
        metrics = Metrics(settings.clock_specs(), per_partition=settings.metrics.per_partition)
        service = bootstrap.Service(settings, metrics)
        metrics.watch(service.views)
        metrics.watch_observer(service.observer_stats)
        time = SystemTime()
        app = create_app(
            service.views,
            access={
                name: ForwardedSchedules(spec, bootstrap.open_schedulers(settings, name), time)
                for name, spec in settings.schedules_specs().items()
            },
            tokens=tokens_of(api),
            hosts=allowed_hosts(api.host, api.hosts, tokens=bool(api.tokens)),
            streams_per_token=api.streams_per_token,
            max_files=max_files,
            metrics=metrics.render,
            version=version("clocksvc"),
        )
        clocks = app.state.clocks
        metrics.watch_streams(lambda: {name: (live.streams, live.streams_dropped) for name, live in clocks.items()})
        metrics.watch_invalid_http(lambda: app.state.invalid_http.count)
        app.state.closing.on_set(service.leave)
        http = server(app, api.host, api.port)
        on_end_signals(partial(setattr, http, "should_exit", True))
        checking = redis_check(settings)
        checking.start()
        service.start()
        logger.info("serving", extra={"host": host, "port": port, "clocks": name_first(sorted(service.views))})
        try:
            http.run(sockets=[listener])
        finally:
            checking.stop()
            service.stop()
            logger.info("ended")
