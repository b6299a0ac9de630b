"""The Celery app that puts heartbeats: `celery -A clocksvc worker`, `celery -A clocksvc beat`.

Celery finds `app` here by its own rule. The app is built from the configuration when it is first asked for, and never
made the current one: importing anything else from here reads no configuration and leaves a user's own app alone.
No module here may be named `app`: it would hide the app from Celery.
"""

import os
import threading
from typing import TYPE_CHECKING

from clocksvc.celery.health import add_health_file
from clocksvc.celery.on_tick import on_tick
from clocksvc.celery.schedule import EpochSchedule, HeartbeatScheduler
from clocksvc.errors import SettingsError

if TYPE_CHECKING:
    from celery import Celery

    from clocksvc.celery.clock_scheduler import ClockScheduler
    from clocksvc.celery.duplicates import is_duplicate

    app: Celery

__all__ = ["ClockScheduler", "EpochSchedule", "HeartbeatScheduler", "add_health_file", "is_duplicate", "on_tick"]

_building = threading.Lock()


def __getattr__(name: str) -> object:
    if name == "ClockScheduler":  # needs Kafka, which a user's worker does not
        from clocksvc.celery.clock_scheduler import ClockScheduler

        return ClockScheduler
    if name == "is_duplicate":  # from then on, tasks that end well are looked at
        from clocksvc.celery.duplicates import is_duplicate

        return is_duplicate
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _building:
        if "app" not in globals():
            globals()["app"] = _built()
    return globals()["app"]


def _built() -> "Celery":
    import click

    from clocksvc import settings
    from clocksvc.celery.application import build

    try:
        return build(settings.load(None, os.environ))
    except SettingsError as error:
        if click.get_current_context(silent=True) is None:
            raise
        # Celery's command line would print the traceback of any other exception.
        raise SystemExit(f"clocksvc: {error}") from None
