"""Errors that end a `celery` command: one message instead of a traceback."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from celery.utils.log import LoggingProxy

from clocksvc.errors import ClocksvcError

logger = logging.getLogger("clocksvc.dispatcher")


@contextmanager
def exit_with_message() -> Iterator[None]:
    """End the running `celery` command with the text of a ClocksvcError, and exit code 1.

    The text is a CRITICAL log line if Celery has redirected stderr to its log, and is written to stderr otherwise.
    If no command runs, for example in a test or in a program that imports the app, the error is raised as it is.
    """
    try:
        yield
    except ClocksvcError as error:
        if click.get_current_context(silent=True) is None:
            raise
        # Celery's command line would print the traceback of any other exception, and would not end for some of them.
        if isinstance(sys.stderr, LoggingProxy):  # it logs at WARNING, which --loglevel may hide
            logger.critical("clocksvc: %s", error)
            raise SystemExit(1) from None
        raise SystemExit(f"clocksvc: {error}") from None
