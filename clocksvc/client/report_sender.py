"""When a reporter sends what: its numbers' way to the store.

`step` does what is due and says how long to wait; it needs no thread of its own. Must never hold a lock while the sink
is asked: a slow store blocks no consumer.
"""

import logging
import threading

from clocksvc.backoff import Backoff
from clocksvc.client.progress_tracker import (
    ProgressTracker,
    Selection,
)
from clocksvc.client.unknown_partitions import UnknownPartitionLog
from clocksvc.errors import ClocksvcError, Unavailable
from clocksvc.interfaces.store import ReportSink
from clocksvc.interfaces.time import Time

logger = logging.getLogger("clocksvc.reporter")

REPEAT_ALL_S = 10.0
"""How often all is reported again: what was lost with a store is back after so long."""
REPEAT_SOON_S = 1.0
"""When to ask again for bounds, report unknown partitions again, and tell what was refused here."""
AFTER_REJECTION_S = 0.1
"""How long a store whose clock disagrees with ours is left alone: else each record could cause a report."""
READINGS_A_REPORT = 1_000

_NEVER = float("inf")


class ReportSender:
    """Sends one consumer's tracker. One thread steps; all else may be called from any thread.

    Args:
        clock: the clock's name, for logs.
        sink: this sender's own; it must connect no earlier than with the first report.
        unknown_log: is told what the store answers.
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
        self._flushing = threading.Condition()
        # Flushes are numbered; one that was tried and is not done waits for the next attempt.
        self._wanted = self._tried = self._done = self._failures = 0

    def step(self) -> float:
        """Send what is due, if anything is; how many seconds to wait at most before the next step. Never raises."""
        now = self._time.monotonic()
        selection = self._due_selection(now)
        if selection is not None:
            self._send(selection, now)
        return max(0.0, self._next_step_at() - self._time.monotonic())

    def flush(self, timeout_s: float, *, stepping: bool, keep_trying: bool) -> bool:
        """Report all that was observed before this call; True once it was answered, whatever the answer.

        Args:
            stepping: do the steps here, because no thread does.
            keep_trying: after a failed attempt wait for further ones until the time is up.
        """
        self._tracker.raise_if_disabled()
        if not self._tracker.has_unsent:
            return True
        with self._flushing:
            self._wanted += 1
            ticket, failures = self._wanted, self._failures
        self.wake.set()
        while stepping and self._tried < ticket and self._tracker.misuse is None:
            self.step()
        with self._flushing:
            self._flushing.wait_for(
                lambda: self._done >= ticket or self._tracker.misuse or (self._failures > failures and not keep_trying),
                timeout=0 if stepping else timeout_s,
            )
        self._tracker.raise_if_disabled()
        return self._done >= ticket

    def close(self) -> None:
        """Free the sink. Only the thread that steps may call this, or anyone after it has ended."""
        self._sink.close()

    # -- when -------------------------------------------------------------------------------------------------------

    def _due_selection(self, now: float) -> Selection | None:
        if self._tracker.misuse is not None:
            return None
        repeat = Selection.ALL if now >= self._repeat_at else Selection.UNSENT
        if self._wanted > self._tried or (self._failure is not None and now >= self._retry_at):
            return repeat
        if self._failure is not None or now < self._next_step_at():
            return None
        if now >= self._repeat_soon_at() or now >= self._repeat_at:
            return repeat
        return Selection.CROSSED

    def _next_step_at(self) -> float:
        if self._tracker.misuse is not None:
            return _NEVER
        if self._wanted > self._tried:
            return -_NEVER
        if self._failure is not None:
            return self._retry_at
        crossed_at = _NEVER
        if self._tracker.crossed and self._tracker.bounds is not None:
            crossed_at = self._sent_at + (AFTER_REJECTION_S if self._tracker.store_rejected else 0)
        return min(crossed_at, self._repeat_soon_at(), self._repeat_at)

    def _repeat_soon_at(self) -> float:
        tracker = self._tracker
        soon = tracker.bounds is None or tracker.unknown or bool(tracker.refusals)
        return self._sent_at + REPEAT_SOON_S if soon else _NEVER

    # -- what -------------------------------------------------------------------------------------------------------

    def _send(self, selection: Selection, now: float) -> None:
        covered = 0 if self._tracker.bounds is None or selection is Selection.CROSSED else self._wanted
        self._tried, self._sent_at = self._wanted, now
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_ALL_S
        try:
            self._report(selection)
        except Exception as error:  # whatever it is: the thread must live, and no consumer must break
            self._failed(error)
        else:
            self._answered(covered)

    def _report(self, selection: Selection) -> None:
        items = self._tracker.select(selection)
        for start in range(0, max(1, len(items)), READINGS_A_REPORT):
            part = items[start : start + READINGS_A_REPORT]
            report = self._tracker.report(part)
            if report is None:
                return
            answer = self._sink.report(report)
            self._tracker.apply_answer(part, report, answer)
            self._unknown_log.record(report, answer, self._time.monotonic())

    def _answered(self, covered: int) -> None:
        if self._failure is not None:
            logger.info("store back", extra={"clock": self._clock})
        self._failure = None
        self._backoff.reset()
        self._unknown_log.log_changes(self._tracker.progress, self._time.monotonic())
        with self._flushing:
            self._done = max(self._done, covered)
            if not covered and self._tracker.bounds is not None:
                self._tried = self._done  # the bounds were learned just now: flushes that wait are worth an attempt
            self._flushing.notify_all()

    def _failed(self, error: Exception) -> None:
        if self._failure is not type(error):
            self._failure = type(error)
            level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
            unexpected = not isinstance(error, ClocksvcError)
            logger.log(level, "store lost: %s", error, extra={"clock": self._clock}, exc_info=unexpected)
        self._retry_at = self._time.monotonic() + self._backoff.next()
        with self._flushing:
            self._failures += 1
            self._flushing.notify_all()
