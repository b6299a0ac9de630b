"""Runs the observer of committed offsets in a child process, and starts it again when it ends.

The child observes the clocks whose logs this process leads. Two replicas can observe a clock for a moment. That changes
nothing: the reports of both are true, and the store keeps the higher ones.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Protocol

from clocksvc.committed.stats import ObserverStats
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import CHILD, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service.observer_child import ChildStart, Sent
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.observer")

CHECK_EVERY_S = 0.5
STUCK_S = 60.0
"""A child that has sent nothing for this time is killed. It sends statistics after each poll, which takes seconds."""
STABLE_S = 60.0
"""After this time without an end, the back-off begins again with its first delay."""
END_S = 0.5
"""How long `finish` waits for the child's end before it kills it."""


class Child(Protocol):
    """A started child. `subprocess.Popen` implements this."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """Send SIGKILL."""


def start_child() -> tuple[Child, Connection]:
    """Start a child, and return it with the connection to it.

    The child has the import path of this process, and its standard error. It does not inherit other files.

    Raises:
        OSError: the system can't start a process.
    """
    ours, theirs = Pipe()
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__package__}.observer_child import main; main({theirs.fileno()})"],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "PYTHONPATH": path},
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return child, ours


class ObserverProcess:
    """Keeps one child running while this process lives. A LeaderObserver, so that it knows the logs of this process.

    Args:
        start: starts a child.
    """

    def __init__(
        self, settings: Settings, time: Time, start: Callable[[], tuple[Child, Connection]] = start_child
    ) -> None:
        self._settings, self._time, self._start = settings, time, start
        self._lock = threading.Lock()
        self._logs: frozenset[int] = frozenset()
        self._ended = ObserverStats()
        self._present = ObserverStats()
        self._child: Child | None = None
        self._connection: Connection | None = None
        self._sent: frozenset[int] | None = None
        self._backoff = Backoff(CHILD)
        self._started_at = self._received_at = 0.0
        self._wake = threading.Event()
        self._thread = WorkerThread("observer-process", self._check, log=logger, wake=self._wake, finish=self._finish)

    @property
    def pid(self) -> int | None:
        """The process id of the child; None if none runs."""
        child = self._child
        return None if child is None else child.pid

    def stats(self) -> ObserverStats:
        """Return the totals of all children since this process started. Any thread may call this."""
        with self._lock:
            return self._ended.plus(self._present)

    def leading(self, log: int, yes: bool) -> None:
        with self._lock:
            self._logs = self._logs | {log} if yes else self._logs - {log}
        self._wake.set()

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass

    def start(self) -> None:
        """Start the thread that starts the child. Returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the child. Returns at once; `join` waits for the end, for which a child has END_S."""
        self._thread.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait until the child has ended; False if it has not ended after `timeout_s`."""
        return self._thread.join(timeout_s)

    def _check(self) -> float:
        """Start the child if none runs, send it the logs, and receive its statistics."""
        if self._child is None or self._connection is None:
            return self._begin()
        try:
            self._exchange(self._connection)
        except (EOFError, OSError):
            self._connection.close()  # which ends the child, if it runs
            return self._end(self._child)
        if self._child.poll() is not None:
            return self._end(self._child)
        if self._time.monotonic() - self._received_at > STUCK_S:
            logger.error(
                "observer of committed offsets does not work: no poll has ended in %d s, it is killed", STUCK_S
            )
            self._child.kill()
            return self._end(self._child)
        return CHECK_EVERY_S

    def _begin(self) -> float:
        try:
            self._child, self._connection = self._start()
        except OSError as error:
            wait_s = self._backoff.next()
            logger.error("observer of committed offsets can't be started, next attempt in %.1f s: %s", wait_s, error)
            return wait_s
        self._sent = None
        self._started_at = self._received_at = self._time.monotonic()
        with suppress(OSError):  # it has ended already, and the next check finds that
            self._connection.send(ChildStart(self._settings, logger.getEffectiveLevel()))
        logger.info("observer of committed offsets started, process %d", self._child.pid)
        return 0.0

    def _exchange(self, connection: Connection) -> None:
        logs = self._logs
        if logs != self._sent:
            connection.send(logs)
            self._sent = logs
        while connection.poll():
            message: Sent = connection.recv()
            if isinstance(message, logging.LogRecord):
                logging.getLogger(message.name).handle(message)
                continue
            self._received_at = self._time.monotonic()
            with self._lock:
                self._present = message

    def _end(self, child: Child) -> float:
        """Note the end of the child. Return the seconds after which the next one is started."""
        code = _ended_within(child, END_S)
        if self._connection is not None:
            self._connection.close()
        self._child = self._connection = None
        with self._lock:
            self._ended = self._ended.plus(self._present).plus(ObserverStats(restarts=1))
            self._present = ObserverStats()
        if self._time.monotonic() - self._started_at >= STABLE_S:
            self._backoff.reset()
        wait_s = self._backoff.next()
        how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
        logger.warning("observer of committed offsets has ended %s, it is started again in %.1f s", how, wait_s)
        return wait_s

    def _finish(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            _ended_within(self._child, END_S)
            self._child = None


def _ended_within(child: Child, seconds: float) -> int:
    """Return the exit code of a child whose connection is closed. It is killed if it does not end in time."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
