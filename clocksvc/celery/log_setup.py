"""Log lines of Celery's programs: the service's own format, at the level and into the file that Celery is told."""

import logging
from typing import Any

from celery.app.log import Logging

from clocksvc.service.log_format import (
    JsonFormatter,
    TextFormatter,
)


class Lines(Logging):  # type: ignore[misc]  # Celery carries no types
    """Celery's log set-up; readable lines on a terminal, JSON lines elsewhere."""

    def setup_handlers(self, logger: logging.Logger, *args: Any, **kwargs: Any) -> logging.Logger:
        """Celery's hook: give a logger its handler."""
        super().setup_handlers(logger, *args, **kwargs)
        for handler in logger.handlers:
            stream = getattr(handler, "stream", None)
            on_terminal = stream is not None and stream.isatty()
            handler.setFormatter(TextFormatter() if on_terminal else JsonFormatter())
        return logger
