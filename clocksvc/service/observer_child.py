"""The child process that observes committed offsets.

librdkafka aborts the whole process if requests about groups time out while a broker restarts. Therefore the observer is
not in the process that leads the clocks. `observer_process` has the other end of the connection, and starts another
child when this one ends.

The child ends at once when the connection is closed, so it does not outlive its parent.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NoReturn, Protocol

from clocksvc.committed.stats import ObserverStats
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.observer")

POLL_EVERY_S = 1.0
"""How often the observer looks which clocks are due. After each time, a message to the parent shows that it works."""
EXIT_FAILED = 70


@dataclass(frozen=True, slots=True)
class ChildStart:
    """The first message to the child.

    Attributes:
        log_level: the lowest level of log lines that the parent wants.
    """

    settings: Settings
    log_level: int


Sent = ObserverStats | logging.LogRecord
"""A message of the child: statistics, or a log line, which the parent logs."""


class Polled(Protocol):
    """What the loop drives. An Observer implements this."""

    @property
    def stats(self) -> ObserverStats:
        """The totals since it was created."""

    def poll(self, clocks: Collection[str]) -> None:
        """Poll those of these clocks that are due, and forget all others. Blocks for some seconds at most."""


class Assignment:
    """The logs that the parent leads. One thread sets them, another one waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._logs: frozenset[int] = frozenset()

    def set(self, logs: frozenset[int]) -> None:
        """Replace the logs, and end a wait."""
        self._logs = logs
        self._changed.set()

    def wait(self, timeout_s: float) -> frozenset[int]:
        """Return the logs after a change, or after `timeout_s`."""
        self._changed.wait(timeout_s)
        self._changed.clear()
        return self._logs


def main(descriptor: int) -> NoReturn:
    """Observe until the connection is closed. The main thread reads the connection, another one observes.

    Args:
        descriptor: the file descriptor of this end of the connection.
    """
    connection = Connection(descriptor)
    # Signals that a terminal or a service manager sends to all processes of a group: the parent closes the connection.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    assignment, sender = Assignment(), _Sender(connection)
    try:
        start: ChildStart = connection.recv()
        logging.getLogger().addHandler(sender)
        logging.getLogger().setLevel(start.log_level)
        logging.captureWarnings(True)
        # The parent follows the same ticks, and logs the same lines about them.
        logging.getLogger("clocksvc.feed").setLevel(logging.ERROR)
        threading.Thread(target=_observe, args=(start, sender, assignment), name="observer", daemon=True).start()
        while True:
            assignment.set(connection.recv())
    except (EOFError, OSError):
        # Without the usual end of Python, which would wait for a call of librdkafka.
        os._exit(0)


class _Sender(logging.Handler):
    """Sends statistics and log lines to the parent. Several threads may use it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: Sent) -> None:
        """Send a message. Blocks while the parent does not receive. Raises OSError if the connection is closed."""
        with self._sending:
            self._connection.send(message)

    def emit(self, record: logging.LogRecord) -> None:
        sent = copy(record)
        # An exception and the arguments of a message may not be picklable. Their text is.
        sent.msg, sent.args, sent.exc_info, sent.exc_text = self.format(record), None, None, None
        try:
            self.send(sent)
        except Exception:
            self.handleError(record)


def _observe(start: ChildStart, sender: "_Sender", assignment: Assignment) -> None:
    """Observe for ever. After an unexpected exception, the process ends: its successor begins without its state."""
    # Imported here, because it imports `bootstrap`, which imports this module by way of `observer_process`.
    from clocksvc.service.observer_bootstrap import open_observer

    try:
        opened = open_observer(start.settings)
        observe(opened.observer, opened.logs, assignment, sender.send, SystemTime())
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)
    except BaseException:
        logger.exception("unexpected error, the observer of committed offsets ends and is started again")
        os._exit(EXIT_FAILED)


def observe(
    observer: Polled,
    logs: Mapping[str, int],
    assignment: Assignment,
    send: Callable[[ObserverStats], None],
    time: Time,
) -> NoReturn:
    """Poll the clocks of the assigned logs once a second, and send the statistics after each poll.

    Args:
        logs: the log of each clock.

    Raises:
        OSError: by `send`.
    """
    assigned = assignment.wait(POLL_EVERY_S)
    while True:
        began = time.monotonic()
        observer.poll([name for name, log in logs.items() if log in assigned])
        send(observer.stats)
        assigned = assignment.wait(max(0.0, POLL_EVERY_S - (time.monotonic() - began)))
