"""Celery integration: clocksvc's own app for heartbeats, and the names that users' Celery apps import.

`celery -A clocksvc worker` and `celery -A clocksvc beat` find the attribute `app` here. The app is built from the
configuration at its first use, and is never set as the current app. To import other names reads no configuration and
does not affect a user's own app. No module of this package may have the name `app`, because it would hide the
attribute.
"""

import os
import threading
from typing import TYPE_CHECKING

from clocksvc.celery.command_line import exit_with_message
from clocksvc.celery.heartbeat_schedule import EpochSchedule, HeartbeatScheduler
from clocksvc.celery.on_tick import on_tick
from clocksvc.celery.worker import add_health_file

if TYPE_CHECKING:
    from celery import Celery

    from clocksvc.celery.clock_scheduler import ClockScheduler
    from clocksvc.celery.duplicates import is_duplicate

    app: Celery

__all__ = ["ClockScheduler", "EpochSchedule", "HeartbeatScheduler", "add_health_file", "is_duplicate", "on_tick"]

_build_lock = threading.Lock()


def __getattr__(name: str) -> object:
    if name == "ClockScheduler":  # imported late, because it imports Kafka clients, which a user's worker does not need
        from clocksvc.celery.clock_scheduler import ClockScheduler

        return ClockScheduler
    if name == "is_duplicate":  # imported late, because it connects a signal for all tasks of the process
        from clocksvc.celery.duplicates import is_duplicate

        return is_duplicate
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _build_lock:
        if "app" not in globals():
            globals()["app"] = _build()
    return globals()["app"]


def _build() -> "Celery":
    from clocksvc import settings
    from clocksvc.celery.application import build
    from clocksvc.kafka.admin import settings_problems

    with exit_with_message():
        return build(settings.load(None, os.environ, check_kafka=settings_problems))
