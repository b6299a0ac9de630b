"""The Celery task `clocksvc.heartbeat`, which sends one round of heartbeats with `clocksvc.service.heartbeats`."""

import logging
from typing import Any

from celery import Celery, signals

from clocksvc.celery.process_resources import ProcessResources
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.errors import UnknownClock
from clocksvc.interfaces.time import SystemTime
from clocksvc.service import heartbeats as heartbeat
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.heartbeat")

NAME = "clocksvc.heartbeat"


def register(app: Celery, settings: Settings) -> None:
    """Register the task in the app. Messages that expired in the queue, which Celery drops, are counted as expired."""
    resources = ProcessResources(settings)

    def run(task: Any, clock: str, due_seconds: float) -> None:
        try:
            retry_s = send_round(resources, clock, due_seconds, tries=task.request.retries + 1)
        except UnknownClock as error:
            _warn_unknown_clock(clock, error)
            return
        if retry_s is not None:
            raise task.retry(countdown=retry_s)

    task = app.task(
        name=NAME,
        bind=True,
        shared=False,  # a shared task would be registered in every app of the process
        max_retries=None,
        ignore_result=True,
        acks_late=True,
        reject_on_worker_lost=True,
    )(run)

    def count_expired(request: Any, expired: bool, **_: Any) -> None:
        if not expired:
            return
        try:
            spec = resources.spec(request.args[0])
        except UnknownClock as error:
            _warn_unknown_clock(request.args[0], error)
            return
        heartbeat.expire(spec, resources.store(spec))

    def close(**_: Any) -> None:
        resources.close()

    signals.task_revoked.connect(count_expired, sender=task, weak=False)
    signals.worker_process_shutdown.connect(close, weak=False)
    signals.worker_shutdown.connect(close, weak=False)


def send_round(resources: ProcessResources, clock: str, due_seconds: float, tries: int) -> float | None:
    """Send one round of heartbeats for a clock.

    Returns:
        The time until a retry, in seconds, or None if the round needs no retry.

    Raises:
        UnknownClock: the clock is not in this worker's configuration.
        InvalidValue: `due_seconds` is not a time.
    """
    due_ms = parse_timestamp("due_seconds", due_seconds)
    spec = resources.spec(clock)
    time = SystemTime()
    result = heartbeat.beat(spec, resources.store(spec), resources.topics(), time, due_ms)
    return heartbeat.retry_after_s(spec, result, due_ms, time.now_ms(), tries)


def _warn_unknown_clock(clock: str, error: UnknownClock) -> None:
    # There is no retry, because all workers of this installation have the same configuration.
    logger.warning(
        "heartbeat lost: %s. Another installation, or a beat with another configuration, uses the same Celery broker. "
        "Give each its own celery.broker_url, or another Redis database",
        error,
        extra={"clock": clock},
    )
