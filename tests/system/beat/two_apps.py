"""A user's Celery app whose name and only entry come from the environment: APP, ENTRY, TASK; BROKER is the broker's
URL.

The messages of the entry go to the queue with the app's name.
"""

import os

from celery import Celery
from celery.schedules import crontab

app = Celery(os.environ.get("APP", "shop"), broker=os.environ.get("BROKER", "memory://"), set_as_current=False)
app.conf.update(task_default_queue=app.main, task_ignore_result=True)
app.conf.beat_schedule = {
    os.environ.get("ENTRY", "bills"): {"task": os.environ.get("TASK", "work"), "schedule": crontab()}
}
