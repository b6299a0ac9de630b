"""Extensions of Celery's worker: a health file, and a consumer that survives lost broker connections."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from celery import Celery, bootsteps
from celery.worker.consumer import Consumer

from clocksvc.celery.broken_messages import BROKEN, log_dropped

logger = logging.getLogger("clocksvc.celery")

OPTION = "--health-check-file-path"
TOUCH_INTERVAL_S = 5.0


def add_health_file(app: Celery) -> None:
    """Add the option `--health-check-file-path FILE` to an app's workers.

    The worker touches the file every 5 s from the loop that receives tasks. If this loop is stuck or has no broker
    connection, the file is no longer touched. A probe checks the age of the file.
    """
    app.user_options["worker"].add(
        click.Option((OPTION,), help=f"touch this file every {TOUCH_INTERVAL_S:g} s while tasks are received")
    )
    app.steps["worker"].add(HealthFile)
    app.steps["consumer"].add(TouchHealthFile)


class HealthFile(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no type annotations
    """Stores the file's path in the worker, and removes the file when the worker stops."""

    def __init__(self, worker: Any, health_check_file_path: str | None = None, **options: Any) -> None:
        super().__init__(worker, **options)
        worker.health_file = None if health_check_file_path is None else Path(health_check_file_path)

    def stop(self, worker: Any) -> None:
        """Called by Celery."""
        if worker.health_file is not None:
            worker.health_file.unlink(missing_ok=True)


class TouchHealthFile(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no type annotations
    """Starts the timer that touches the file. It does so after each connection to the broker, because Celery drops all
    timers when it loses the connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Called by Celery."""
        file = consumer.controller.health_file
        if file is not None:
            file.touch()
            consumer.timer.call_repeatedly(TOUCH_INTERVAL_S, file.touch)


class SafeConsumer(Consumer):  # type: ignore[misc]  # Celery has no type annotations
    """A consumer that survives lost connections and messages that Celery can't read.

    It does not restore or acknowledge messages of a lost connection. kombu 5.7 fails with an AttributeError if it tries
    to do so, which ends the worker. The broker itself redelivers the messages. A repeated round of heartbeats is
    harmless.
    """

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Called by Celery. Returns the function that receives messages."""
        handle = super().create_task_handler(*args, **kwargs)

        def receive(message: Any) -> None:
            try:
                handle(message)
            except BROKEN as error:
                log_dropped(str((message.delivery_info or {}).get("routing_key")), message.headers, error)
                message.reject_log_error(logger, self.connection_errors)

        return receive

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Called by Celery when the connection is lost, before Celery reconnects."""
        for channel in getattr(self.connection.transport, "channels", None) or ():
            channel.do_restore = False
        super().on_connection_error_after_connected(exc)

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Called by Celery. `p` is a bound method of the message, which acknowledges or rejects it."""

        def unless_lost(*last: Any, **named: Any) -> None:
            message: Any = getattr(p, "__self__", None)
            if getattr(getattr(message, "channel", None), "closed", False):
                logger.warning("broker connection lost before a message was acknowledged")
            else:
                p(*last, **named)

        return super().call_soon_ack(unless_lost, *args, **kwargs)
