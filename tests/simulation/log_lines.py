"""The product's log in a simulation: counted, and searched for unexpected exceptions."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class LogLines(logging.Handler):
    """Counts the product's log lines by message, without formatting them.

    Attributes:
        errors: unexpected exceptions that the product has caught.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[str(record.msg)] += 1
        if record.levelno >= logging.ERROR and record.exc_info and "Injected" not in str(record.exc_info[0]):
            self.errors.append(f"{record.msg}: {record.exc_info[1]!r}")

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Count the product's log lines, also if logging is disabled, for the duration of the block."""
        logger = logging.getLogger("clocksvc")
        before = (logger.level, logger.propagate, logging.root.manager.disable)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logging.disable(logging.NOTSET)
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(before[0])
            logger.propagate = before[1]
            logging.disable(before[2])
