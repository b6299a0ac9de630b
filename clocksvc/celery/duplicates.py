"""`is_duplicate(self)`: whether a task by the clock comes again that has been run to its end.

A task is remembered when it ends well, never before: one that died half way, failed, or is retried is run again. The
memory is the store's, which may lose it: then a redelivery is run again, too. It is loaded by those who ask for it.
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

KEPT_MS = 7 * DAY_MS
MOST = 100_000
_ANSWER = "clocksvc_is_duplicate"


def is_duplicate(task: Any) -> bool:
    """Whether this run of a task repeats one that has ended well; counts it. Ask first, and do nothing then:

        @app.task(bind=True)
        def bills(self):
            if is_duplicate(self):
                return
            ...

    A task that no clock sent is none. Without an answer of the store (2 s) there is no knowing: False. Whoever has
    asked is remembered once the run has ended without an exception.

    Args:
        task: the bound task. The configuration is `CLOCKSVC_CONFIG`'s.

    Raises:
        SettingsError, UnknownClock: this worker's configuration is wrong, or lacks the clock that sent the task.
    """
    request = task.request
    clock = (request.headers or {}).get(CLOCK_HEADER)
    if clock is None or request.id is None:
        return False
    if getattr(request, _ANSWER, None) is None:
        setattr(request, _ANSWER, _ask(clock, request.id))
    return bool(getattr(request, _ANSWER))


def _ask(clock: str, task_id: str) -> bool:
    keepers = _keepers()
    store = keepers.store(keepers.spec(clock))
    try:
        return store.is_task_done(task_id)
    except StoreUnavailable as error:
        _warn("duplicate check failed", clock, task_id, error)
        return False


@signals.task_success.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery carries no types
def _note(sender: Any, **_: Any) -> None:
    request = sender.request
    if getattr(request, _ANSWER, None) is not False:
        return
    clock, keepers = request.headers[CLOCK_HEADER], _keepers()
    try:
        keepers.store(keepers.spec(clock)).mark_task_done(request.id, KEPT_MS, MOST)
    except ClocksvcError as error:
        _warn("finished task not recorded", clock, request.id, error)


def _warn(message: str, clock: str, task_id: str, error: Exception) -> None:
    logger.warning(message, extra={"clock": clock, "id": task_id, "detail": str(error)})


@cache
def _keepers() -> ProcessResources:
    return ProcessResources(settings.load(None, os.environ))
