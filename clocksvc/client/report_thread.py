"""The thread of a reporter. It ends with its reporter or with the process."""

import atexit
import logging
import threading
import weakref
from contextlib import suppress

from clocksvc.client.topic_senders import TopicSenders
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime
from clocksvc.runtime.fork import PerProcess
from clocksvc.runtime.worker_thread import WorkerThread

logger = logging.getLogger("clocksvc.reporter")

AT_EXIT_S = 5.0
"""How long the interpreter waits at its end for reports that are not sent yet."""


class ReportThread:
    """Calls `step` until `stop`. Then it sends unsent reports, in one attempt, and closes the sink."""

    def __init__(self, senders: TopicSenders, name: str) -> None:
        self._senders = senders
        self._name = name
        self._thread = WorkerThread(name, senders.step, log=logger, wake=senders.wake, finish=self._send_rest)
        self._lock = threading.Lock()
        self._started = False

    def start(self) -> None:
        """Start the thread, unless it was started or stopped before. If this fails, call it again."""
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
        """Ask the thread to send unsent reports, in one attempt, to close the sink, and to end. Returns at once."""
        with self._lock:
            self._thread.stop()
            if not self._started:
                self._started = True
                self._senders.close()

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if it has not ended after `timeout_s`."""
        return self._thread.join(timeout_s)

    def _send_rest(self) -> None:
        with suppress(ClocksvcError):
            self._senders.flush(0, stepping=True, keep_trying=False)
        self._senders.close()


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
