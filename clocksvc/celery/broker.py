"""Due tasks go to Celery's broker: with the id, the headers and the queue that they have by the clock."""

from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu.exceptions import EncodeError

from clocksvc.celery.message import TaskMessage
from clocksvc.errors import InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask


class CeleryBroker:
    """A Broker: sends each entry's message through a Celery app.

    Args:
        messages: what to send, by the entry's name.
    """

    def __init__(self, app: Celery, messages: Mapping[str, TaskMessage]) -> None:
        self._app, self._messages = app, messages

    def send(self, sending: DueTask) -> None:
        message = self._messages[sending.entry]
        options = dict(message.options)
        options["headers"] = {**(options.get("headers") or {}), **sending.headers}
        try:
            arguments = message.arguments(sending.tick)
        except Exception as error:  # a user's own function
            raise _refused(sending, message, error) from error
        try:
            self._sent(message.task, arguments, {**options, "task_id": sending.id})
        except (EncodeError, TypeError, ValueError) as error:
            raise _refused(sending, message, error) from error
        except Exception as error:
            # Not every transport's errors come in kombu's words: a full Redis, or a result backend that is away.
            raise TaskQueueUnavailable(f"the broker takes no task: {type(error).__name__}: {error}") from error

    def _sent(self, name: str, arguments: tuple[Any, Any], options: dict[str, Any]) -> None:
        task = self._app.tasks.get(name)
        if task is None:
            self._app.send_task(name, *arguments, **options)
        else:
            task.apply_async(*arguments, **options)


def _refused(sending: DueTask, message: TaskMessage, error: Exception) -> InvalidValue:
    wanted = f"wanted what can be sent: {type(error).__name__}: {error}"
    return InvalidValue(f"entry {sending.entry!r}", message.task, wanted)
