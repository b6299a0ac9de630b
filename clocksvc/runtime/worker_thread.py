"""A thread that calls one function repeatedly until it is stopped. An unexpected exception does not end the thread."""

import logging
import threading
from collections.abc import Callable

from clocksvc.runtime.backoff import CRASH, Backoff


class WorkerThread:
    """Calls `body` in a thread, repeatedly, until `stop`.

    `body` handles the errors that it expects. Any other exception is logged with its traceback and with the value of
    `crashes`. Then `on_crash` is called to reset the state of `body`, and the thread continues after a back-off
    (`backoff.CRASH`).

    The thread is a daemon, so a call that blocks for ever does not keep the process alive. It does not exist in a child
    process after a fork. The child must create a new WorkerThread (see `fork.after_fork`).

    Attributes:
        crashes: the number of unexpected exceptions since the thread was created.

    Args:
        name: the thread's name, which is also in its log lines.
        body: the function that is called repeatedly. It returns the seconds to wait before the next call, or None to
            end the thread.
        log: the logger for exceptions.
        extra: further fields for these log lines.
        wake: an event that ends the wait between two calls when it is set. It is cleared before each call. It does not
            end the back-off after an exception.
        on_crash: called in the thread after an unexpected exception, before the back-off.
        finish: called in the thread when it ends.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[], float | None],
        *,
        log: logging.Logger,
        extra: dict[str, str] | None = None,
        wake: threading.Event | None = None,
        on_crash: Callable[[], None] | None = None,
        finish: Callable[[], None] | None = None,
    ) -> None:
        self.crashes = 0
        self._body, self._on_crash, self._finish = body, on_crash, finish
        self._log, self._extra = log, {"worker": name, **(extra or {})}
        self._stopping = threading.Event()
        self._wake = self._stopping if wake is None else wake
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread. This must be called at most once.

        Raises:
            RuntimeError: the thread was started before, or the system can't create another thread.
        """
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the present call of `body`. Returns at once; `join` waits for the end.

        It does not acquire locks of the caller, so signal handlers may call it.
        """
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end for at most `timeout_s`; True if it has ended or was never started."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        backoff = Backoff(CRASH)
        while not self._stopping.is_set():
            if self._wake is not self._stopping:
                self._wake.clear()
            try:
                wait_s = self._body()
            except Exception:
                self._crashed("unexpected error, the thread continues")
                self._guarded(self._on_crash)
                self._stopping.wait(backoff.next())
                continue
            backoff.reset()
            if wait_s is None:
                break
            # `stop` may have set the event `wake` before it was cleared above.
            if wait_s > 0 and not self._stopping.is_set():
                self._wake.wait(min(wait_s, threading.TIMEOUT_MAX))
        self._guarded(self._finish)

    def _guarded(self, call: Callable[[], None] | None) -> None:
        if call is not None:
            try:
                call()
            except Exception:
                self._crashed("unexpected error while the thread was reset or ended")

    def _crashed(self, message: str) -> None:
        self.crashes += 1
        self._log.exception(message, extra={**self._extra, "crashes": self.crashes})
