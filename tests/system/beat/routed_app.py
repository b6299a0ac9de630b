"""A user's app with tasks that the configuration sends at each tick. Duplicates are not run.

Environment: BROKER and TASK_LOG as in `tests.system.beat.app`; while the file BLOCK exists, `shop.errors` blocks.
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


def _append(self: Any, tick: dict[str, Any]) -> None:
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
    with open(os.environ["TASK_LOG"], "ab", buffering=0) as log:
        log.write(json.dumps(line).encode() + b"\n")


checkins = app.task(bind=True, name="shop.checkins")(_append)
errors = app.task(bind=True, name="shop.errors")(_append)
billing = app.task(bind=True, name="shop.billing")(_append)
