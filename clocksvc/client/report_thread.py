"""The thread that steps a ReportSender, and what happens to it when its reporter or the whole process ends."""

import atexit
import logging
import threading
import weakref
from contextlib import suppress

from clocksvc.client.report_sender import ReportSender
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime
from clocksvc.runtime.fork import PerProcess
from clocksvc.runtime.worker_thread import WorkerThread

logger = logging.getLogger("clocksvc.reporter")

AT_EXIT_S = 5.0
"""How long the end of the interpreter waits for reports that are not sent yet."""


class ReportThread:
    """Steps one sender until it is stopped; then sends what is left, in one attempt, and closes the sink."""

    def __init__(self, sender: ReportSender, name: str) -> None:
        self._sender = sender
        self._name = name
        self._thread = WorkerThread(name, sender.step, log=logger, wake=sender.wake, finish=self._send_rest)
        self._lock = threading.Lock()
        self._started = False

    def start(self) -> None:
        """Start, unless it was started or stopped before. If the system has no more threads, the next call retries."""
        if self._started:
            return
        with self._lock:
            if self._started:
                return
            try:
                self._thread.start()
            except RuntimeError as error:
                logger.error("reports can't be sent: %s", error, extra={"worker": self._name})
                return
            self._started = True
            _running.get().add(self)

    def stop(self) -> None:
        """Send what is unsent, in one attempt, close the sink and end. Does not wait."""
        with self._lock:
            self._thread.stop()
            if not self._started:
                self._started = True
                self._sender.close()

    def join(self, timeout_s: float) -> bool:
        """Wait until it has ended; False if that took longer."""
        return self._thread.join(timeout_s)

    def _send_rest(self) -> None:
        with suppress(ClocksvcError):
            self._sender.flush(0, stepping=True, keep_trying=False)
        self._sender.close()


_running: "PerProcess[weakref.WeakSet[ReportThread]]" = PerProcess(weakref.WeakSet)


def _stop_all() -> None:
    time = SystemTime()
    deadline = time.monotonic() + AT_EXIT_S
    threads = list(_running.get())
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(deadline - time.monotonic())


atexit.register(_stop_all)
