"""The HTTP server of `clocksvc scheduler`."""

from importlib.metadata import version
from urllib.parse import urlsplit

from clocksvc.api.allowed_hosts import AllowedHosts, allowed_hosts
from clocksvc.api.local_schedules import LocalSchedules
from clocksvc.api.scheduler_app import create_scheduler_app
from clocksvc.api.server import Server, server
from clocksvc.api.tokens import tokens_of
from clocksvc.interfaces.time import SystemTime
from clocksvc.metrics.scheduler_exposition import render_scheduler_metrics
from clocksvc.service.schedule_service import ScheduledClock, ScheduleService
from clocksvc.settings import Settings


def scheduler_server(settings: Settings, service: ScheduleService, host: str, address: str) -> Server:
    """Return the server. Its `run` needs the socket that listens.

    Args:
        host: the address that the socket listens on.
        address: the URL by which other processes reach this process.
    """
    app = create_scheduler_app(
        _access(settings, service),
        readiness_error=lambda: service.readiness_error,
        tokens=tokens_of(settings.api),
        hosts=_hosts(settings, host, address),
        metrics=lambda: render_scheduler_metrics(service.stats(), app.state.invalid_http.count),
        version=version("clocksvc"),
    )
    return server(app, host, settings.scheduler.port)


def _access(settings: Settings, service: ScheduleService) -> dict[str, LocalSchedules | None]:
    def local(clock: ScheduledClock) -> LocalSchedules:
        interval_ms = settings.clocks[clock.spec.clock].interval
        return LocalSchedules(clock.spec, interval_ms, lambda: clock.partitions, SystemTime())

    return {name: local(service.clocks[name]) if name in service.clocks else None for name in settings.clocks}


def _hosts(settings: Settings, host: str, address: str) -> AllowedHosts | None:
    """Return the hosts of requests that are answered. `clocksvc serve` uses the advertised address."""
    api, advertised = settings.api, urlsplit(address).hostname or host
    if api.tokens and not api.hosts:
        return None
    return allowed_hosts(host, [advertised, *api.hosts], tokens=bool(api.tokens))
