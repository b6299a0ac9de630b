"""The demo's Celery app, as a user writes one: a nightly job scheduled by the clock, and a task for each tick.

`celery -A clocksvc.dev.demo.job_app beat -S clocksvc.celery:ClockScheduler` sends them; clocksvc's worker, which
includes this module, runs them. CLOCKSVC_CONFIG names the configuration, DEMO_NOTES a file to which each task appends a
line of JSON.
"""

import json
import os
from typing import Any

from celery import Celery, shared_task
from celery.beat import BeatLazyFunc

from clocksvc import settings as configuration
from clocksvc.celery import on_tick
from clocksvc.dev.demo.demo_config import CLOCK, NAMESPACE, NIGHT_S
from clocksvc.interfaces.time import SystemTime

_settings = configuration.load(None, os.environ)
_url, _transport = _settings.celery_broker()

app = Celery("jobs", broker=_url)
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


# Shared, because the worker that runs them belongs to another app.
@shared_task(bind=True, name="jobs.nightly")  # type: ignore[untyped-decorator]  # Celery has no type annotations
def nightly(self: Any, sent_ms: int) -> None:
    """An example of work such as billing for a night. The due time is in the message's headers."""
    _note(self.request, "nightly", self.request.headers["clocksvc-due"], sent_ms)


@on_tick(CLOCK, name=f"{NAMESPACE}.each_tick")
@shared_task(bind=True, name="jobs.each_tick")  # type: ignore[untyped-decorator]
def each_tick(self: Any, tick: dict[str, Any]) -> None:
    """An example of work such as closing the window that ends with the tick."""
    _note(self.request, "tick", tick["time"], None)


def _note(request: Any, kind: str, due: str, sent_ms: int | None) -> None:
    line = {"kind": kind, "id": request.id, "due": due, "tick": request.headers["clocksvc-tick"], "sent_ms": sent_ms}
    with open(os.environ["DEMO_NOTES"], "ab", buffering=0) as notes:
        notes.write(json.dumps(line).encode() + b"\n")
