"""Runs flushes in threads, so that the next batch is filled meanwhile."""

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol


class FinishedFlush(NamedTuple):
    """The outcome of a call: its result, or the exception that it raised."""

    flush_id: int
    result: object
    error: BaseException | None


class FlushExecutor(Protocol):
    """Runs calls beside the consumer's loop. All methods are called from one thread."""

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        """Run a call. Does not block."""

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        """Return the outcomes that are new. Blocks for up to `timeout_s` until there is at least one."""

    def stack(self, flush_id: int) -> str:
        """Return the present stack of a call as Python prints it; "" if it is not known."""

    def close(self) -> None:
        """End the threads after their present call. Does not block: a call that hangs does not delay the process."""


class FlushThreads:
    """A fixed number of threads. They are daemons, so a flush that hangs does not keep the process alive."""

    def __init__(self, threads: int) -> None:
        self._calls: queue.SimpleQueue[tuple[int, Callable[[], object]] | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[FinishedFlush] = queue.SimpleQueue()
        self._running: dict[int, int] = {}
        self._threads = [
            threading.Thread(target=self._run, name=f"clocksvc-flush-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]
        self._started = False

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        self._calls.put((flush_id, call))

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        found: list[FinishedFlush] = []
        try:
            found.append(self._finished.get(timeout_s > 0, timeout_s))
            while True:
                found.append(self._finished.get_nowait())
        except queue.Empty:
            return found

    def stack(self, flush_id: int) -> str:
        frame = sys._current_frames().get(self._running.get(flush_id, -1))
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def close(self) -> None:
        for _ in self._threads:
            self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            flush_id, call = work
            self._running[flush_id] = threading.get_ident()
            try:
                outcome = FinishedFlush(flush_id, call(), None)
            except BaseException as error:  # a thread that ends would lose the outcome, and the batch would never end
                outcome = FinishedFlush(flush_id, None, error)
            del self._running[flush_id], work, call
            self._finished.put(outcome)
