"""`clocksvc scheduler`: runs one replica of the scheduler for all clocks with schedules, and its HTTP server.

The process starts even if Redis or Kafka can't be reached, and tries again until they answer. `/readyz` answers 503
until every partition that the process should own is loaded.

At SIGTERM it announces that it leaves, and works on until other replicas own its partitions, for at most 30 s. Without
another live replica it ends at once. A second signal ends it at once.
"""

import argparse
import logging
import signal
import socket
from functools import partial
from importlib.metadata import version
from urllib.parse import urlsplit

from clocksvc.api.allowed_hosts import AllowedHosts, allowed_hosts
from clocksvc.api.local_schedules import LocalSchedules
from clocksvc.api.scheduler_app import create_scheduler_app
from clocksvc.api.server import Server, server
from clocksvc.cli.boot_progress import BootProgress, Progress, StatusLine, terminal_status
from clocksvc.cli.console import load_settings
from clocksvc.cli.server_process import (
    add_server_arguments,
    address_variables,
    allow_many_files,
    listen,
    on_end_signals,
    redis_check,
    tokens_of,
)
from clocksvc.interfaces.time import SystemTime
from clocksvc.metrics.scheduler_exposition import render_scheduler_metrics
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.scheduler.partition_state import PartitionStats
from clocksvc.service.log_format import setup_logging
from clocksvc.service.schedule_service import ScheduleService
from clocksvc.settings import Settings, advertised_address, check_bind

logger = logging.getLogger("clocksvc.scheduler")

_LEFT_POLL_S = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the configuration file, address and logging."""
    add_server_arguments(parser, "scheduler")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT, and return the exit code 0."""
    status = terminal_status() if args.log_format != "json" else None
    setup_logging(args.log_format, level=args.log_level, stream=status)
    run_scheduler(load_settings(args, address_variables(args, "scheduler")), insecure=args.insecure, status=status)
    return 0


def run_scheduler(settings: Settings, *, insecure: bool = False, status: StatusLine | None = None) -> None:
    """Run until SIGTERM or SIGINT. Blocks. Only the main thread may call this function.

    Args:
        status: where the progress of loading is shown; None for log lines.

    Raises:
        InvalidValue: no clock has schedules, the process can't listen on the address, or the address requires tokens.
    """
    api, own, time = settings.api, settings.scheduler, SystemTime()
    host = own.host or api.host
    check_bind(api, insecure, host, "scheduler.host")
    allow_many_files()
    with listen(host, own.port, "scheduler") as listener:
        port = listener.getsockname()[1]
        address = advertised_address(own, host, port, socket.gethostname())
        service = ScheduleService(settings, address)
        app = create_scheduler_app(
            _access(settings, service),
            readiness_error=lambda: service.readiness_error,
            tokens=tokens_of(api),
            hosts=_hosts(settings, host, address),
            metrics=lambda: render_scheduler_metrics(_partition_stats(service), app.state.invalid_http.count),
            version=version("clocksvc"),
        )
        http = server(app, host, port)
        progress = BootProgress(partial(_progress, service), time, status)
        ending = _Ending(service, http, progress)
        on_end_signals(ending.begin)
        http.on_signal = ending.begin
        checking = redis_check(settings)
        checking.start()
        service.start()
        progress.start()
        logger.info("scheduling", extra={"address": address, "port": port, "clocks": sorted(service.clocks)})
        try:
            http.run(sockets=[listener])
        finally:
            progress.stop()
            checking.stop()
            service.stop()
            logger.info("ended")


class _Ending:
    """Ends the process once other replicas have its partitions. Until then, it answers requests."""

    def __init__(self, service: ScheduleService, http: Server, progress: BootProgress) -> None:
        self._service, self._http, self._progress = service, http, progress
        self._begun = False
        self._thread = WorkerThread("clocksvc-leaving", self._step, log=logger)

    def begin(self) -> None:
        """Begin at the first signal. The second one ends the process at once, as SIGKILL does: nothing is lost."""
        if self._begun:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        self._begun = True
        self._service.leave()
        self._thread.start()

    def _step(self) -> float | None:
        self._progress.stop()
        if not self._service.left:
            return _LEFT_POLL_S
        self._http.should_exit = True
        return None


def _access(settings: Settings, service: ScheduleService) -> dict[str, LocalSchedules | None]:
    time = SystemTime()
    access: dict[str, LocalSchedules | None] = dict.fromkeys(settings.clocks)
    for name, clock in service.clocks.items():
        interval_ms = settings.clocks[name].interval
        access[name] = LocalSchedules(clock.spec, interval_ms, partial(getattr, clock, "partitions"), time)
    return access


def _partition_stats(service: ScheduleService) -> dict[tuple[str, int], PartitionStats]:
    return {
        (name, number): partition.stats
        for name, clock in service.clocks.items()
        for number, partition in clock.partitions.items()
    }


def _progress(service: ScheduleService) -> Progress:
    stats = _partition_stats(service).values()
    return Progress(
        service.readiness_error,
        len(stats),
        sum(one.schedules for one in stats),
        sum(one.offset for one in stats),
        sum(one.end for one in stats),
    )


def _hosts(settings: Settings, host: str, address: str) -> AllowedHosts | None:
    """Return the hosts of requests that are answered. `clocksvc serve` uses the advertised address."""
    api, advertised = settings.api, urlsplit(address).hostname or host
    if api.tokens and not api.hosts:
        return None
    return allowed_hosts(host, [advertised, *api.hosts], tokens=bool(api.tokens))
