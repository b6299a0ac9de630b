"""Parses commands of Celery from standard input without running them, and prints a line of JSON for each.

Celery's own command line parses them, so an unknown option is an error. A beat's schedule is checked, too. Run
`python -m tests.system.beat.parse_commands` in the directory of the app.
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


def print_worker(**options: Any) -> None:
    """Replaces the function that runs a worker."""
    print(json.dumps(options, default=str))


def print_beat(**options: Any) -> None:
    """Replaces the function that runs beat. Prints its entries, and the options of its tasks for each tick."""
    app = click.get_current_context().obj.app
    scheduler = symbol_by_name(options["scheduler"])(app, lazy=True)  # type: ignore[no-untyped-call]
    scheduler.setup_schedule()
    configured = settings.load(None, os.environ)
    each_tick = {
        message.task: message.options for _, message in tasks_on_tick(app, configured, clock_of(app, configured))
    }
    entries = {name: [entry.catch_up, entry.max_age] for name, entry in scheduler.schedule.items()}
    print(json.dumps({"entries": entries, "each_tick": each_tick}))


def main() -> None:
    """Read until the end of the input."""
    celery.commands["worker"].callback = print_worker
    celery.commands["beat"].callback = print_beat
    for line in sys.stdin:
        _, *arguments = shlex.split(line)
        celery(arguments, standalone_mode=False)


if __name__ == "__main__":
    main()
