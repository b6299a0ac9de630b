"""`celery -A … worker --health-check-file-path FILE`: a file that is touched while the worker takes tasks.

A probe looks at the file's age. It is touched from the loop that takes tasks from the broker: where that is stuck, or
has lost the broker, the file grows old.
"""

from pathlib import Path
from typing import Any

import click
from celery import Celery, bootsteps

OPTION = "--health-check-file-path"
EVERY_S = 5.0


class HealthFile(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery carries no types
    """Where the worker's file is; takes it away when the worker ends."""

    def __init__(self, worker: Any, health_check_file_path: str | None = None, **options: Any) -> None:
        super().__init__(worker, **options)
        worker.health_file = None if health_check_file_path is None else Path(health_check_file_path)

    def stop(self, worker: Any) -> None:
        """Celery's hook."""
        if worker.health_file is not None:
            worker.health_file.unlink(missing_ok=True)


class TouchHealthFile(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery carries no types
    """Touches the file every 5 s, from each time that the worker has its broker: Celery drops its timers with it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Celery's hook."""
        file = consumer.controller.health_file
        if file is not None:
            file.touch()
            consumer.timer.call_repeatedly(EVERY_S, file.touch)


def add_health_file(app: Celery) -> None:
    """Give an app's workers the option `--health-check-file-path`."""
    app.user_options["worker"].add(
        click.Option((OPTION,), help=f"touch this file every {EVERY_S:g} s while tasks are taken")
    )
    app.steps["worker"].add(HealthFile)
    app.steps["consumer"].add(TouchHealthFile)
