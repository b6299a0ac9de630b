"""Sends due tasks through a Celery app."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.exceptions import EncodeError

from clocksvc.clock.tick import Tick
from clocksvc.errors import InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask, TaskQueue
from clocksvc.interfaces.task_routes import Routes
from clocksvc.jobs.metrics import Destination

logger = logging.getLogger("clocksvc.dispatcher")

Arguments = tuple[Any, Any]
"""Positional and keyword arguments of a task."""


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """The message that is sent when a schedule is due.

    Attributes:
        task: the task's name.
        arguments: a function that returns the task's arguments for a tick.
        options: options of Celery's `apply_async`.
        route: the dotted name for routing. If it is "", the task's name is used.
    """

    task: str
    arguments: Callable[[Tick], Arguments]
    options: Mapping[str, Any] = field(default_factory=dict)
    route: str = ""


def tick_arguments(tick: Tick) -> Arguments:
    """Return the arguments of a task whose only argument is the tick as JSON."""
    return (tick.to_wire(),), {}


def tick_and(arguments: Mapping[str, Any]) -> Callable[[Tick], Arguments]:
    """Return a function that returns the arguments of a task with the tick and further keyword arguments."""
    return lambda tick: ((tick.to_wire(),), dict(arguments))


class CeleryTaskQueue:
    """A TaskQueue that sends due tasks to the broker of a Celery app. A message has the due task's id and headers.

    Args:
        messages: the message for each schedule's name.
    """

    def __init__(self, app: Celery, messages: Mapping[str, TaskMessage]) -> None:
        self._app, self._messages = app, messages

    def send(self, task: DueTask) -> None:
        message = self._messages[task.schedule]
        options = dict(message.options)
        options["headers"] = {**(options.get("headers") or {}), **task.headers}
        try:
            arguments = message.arguments(task.tick)
        except Exception as error:  # a function of the user may raise any exception
            raise _rejection(f"schedule {task.schedule!r}", message.task, error) from error
        publish(self._app, f"schedule {task.schedule!r}", message.task, arguments, {**options, "task_id": task.id})


def publish(app: Celery, schedule: str, name: str, arguments: Arguments, options: Mapping[str, Any]) -> None:
    """Send one task. When this returns, the broker has it.

    Args:
        schedule: what sends the task, for errors.
        name: the task's name. A task of the app is sent with the options that its definition has.

    Raises:
        TaskQueueUnavailable: the outcome is unknown.
        InvalidValue: the message can't be encoded.
    """
    task = app.tasks.get(name)
    try:
        if task is None:
            app.send_task(name, *arguments, **options)
        else:
            task.apply_async(*arguments, **options)
    except (EncodeError, TypeError, ValueError) as error:
        raise _rejection(schedule, name, error) from error
    except Exception as error:
        # kombu doesn't translate some errors of transports and result backends, for example if Redis is full.
        raise TaskQueueUnavailable(f"the Celery broker is unavailable: {type(error).__name__}: {error}") from error


class RoutingTaskQueue:
    """A TaskQueue that sends the tasks of each schedule to the task queue of this schedule.

    Args:
        queues: the task queue for each schedule's name.
    """

    def __init__(self, queues: Mapping[str, TaskQueue]) -> None:
        self._queues = queues

    def send(self, task: DueTask) -> None:
        self._queues[task.schedule].send(task)


def destination_of(app: Celery, routes: Routes, message: TaskMessage) -> Destination:
    """Return the metric labels of a message. Celery's own routing determines the queue.

    The routers of the app are called without the arguments of the task. If a router raises an exception, the queue is
    "".
    """
    task = app.tasks.get(message.task)
    task_options = {name: getattr(task, name, None) for name in ("queue", "exchange", "routing_key")}
    options = {**{name: value for name, value in task_options.items() if value is not None}, **message.options}
    try:
        routed = app.amqp.Router().route(options, message.task)
    except Exception as error:
        logger.info("queue not known in advance", extra={"task": message.task, "detail": repr(error)})
        routed = {}
    queue = routed.get("routing_key" if options.get("exchange") else "queue") or ""
    return Destination(routes.namespace_label(message.route or message.task), str(getattr(queue, "name", queue)))


def _rejection(schedule: str, name: str, error: Exception) -> InvalidValue:
    return InvalidValue(schedule, name, f"wanted a message that can be sent: {type(error).__name__}: {error}")
