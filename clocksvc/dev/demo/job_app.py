"""The demo's Celery app, as a user would write it: a nightly job by the clock, and a task for each tick.

`celery -A clocksvc.dev.demo.job_app beat -S clocksvc.celery:ClockScheduler` sends the tasks. clocksvc's worker, which
includes this module, runs them. CLOCKSVC_CONFIG is the path of the configuration. DEMO_NOTES is the path of a file.
Each task appends a line of JSON to this file.
"""

import json
import os
from typing import Any

from celery import Celery, shared_task
from celery.beat import BeatLazyFunc

from clocksvc import settings as configuration
from clocksvc.celery import on_tick
from clocksvc.dev.demo.demo_config import CLOCK, JOB_APP, NAMESPACE, NIGHT_S
from clocksvc.interfaces.time import SystemTime

_settings = configuration.load(None, os.environ)
_url, _transport = _settings.celery_broker()

app = Celery(JOB_APP, broker=_url)
app.conf.update(
    broker_transport_options=_transport,
    task_ignore_result=True,
    task_default_queue=_settings.routes().queue(NAMESPACE),
    clocksvc_clock=CLOCK,
)
app.conf.beat_schedule = {
    "nightly": {
        "task": "jobs.nightly",
        "schedule": float(NIGHT_S),
        "args": (BeatLazyFunc(SystemTime().now_ms),),
    },
}


# Shared tasks, because the worker that runs them belongs to another app.
@shared_task(bind=True, name="jobs.nightly")  # type: ignore[untyped-decorator]  # Celery has no type annotations
def nightly(self: Any, sent_ms: int) -> None:
    """Do the work for one night, such as billing. The due time is in the message's headers."""
    _note(self.request, "nightly", self.request.headers["clocksvc-due"], sent_ms)


@on_tick(CLOCK, name=f"{NAMESPACE}.each_tick")
@shared_task(bind=True, name="jobs.each_tick")  # type: ignore[untyped-decorator]
def each_tick(self: Any, tick: dict[str, Any]) -> None:
    """Do the work for one tick, such as closing the time window that ends with the tick."""
    _note(self.request, "tick", tick["time"], None)


def _note(request: Any, kind: str, due: str, sent_ms: int | None) -> None:
    line = {"kind": kind, "id": request.id, "due": due, "tick": request.headers["clocksvc-tick"], "sent_ms": sent_ms}
    with open(os.environ["DEMO_NOTES"], "ab", buffering=0) as notes:
        notes.write(json.dumps(line).encode() + b"\n")
