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
from typing import TYPE_CHECKING

from clocksvc.cli.boot_progress import BootProgress, LoadingProgress, StatusLine, terminal_status
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
from clocksvc.interfaces.due_sink import DueSink
from clocksvc.interfaces.time import SystemTime
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service.log_format import setup_logging
from clocksvc.service.schedule_service import ScheduleService
from clocksvc.settings import Settings, advertised_address, check_bind

if TYPE_CHECKING:
    from clocksvc.api.server import Server

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
    own = settings.scheduler
    host = own.host or settings.api.host
    check_bind(settings.api, insecure, host, "scheduler.host")
    allow_many_files()
    with listen(host, own.port, "scheduler") as listener:
        port = listener.getsockname()[1]
        address = advertised_address(own, host, port, socket.gethostname())
        service = ScheduleService(settings, address, _open_celery_sink)
        progress = BootProgress(partial(_progress, service), SystemTime(), status)
        checking = redis_check(settings)
        ending = _Ending(service, progress)
        on_end_signals(ending.begin)
        service.start()
        progress.start()
        checking.start()
        logger.info(
            "scheduling", extra={"address": address, "port": port, "clocks": name_first(sorted(service.clocks))}
        )
        try:
            # Imported while Kafka sends the first records: the packages of the HTTP server take half a second.
            from clocksvc.cli.scheduler_http import scheduler_server

            http = scheduler_server(settings, service, host, address)
            ending.set_server(http)
            http.run(sockets=[listener])
        finally:
            progress.stop()
            checking.stop()
            service.stop()
            logger.info("ended")


def _open_celery_sink(settings: Settings) -> DueSink:
    # Imported here, because it needs the package of the extra `celery`.
    from clocksvc.celery.due_sink import open_celery_sink

    return open_celery_sink(settings)


class _Ending:
    """Ends the process once other replicas have its partitions. Until then, it answers requests."""

    def __init__(self, service: ScheduleService, progress: BootProgress) -> None:
        self._service, self._progress = service, progress
        self._http: Server | None = None
        self._begun = False
        self._thread = WorkerThread("clocksvc-leaving", self._step, log=logger)

    def set_server(self, http: "Server") -> None:
        """Set the server that runs next."""
        self._http = http
        http.on_signal = self.begin

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
        if self._http is None or not self._service.left:
            return _LEFT_POLL_S
        self._http.should_exit = True
        return None


def _progress(service: ScheduleService) -> LoadingProgress:
    stats = service.stats().values()
    return LoadingProgress(
        service.readiness_error,
        len(stats),
        sum(one.schedules for one in stats),
        sum(one.offset for one in stats),
        sum(one.end for one in stats),
    )
