"""A user's app whose tasks the configuration sends at each tick; a worker of one queue can be blocked.

Environment: BROKER, NOTES as `tests.system.beat.app`; while the file BLOCK exists, tasks of `shop.errors` do not end.
What has been run to its end is not run again.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

from clocksvc.celery import is_duplicate

app = Celery("shop", broker=os.environ.get("BROKER", "memory://"), set_as_current=False)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1)


def _note(self: Any, tick: dict[str, Any]) -> None:
    if is_duplicate(self):
        return
    while self.name == "shop.errors" and Path(os.environ["BLOCK"]).exists():
        time.sleep(0.05)
    line = {
        "entry": self.name,
        "id": self.request.id,
        "due": tick["time"],
        "tick": tick["time"],
        "wall_ms": time.time_ns() // 1_000_000,
        "queue": (self.request.delivery_info or {}).get("routing_key"),
    }
    with open(os.environ["NOTES"], "ab", buffering=0) as notes:
        notes.write(json.dumps(line).encode() + b"\n")


checkins = app.task(bind=True, name="shop.checkins")(_note)
errors = app.task(bind=True, name="shop.errors")(_note)
billing = app.task(bind=True, name="shop.billing")(_note)
