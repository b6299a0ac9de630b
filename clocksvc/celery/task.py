"""The task `clocksvc.heartbeat`. It holds no logic of its own: what a round is, and when it is put once more, says
`clocksvc.heartbeat`."""

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
    """Give the app its task, and count the messages that Celery drops because they expired in the queue."""
    keepers = ProcessResources(settings)

    def run(task: Any, clock: str, due_seconds: float) -> None:
        try:
            retry_s = put_round(keepers, clock, due_seconds, tries=task.request.retries + 1)
        except UnknownClock:
            _warn_not_ours(clock)
            return
        if retry_s is not None:
            raise task.retry(countdown=retry_s)

    task = app.task(
        name=NAME,
        bind=True,
        shared=False,  # a shared task would turn up in every other app of the process
        max_retries=None,
        ignore_result=True,
        acks_late=True,
        reject_on_worker_lost=True,
    )(run)

    def count_expired(request: Any, expired: bool, **_: Any) -> None:
        if not expired:
            return
        try:
            spec = keepers.spec(request.args[0])
        except UnknownClock:
            _warn_not_ours(request.args[0])
            return
        heartbeat.expire(spec, keepers.store(spec))

    def close(**_: Any) -> None:
        keepers.close()

    signals.task_revoked.connect(count_expired, sender=task, weak=False)
    signals.worker_process_shutdown.connect(close, weak=False)
    signals.worker_shutdown.connect(close, weak=False)


def put_round(keepers: ProcessResources, clock: str, due_seconds: float, tries: int) -> float | None:
    """One round for a clock by name; seconds until it has to be put once more, or None.

    Raises:
        UnknownClock, InvalidValue: the message does not fit this worker's configuration.
    """
    due_ms = parse_timestamp("due_seconds", due_seconds)
    spec = keepers.spec(clock)
    time = SystemTime()
    made = heartbeat.beat(spec, keepers.store(spec), keepers.topics(), time, due_ms)
    return heartbeat.retry_after_s(spec, made, due_ms, time.now_ms(), tries)


def _warn_not_ours(clock: str) -> None:
    """Not tried again: every worker of this installation would say the same of it."""
    logger.warning(
        "heartbeat lost, no such clock is configured here: another installation, or a beat with another configuration, "
        "uses this Celery broker; give each its own celery.broker_url, or another Redis database",
        extra={"clock": clock},
    )
