"""Sends due schedules to Celery queues: the sink `celery` of a clock's schedules."""

import json
from collections.abc import Sequence

from celery import Celery

from clocksvc.celery.application import configuration
from clocksvc.celery.task_queue import publish
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.due_sink import Rejected
from clocksvc.interfaces.task_queue import ID_HEADER, TASK_HEADER
from clocksvc.interfaces.task_routes import Routes
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.settings import Settings

_KEEP_ALIVE_EVERY = 50


class CeleryDueSink:
    """Implements DueSink. Several threads can use one object.

    Args:
        app: the app with the broker. A task of this app is sent with its own options.
        routes: the queue of each task, by its name.
    """

    def __init__(self, app: Celery, routes: Routes) -> None:
        self._app, self._routes = app, routes

    def send(self, records: Sequence[DueLogRecord], keep_alive: KeepAlive) -> list[Rejected]:
        rejected = []
        for number, record in enumerate(records, 1):
            try:
                self._send(record)
            except InvalidValue as error:
                rejected.append(Rejected(record, str(error)))
            if number % _KEEP_ALIVE_EVERY == 0:
                keep_alive()
        return rejected

    def _send(self, record: DueLogRecord) -> None:
        headers = {name: value.decode() for name, value in record.headers}
        name, schedule = headers[TASK_HEADER], f"schedule {record.key.decode()!r}"
        queue = self._routes.queue(name)
        if queue is None:
            wanted = "wanted a task that goes to a Celery queue, but its namespace has a `topic`"
            raise InvalidValue(schedule, name, wanted)
        try:
            payload = json.loads(record.value)
        except (ValueError, RecursionError) as error:
            raise InvalidValue(schedule, name, f"wanted a payload that Python can decode: {error}") from error
        options = {"task_id": headers[ID_HEADER], "headers": headers, "queue": queue}
        publish(self._app, schedule, name, ((payload,), {}), options)


def open_celery_sink(settings: Settings) -> CeleryDueSink:
    """Return the sink for the configured broker. It connects when the first task is sent."""
    app = Celery("clocksvc", set_as_current=False, fixups=set(), config_source=configuration(settings))
    return CeleryDueSink(app, settings.routes())
