"""`is_duplicate(self)` tells a task whether it has already succeeded in an earlier run.

A task is recorded in the store when it succeeds. So a task that failed, was retried or died runs again. A redelivered
task also runs again if the store has lost the record. To import this module connects a Celery signal.
"""

import logging
import os
from functools import cache
from typing import Any

from celery import signals

from clocksvc import settings
from clocksvc.celery.process_resources import ProcessResources
from clocksvc.clock.spec import DAY_MS
from clocksvc.errors import ClocksvcError, StoreUnavailable
from clocksvc.interfaces.task_queue import CLOCK_HEADER

logger = logging.getLogger("clocksvc.celery")

RETENTION_MS = 7 * DAY_MS
MAX_REMEMBERED = 100_000
_RESULT = "clocksvc_is_duplicate"


def is_duplicate(task: Any) -> bool:
    """True if this task has already succeeded in an earlier run. Call this first in a task, and return if it is True:

        @app.task(bind=True)
        def bills(self):
            if is_duplicate(self):
                return
            ...

    The result is False if no clock sent the task, or if the store does not answer within 2 s. If the result is False
    for a clock's task, the task is recorded when it ends without an exception. Runs with the result True are counted.
    The configuration is read from `CLOCKSVC_CONFIG`.

    Args:
        task: the bound task (`self`).

    Raises:
        SettingsError: this worker's configuration is wrong.
        UnknownClock: this worker's configuration does not have the clock that sent the task.
    """
    request = task.request
    clock = (request.headers or {}).get(CLOCK_HEADER)
    if clock is None or request.id is None:
        return False
    if getattr(request, _RESULT, None) is None:
        setattr(request, _RESULT, _check(clock, request.id))
    return bool(getattr(request, _RESULT))


def _check(clock: str, task_id: str) -> bool:
    resources = _resources()
    store = resources.store(resources.spec(clock))
    try:
        return store.is_task_done(task_id)
    except StoreUnavailable as error:
        _warn("duplicate check failed", clock, task_id, error)
        return False


@signals.task_success.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no type annotations
def _record(sender: Any, **_: Any) -> None:
    request = sender.request
    if getattr(request, _RESULT, None) is not False:
        return
    clock, resources = request.headers[CLOCK_HEADER], _resources()
    try:
        resources.store(resources.spec(clock)).mark_task_done(request.id, RETENTION_MS, MAX_REMEMBERED)
    except ClocksvcError as error:
        _warn("finished task not recorded", clock, request.id, error)


def _warn(message: str, clock: str, task_id: str, error: Exception) -> None:
    logger.warning(message, extra={"clock": clock, "id": task_id, "detail": str(error)})


@cache
def _resources() -> ProcessResources:
    return ProcessResources(settings.load(None, os.environ))
