"""Decides which reports a reporter sends and when, and sends them in a thread.

`ReportSender.step` sends a report if it is due, and returns the seconds until the next step. The sink is called without
a lock, so a slow store does not block the consumer. The thread ends with its reporter or with the process.
"""

import atexit
import logging
import threading
import weakref
from contextlib import suppress

from clocksvc.client.progress_tracker import ProgressTracker, Selection
from clocksvc.client.unknown_partitions import UnknownPartitionLog
from clocksvc.errors import ClocksvcError, Unavailable
from clocksvc.interfaces.progress import ReportSink
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.runtime.backoff import Backoff
from clocksvc.runtime.fork import PerProcess
from clocksvc.runtime.worker_thread import WorkerThread

logger = logging.getLogger("clocksvc.reporter")

REPEAT_ALL_S = 10.0
"""The interval at which all partitions are reported again. This restores the data of a store that lost them."""
REPEAT_SOON_S = 1.0
"""The delay before unknown partitions, local rejections, or an empty report for the clock's parameters are sent."""
AFTER_REJECTION_S = 0.1
"""The pause after the store rejected a timestamp that was valid locally. Without it, each record could cause a report.
"""
MAX_TIMESTAMPS_PER_REPORT = 1_000
AT_EXIT_S = 5.0
"""How long the interpreter waits at its end for reports that are not sent yet."""

_NEVER = float("inf")


class ReportSender:
    """Sends the progress of one consumer. One thread calls `step`; all other methods are thread-safe.

    Args:
        clock: the clock's name, for logs.
        sink: the destination of reports. It must not connect before the first report. `close` closes it.
        unknown_log: the log to which all answers are passed.
    """

    def __init__(
        self,
        clock: str,
        tracker: ProgressTracker,
        sink: ReportSink,
        time: Time,
        backoff: Backoff,
        unknown_log: UnknownPartitionLog,
    ) -> None:
        self.wake = threading.Event()
        self._clock, self._tracker, self._time = clock, tracker, time
        self._sink, self._unknown_log = sink, unknown_log
        self._backoff = backoff
        self._failure: type[Exception] | None = None
        self._retry_at = self._sent_at = -_NEVER
        self._repeat_at = time.monotonic() + REPEAT_ALL_S
        self._flush_changed = threading.Condition()
        # The numbers of the last flush that was requested, tried and done. A flush that is tried but not done waits for
        # the next attempt.
        self._flush_requested = self._flush_tried = self._flush_done = self._failures = 0

    def step(self) -> float:
        """Send what is due, and return the seconds until the next step. Blocks while the sink blocks. Never raises."""
        now = self._time.monotonic()
        selection = self._due_selection(now)
        if selection is not None:
            self._send(selection, now)
        return max(0.0, self._next_step_at() - self._time.monotonic())

    def flush(self, timeout_s: float, *, stepping: bool, keep_trying: bool) -> bool:
        """Wait until everything observed before this call is reported and answered; False after the timeout.

        Args:
            stepping: True to call `step` in this method, if no thread calls it.
            keep_trying: False to return after the first failed attempt; True to wait for further attempts.

        Raises:
            ReporterMisuse: the reporter is closed, or observes the wrong topic.
        """
        self._tracker.raise_if_disabled()
        if not self._tracker.has_unsent:
            return True
        with self._flush_changed:
            self._flush_requested += 1
            number, failures = self._flush_requested, self._failures
        self.wake.set()
        while stepping and self._flush_tried < number and self._tracker.misuse is None:
            self.step()
        with self._flush_changed:
            self._flush_changed.wait_for(
                lambda: (
                    self._flush_done >= number
                    or self._tracker.misuse
                    or (self._failures > failures and not keep_trying)
                ),
                timeout=0 if stepping else timeout_s,
            )
        self._tracker.raise_if_disabled()
        return self._flush_done >= number

    def close(self) -> None:
        """Close the sink. While a thread calls `step`, only this thread may call `close`."""
        self._sink.close()

    # -- when ---------------------------------------------------------------------------------------------------------

    def _due_selection(self, now: float) -> Selection | None:
        if self._tracker.misuse is not None:
            return None
        repeat = Selection.ALL if now >= self._repeat_at else Selection.UNSENT
        if self._flush_requested > self._flush_tried or (self._failure is not None and now >= self._retry_at):
            return repeat
        if self._failure is not None or now < self._next_step_at():
            return None
        if now >= self._repeat_soon_at() or now >= self._repeat_at:
            return repeat
        return Selection.CROSSED

    def _next_step_at(self) -> float:
        if self._tracker.misuse is not None:
            return _NEVER
        if self._flush_requested > self._flush_tried:
            return -_NEVER
        if self._failure is not None:
            return self._retry_at
        crossed_at = _NEVER
        if self._tracker.crossed and self._tracker.parameters is not None:
            crossed_at = self._sent_at + (AFTER_REJECTION_S if self._tracker.store_rejected else 0)
        return min(crossed_at, self._repeat_soon_at(), self._repeat_at)

    def _repeat_soon_at(self) -> float:
        tracker = self._tracker
        soon = tracker.parameters is None or tracker.unknown or bool(tracker.rejected)
        return self._sent_at + REPEAT_SOON_S if soon else _NEVER

    # -- what ---------------------------------------------------------------------------------------------------------

    def _send(self, selection: Selection, now: float) -> None:
        covered = 0 if self._tracker.parameters is None or selection is Selection.CROSSED else self._flush_requested
        self._flush_tried, self._sent_at = self._flush_requested, now
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_ALL_S
        try:
            self._report(selection)
        except Exception as error:  # no error may end the thread or the consumer
            self._failed(error)
        else:
            self._answered(covered)

    def _report(self, selection: Selection) -> None:
        items = self._tracker.select(selection)
        for start in range(0, max(1, len(items)), MAX_TIMESTAMPS_PER_REPORT):
            part = items[start : start + MAX_TIMESTAMPS_PER_REPORT]
            report = self._tracker.report(part)
            if report is None:
                return
            answer = self._sink.report(report)
            self._tracker.apply_answer(part, report, answer)
            self._unknown_log.record(report, answer, self._time.monotonic())

    def _answered(self, covered: int) -> None:
        if self._failure is not None:
            logger.info("reports are sent again", extra={"clock": self._clock})
        self._failure = None
        self._backoff.reset()
        self._unknown_log.log_changes(self._tracker.progress, self._time.monotonic())
        with self._flush_changed:
            self._flush_done = max(self._flush_done, covered)
            if not covered and self._tracker.parameters is not None:
                self._flush_tried = self._flush_done  # the parameters are known now, so waiting flushes can be tried
            self._flush_changed.notify_all()

    def _failed(self, error: Exception) -> None:
        if self._failure is not type(error):
            self._failure = type(error)
            level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
            unexpected = not isinstance(error, ClocksvcError)
            logger.log(level, "reports can't be sent: %s", error, extra={"clock": self._clock}, exc_info=unexpected)
        self._retry_at = self._time.monotonic() + self._backoff.next()
        with self._flush_changed:
            self._failures += 1
            self._flush_changed.notify_all()


class ReportThread:
    """Calls `step` of one sender until `stop`. Then it sends unsent reports, in one attempt, and closes the sink."""

    def __init__(self, sender: ReportSender, name: str) -> None:
        self._sender = sender
        self._name = name
        self._thread = WorkerThread(name, sender.step, log=logger, wake=sender.wake, finish=self._send_rest)
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
                self._sender.close()

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if it has not ended after `timeout_s`."""
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
