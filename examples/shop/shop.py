"""The shop's Celery app: bills each night, and each minute a search for tills that did not check in.

Both follow the clock `shop`: they are sent once everything before their time has been processed.
"""

import os
from datetime import datetime

import ledger
from celery import Celery
from celery.schedules import crontab

from clocksvc.celery import on_tick

app = Celery("shop", broker=os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
app.conf.task_ignore_result = True
app.conf.timezone = "Europe/Berlin"
app.conf.beat_schedule = {
    "bills": {"task": "shop.bills", "schedule": crontab(hour=4, minute=0)},
}


@app.task(bind=True)
def bills(self):
    """Sent once everything before 04:00 has been processed. The header has the date."""
    ledger.bill(_ms(self.request.headers["clocksvc-due"]))


@on_tick("shop", name="minutes.mark_missed")
@app.task
def mark_missed(tick):
    """Sent at each tick: the minute that ends at the tick is complete."""
    end_ms = _ms(tick["time"])
    ledger.mark_missed(end_ms - tick["interval_seconds"] * 1000, end_ms)


def _ms(time):
    return round(datetime.fromisoformat(time).timestamp() * 1000)
