"""Takes commands of Celery's programs from standard input and runs none of them: a line of JSON for each.

Celery's own command line reads them, so an option that does not exist is an error. A beat's schedule is judged, too.
`python -m tests.system.beat.parsed`, in the folder of the app.
"""

import json
import os
import shlex
import sys
from typing import Any

import click
from celery.bin.celery import celery
from kombu.utils.imports import symbol_by_name

from clocksvc import settings
from clocksvc.celery.clock_scheduler import clock_of, tasks_on_tick


def told_worker(**options: Any) -> None:
    """In the place of what runs a worker."""
    print(json.dumps(options, default=str))


def told_beat(**options: Any) -> None:
    """In the place of what runs beat: what its scheduler would send, and to which queue each tick's task goes."""
    app = click.get_current_context().obj.app
    scheduler = symbol_by_name(options["scheduler"])(app, lazy=True)  # type: ignore[no-untyped-call]
    scheduler.setup_schedule()
    given = settings.load(None, os.environ)
    each_tick = {message.task: message.options for _, message in tasks_on_tick(app, given, clock_of(app, given))}
    entries = {name: [entry.catch_up, entry.max_age] for name, entry in scheduler.schedule.items()}
    print(json.dumps({"entries": entries, "each_tick": each_tick}))


def main() -> None:
    """Read until the end."""
    celery.commands["worker"].callback = told_worker
    celery.commands["beat"].callback = told_beat
    for line in sys.stdin:
        _, *arguments = shlex.split(line)
        celery(arguments, standalone_mode=False)


if __name__ == "__main__":
    main()
