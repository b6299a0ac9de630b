"""A user's Celery app whose beat follows a clock. Each task appends a line of JSON to a file.

Environment: BROKER is the broker's URL, TASK_LOG the file.
"""

import json
import os
import time
from typing import Any

from celery import Celery
from celery.schedules import crontab

from clocksvc.celery import on_tick

ZONE = "Europe/Berlin"
CRONTABS: dict[str, dict[str, str]] = {
    "minutely": {},
    "even": {"minute": "*/2"},
    "threes": {"minute": "*/3"},
    "fives": {"minute": "*/5"},
    "sevens": {"minute": "*/7"},
    "tens": {"minute": "*/10"},
    "quarters": {"minute": "*/15"},
    "twenties": {"minute": "*/20"},
    "half": {"minute": "0,30"},
    "full": {"minute": "0"},
    "late": {"minute": "59"},
    "early": {"minute": "1-4"},
    "odd-hours": {"minute": "17", "hour": "1-23/2"},
    "even-hours": {"minute": "17", "hour": "*/2"},
    "third-hours": {"minute": "41", "hour": "*/3"},
    "night": {"minute": "*/11", "hour": "0-5"},
    "day": {"minute": "*/13", "hour": "6-23"},
    "week": {"minute": "23", "day_of_week": "1-5"},
    "weekend": {"minute": "24", "day_of_week": "0,6"},
}
LAST = "last-of-tens"
SCHEDULED = (*CRONTABS, LAST)
"""Twenty entries. `LAST` has `catch_up: last`."""

app = Celery("beaten", broker=os.environ.get("BROKER", "memory://"), set_as_current=False)
app.conf.update(task_ignore_result=True, timezone=ZONE, worker_prefetch_multiplier=1)


def _append(request: Any, entry: str, due: str) -> None:
    line = {
        "entry": entry,
        "id": request.id,
        "due": due,
        "tick": request.headers["clocksvc-tick"],
        "clock": request.headers["clocksvc-clock"],
        "wall_ms": time.time_ns() // 1_000_000,
        "queue": (request.delivery_info or {}).get("routing_key"),
    }
    with open(os.environ["TASK_LOG"], "ab", buffering=0) as log:
        log.write(json.dumps(line).encode() + b"\n")


@app.task(bind=True, name="beaten.scheduled")  # type: ignore[untyped-decorator]  # Celery has no type annotations
def scheduled(self: Any, entry: str) -> None:
    """Sent by the beat schedule."""
    _append(self.request, entry, self.request.headers["clocksvc-due"])


@on_tick("story", name="ingest.errors.each")
@app.task(bind=True, name="beaten.each")  # type: ignore[untyped-decorator]  # Celery has no type annotations
def each(self: Any, tick: dict[str, Any]) -> None:
    """Sent at each tick."""
    _append(self.request, "each tick", tick["time"])


app.conf.beat_schedule = {
    **{
        name: {"task": "beaten.scheduled", "schedule": crontab(**fields), "args": (name,)}
        for name, fields in CRONTABS.items()
    },
    LAST: {"task": "beaten.scheduled", "schedule": crontab(minute="*/10"), "args": (LAST,), "catch_up": "last"},
}
