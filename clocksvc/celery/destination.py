"""Where a task goes, for the counters: by Celery's own routing, asked beforehand."""

import logging

from celery import Celery

from clocksvc.celery.message import TaskMessage
from clocksvc.interfaces.task_routes import Routes
from clocksvc.jobs.metrics import Destination

logger = logging.getLogger("clocksvc.dispatcher")


def destination(app: Celery, routes: Routes, message: TaskMessage) -> Destination:
    """Of an entry's messages. A router of the app's own that can't say without arguments leaves the queue open."""
    task = app.tasks.get(message.task)
    own = {name: getattr(task, name, None) for name in ("queue", "exchange", "routing_key")}
    options = {**{name: value for name, value in own.items() if value is not None}, **message.options}
    try:
        routed = app.amqp.Router().route(options, message.task)
    except Exception as error:
        logger.info("queue not known beforehand", extra={"task": message.task, "detail": repr(error)})
        routed = {}
    queue = routed.get("routing_key" if options.get("exchange") else "queue") or ""
    return Destination(routes.namespace_or_first(message.route or message.task), str(getattr(queue, "name", queue)))
