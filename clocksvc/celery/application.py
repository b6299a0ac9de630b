"""The Celery app, from the settings: its configuration, its one task, and a beat entry for each clock.

It decides nothing about heartbeats: it carries a clock's name and a due time from beat to a worker.
"""

from collections.abc import Iterable
from typing import Any

from celery import Celery, signals
from celery.beat import BeatLazyFunc

from clocksvc.celery.health import add_health_file
from clocksvc.celery.schedule import EpochSchedule
from clocksvc.celery.task import NAME, register
from clocksvc.celery.tick_tasks import TickTasks
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.errors import SettingsError
from clocksvc.interfaces.time import SystemTime
from clocksvc.service import heartbeats as heartbeat
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


class HeartbeatApp(Celery):  # type: ignore[misc]  # Celery carries no types
    """A Celery app whose workers don't look for each other: they have nothing to tell, and start a second sooner."""

    log_cls = "clocksvc.celery.log_setup:Lines"

    def Worker(self, **options: Any) -> Any:  # Celery's name
        """What `celery worker` runs."""
        alone = {"without_gossip": True, "without_mingle": True}
        return self.subclass_with_self("celery.apps.worker:Worker")(**(options | alone))


def build(settings: Settings) -> Celery:
    """An app of its own: not the current one, no result backend, nothing read from a user's Celery configuration."""
    app = HeartbeatApp("clocksvc", set_as_current=False, fixups=set(), config_source=configuration(settings))
    register(app, settings)
    _send_beside_beat(app, settings)
    add_health_file(app)
    return app


def _send_beside_beat(app: Celery, settings: Settings) -> None:
    """Let the app's beat, and no other one of the process, send what the configuration wants at each tick."""

    def begin(sender: Any, **_: Any) -> None:
        if sender.app is app:
            try:
                tick_tasks = TickTasks(app, settings)
            except SettingsError as error:
                raise SystemExit(f"clocksvc: {error}") from None  # Celery logs any other exception, and goes on
            tick_tasks.start()
            sender.scheduler.on_close(tick_tasks.stop)

    signals.beat_init.connect(begin, weak=False)


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings, in Celery's names."""
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
        "worker_consumer": "clocksvc.celery.consumer:ReconnectSafeConsumer",
        "worker_concurrency": CONCURRENCY,
        "worker_prefetch_multiplier": 1,
        # A user's `celery control`, and events of a user's workers on the same broker, are not for this app's worker.
        "control_exchange": QUEUE,
        "event_exchange": f"{QUEUE}ev",
        "event_queue_prefix": f"{QUEUE}ev",
        "beat_scheduler": "clocksvc.celery.schedule:HeartbeatScheduler",
        "beat_max_loop_interval": 5,
        "beat_schedule": beat_schedule(settings.clock_specs().values()),
    }


def beat_schedule(specs: Iterable[ClockSpec]) -> dict[str, dict[str, Any]]:
    """One entry for each clock with heartbeats. The due time is found when a task is sent, not when beat starts."""
    entries = {}
    for spec in specs:
        beats = spec.heartbeat
        if beats is not None:
            entries[f"heartbeat-{spec.name}"] = {
                "task": NAME,
                "schedule": EpochSchedule(beats.every_ms),
                "args": (spec.name, BeatLazyFunc(_due_seconds, beats)),
                "options": {"queue": QUEUE, "expires": heartbeat.life_ms(beats) / 1000},
            }
    return entries


def _due_seconds(beats: HeartbeatSpec) -> float:
    return heartbeat.due_ms(beats, SystemTime().now_ms()) / 1000


def _broker(url: str, transport_options: dict[str, Any]) -> dict[str, Any]:
    """A broker that is away is asked again for ever, with a back-off; a lost task comes back within the minute."""
    defaults = _REDIS_OPTIONS if url.startswith(_REDIS_SCHEMES) else {}
    return {
        "broker_url": url,
        "broker_transport_options": defaults | transport_options,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.3, "interval_max": 1},
    }
