"""The thread that steps a sender, and what becomes of it when its reporter, or the whole process, ends."""

import atexit
import logging
import threading
import weakref
from contextlib import suppress

from clocksvc.client.report_sender import ReportSender
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime

logger = logging.getLogger("clocksvc.reporter")

AT_EXIT_S = 5.0
"""How long the end of the interpreter waits for what is still unsent."""


class ReportThread:
    """Steps one sender until it is stopped. A daemon, so that a store that hangs keeps no process alive."""

    def __init__(self, sender: ReportSender, name: str) -> None:
        self._sender = sender
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._begun = False

    def start(self) -> None:
        """Start, unless it was started or stopped before. Where no thread can be had, the next call tries again."""
        if self._begun:
            return
        with self._lock:
            if self._begun:
                return
            try:
                self._thread.start()
            except RuntimeError as error:
                logger.error("reports can't be sent: %s", error, extra={"thread": self._thread.name})
                return
            self._begun = True
            _running.add(self)

    def stop(self) -> None:
        """Let it try once more to send what is unsent, free the sink, and end. Does not wait."""
        with self._lock:
            self._stopping = True
            if not self._begun:
                self._begun = True
                self._sender.close()
        self._sender.wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until it has ended; False when the time was up before."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        sender = self._sender
        while not self._stopping:
            sender.wake.clear()
            wait_s = sender.step()
            if not self._stopping:
                sender.wake.wait(min(wait_s, threading.TIMEOUT_MAX))
        with suppress(ClocksvcError):
            sender.flush(0, stepping=True, keep_trying=False)
        sender.close()


_running: "weakref.WeakSet[ReportThread]" = weakref.WeakSet()


def forget_threads() -> None:
    """In a child after a fork: none of the parent's threads lives here."""
    global _running
    _running = weakref.WeakSet()


def _finish() -> None:
    time = SystemTime()
    deadline = time.monotonic() + AT_EXIT_S
    threads = list(_running)
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(deadline - time.monotonic())


atexit.register(_finish)
