"""Errors at the start of a `celery` command: one message instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from clocksvc.errors import ClocksvcError


@contextmanager
def exit_with_message() -> Iterator[None]:
    """End the running `celery` command with the text of a ClocksvcError, and exit code 1.

    If no command runs, for example in a test or in a program that imports the app, the error is raised as it is.
    """
    try:
        yield
    except ClocksvcError as error:
        if click.get_current_context(silent=True) is None:
            raise
        # Celery's command line would print the traceback of any other exception, and would not end for some of them.
        raise SystemExit(f"clocksvc: {error}") from None
