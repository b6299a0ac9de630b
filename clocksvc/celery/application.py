"""clocksvc's own Celery app: its configuration, the heartbeat task, and one beat entry for each clock with heartbeats.

Beat sends a clock's name and a due time to a worker. The app has no logic of heartbeats itself.
"""

import logging
from collections.abc import Iterable
from typing import Any

from celery import Celery, signals
from celery.app.log import Logging
from celery.beat import BeatLazyFunc

from clocksvc.celery.command_line import exit_with_message
from clocksvc.celery.heartbeat_schedule import EpochSchedule
from clocksvc.celery.heartbeat_task import NAME, register
from clocksvc.celery.tick_tasks import TickTasks
from clocksvc.celery.worker import add_health_file
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.interfaces.time import SystemTime
from clocksvc.service import heartbeats as heartbeat
from clocksvc.service.log_format import JsonFormatter, TextFormatter
from clocksvc.settings import Settings

QUEUE = "clocksvc"
CONCURRENCY = 2
VISIBILITY_TIMEOUT_S = 120
_REDIS_SCHEMES = ("redis://", "rediss://", "sentinel://")
_REDIS_OPTIONS = {
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    "socket_connect_timeout": 5,
    "socket_timeout": 10,
    "socket_keepalive": True,
}


class ServiceLogging(Logging):  # type: ignore[misc]  # Celery has no type annotations
    """Celery's log set-up with the service's formats: text on a terminal, JSON otherwise."""

    def setup_handlers(self, logger: logging.Logger, *args: Any, **kwargs: Any) -> logging.Logger:
        """Called by Celery to add a logger's handler."""
        super().setup_handlers(logger, *args, **kwargs)
        for handler in logger.handlers:
            stream = getattr(handler, "stream", None)
            on_terminal = stream is not None and stream.isatty()
            handler.setFormatter(TextFormatter() if on_terminal else JsonFormatter())
        return logger


class HeartbeatApp(Celery):  # type: ignore[misc]  # Celery has no type annotations
    """A Celery app whose workers run without gossip and mingle. They need neither, and start a second sooner
    without."""

    log_cls = f"{__name__}:ServiceLogging"
    amqp_cls = "clocksvc.celery.broken_messages:GuardedAMQP"

    def Worker(self, **options: Any) -> Any:  # Celery's name
        """The class behind `celery worker`."""
        fixed = {"without_gossip": True, "without_mingle": True}
        return self.subclass_with_self("celery.apps.worker:Worker")(**(options | fixed))


def build(settings: Settings) -> Celery:
    """Return the app. It is not set as the current app, has no result backend, and ignores a user's configuration."""
    app = HeartbeatApp("clocksvc", set_as_current=False, fixups=set(), config_source=configuration(settings))
    register(app, settings)
    _start_tick_tasks_with_beat(app, settings)
    add_health_file(app)
    return app


def _start_tick_tasks_with_beat(app: Celery, settings: Settings) -> None:
    """Send the tasks of `clocks.*.tasks` while this app's beat runs."""

    def start(sender: Any, **_: Any) -> None:
        if sender.app is app:
            with exit_with_message():
                tick_tasks = TickTasks(app, settings)
            tick_tasks.start()
            sender.scheduler.on_close(tick_tasks.stop)

    signals.beat_init.connect(start, weak=False)


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the app's Celery settings."""
    broker_url, transport_options = settings.celery_broker()
    return _broker(broker_url, transport_options) | {
        "task_default_queue": QUEUE,
        "task_routes": {"clocksvc.*": {"queue": QUEUE}},
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        "result_expires": None,
        "enable_utc": True,
        "timezone": "UTC",
        "worker_consumer": "clocksvc.celery.worker:SafeConsumer",
        "worker_concurrency": CONCURRENCY,
        "worker_prefetch_multiplier": 1,
        # The app has its own exchanges, so that a user's workers on the same broker do not receive its control messages
        # and events.
        "control_exchange": QUEUE,
        "event_exchange": f"{QUEUE}ev",
        "event_queue_prefix": f"{QUEUE}ev",
        "beat_scheduler": "clocksvc.celery.heartbeat_schedule:HeartbeatScheduler",
        "beat_max_loop_interval": 5,
        "beat_schedule": beat_schedule(settings.clock_specs().values()),
    }


def beat_schedule(specs: Iterable[ClockSpec]) -> dict[str, dict[str, Any]]:
    """Return a beat entry for each clock with heartbeats. The due time is computed when a task is sent."""
    entries = {}
    for spec in specs:
        beats = spec.heartbeat
        if beats is not None:
            entries[f"heartbeat-{spec.name}"] = {
                "task": NAME,
                "schedule": EpochSchedule(beats.every_ms, beats.offset_ms),
                "args": (spec.name, BeatLazyFunc(_due_seconds, beats)),
                "options": {"queue": QUEUE, "expires": heartbeat.ttl_ms(beats) / 1000},
            }
    return entries


def _due_seconds(beats: HeartbeatSpec) -> float:
    return heartbeat.due_ms(beats, SystemTime().now_ms()) / 1000


def _broker(url: str, transport_options: dict[str, Any]) -> dict[str, Any]:
    """Return Celery's broker settings.

    Workers reconnect to a lost broker without limit, with backoff. Redis redelivers the task of a dead worker after 2
    minutes.
    """
    defaults = _REDIS_OPTIONS if url.startswith(_REDIS_SCHEMES) else {}
    return {
        "broker_url": url,
        "broker_transport_options": defaults | transport_options,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.3, "interval_max": 1},
    }
