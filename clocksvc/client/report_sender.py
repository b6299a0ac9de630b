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

REPEAT_S = 10.0
"""How often all is reported again: what was lost with a store is back after so long."""
SOON_S = 1.0
"""When to ask again for bounds, report unknown partitions again, and tell what was refused here."""
AFTER_DOUBT_S = 0.1
"""How long a store whose clock disagrees with ours is left alone: else each record could cause a report."""
READINGS_A_REPORT = 1_000

_NEVER = float("inf")


class ReportSender:
    """Sends one consumer's numbers. One thread steps; all else may be called from any thread.

    Args:
        clock: the clock's name, for logs.
        sink: this sender's own; it must connect no earlier than with the first report.
        unknowns: is told what the store answers.
    """

    def __init__(
        self,
        clock: str,
        numbers: ProgressTracker,
        sink: ReportSink,
        time: Time,
        backoff: Backoff,
        unknowns: UnknownPartitionLog,
    ) -> None:
        self.wake = threading.Event()
        self._clock, self._numbers, self._time = clock, numbers, time
        self._sink, self._unknowns = sink, unknowns
        self._backoff = backoff
        self._failure: type[Exception] | None = None
        self._retry_at = self._sent_at = -_NEVER
        self._repeat_at = time.monotonic() + REPEAT_S
        self._flushing = threading.Condition()
        # Flushes are numbered; one that was tried and is not done waits for the next attempt.
        self._wanted = self._tried = self._done = self._failures = 0

    def step(self) -> float:
        """Send what is due, if anything is; how many seconds to wait at most before the next step. Never raises."""
        now = self._time.monotonic()
        selection = self._due(now)
        if selection is not None:
            self._send(selection, now)
        return max(0.0, self._next_at() - self._time.monotonic())

    def flush(self, timeout_s: float, *, stepping: bool, insist: bool) -> bool:
        """Report all that was observed before this call; True once it was answered, whatever the answer.

        Args:
            stepping: do the steps here, because no thread does.
            insist: after a failed attempt wait for further ones until the time is up.
        """
        self._numbers.check()
        if not self._numbers.anything_untold:
            return True
        with self._flushing:
            self._wanted += 1
            ticket, failures = self._wanted, self._failures
        self.wake.set()
        while stepping and self._tried < ticket and self._numbers.misuse is None:
            self.step()
        with self._flushing:
            self._flushing.wait_for(
                lambda: self._done >= ticket or self._numbers.misuse or (self._failures > failures and not insist),
                timeout=0 if stepping else timeout_s,
            )
        self._numbers.check()
        return self._done >= ticket

    def close(self) -> None:
        """Free the sink. Only the thread that steps may call this, or anyone after it has ended."""
        self._sink.close()

    # -- when -------------------------------------------------------------------------------------------------------

    def _due(self, now: float) -> Selection | None:
        if self._numbers.misuse is not None:
            return None
        repeat = Selection.ALL if now >= self._repeat_at else Selection.UNSETTLED
        if self._wanted > self._tried or (self._failure is not None and now >= self._retry_at):
            return repeat
        if self._failure is not None or now < self._next_at():
            return None
        if now >= self._soon_at() or now >= self._repeat_at:
            return repeat
        return Selection.CROSSED

    def _next_at(self) -> float:
        if self._numbers.misuse is not None:
            return _NEVER
        if self._wanted > self._tried:
            return -_NEVER
        if self._failure is not None:
            return self._retry_at
        crossed_at = _NEVER
        if self._numbers.crossed and self._numbers.bounds is not None:
            crossed_at = self._sent_at + (AFTER_DOUBT_S if self._numbers.doubted else 0)
        return min(crossed_at, self._soon_at(), self._repeat_at)

    def _soon_at(self) -> float:
        numbers = self._numbers
        soon = numbers.bounds is None or numbers.unknown or bool(numbers.refusals)
        return self._sent_at + SOON_S if soon else _NEVER

    # -- what -------------------------------------------------------------------------------------------------------

    def _send(self, selection: Selection, now: float) -> None:
        covered = 0 if self._numbers.bounds is None or selection is Selection.CROSSED else self._wanted
        self._tried, self._sent_at = self._wanted, now
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_S
        try:
            self._report(selection)
        except Exception as error:  # whatever it is: the thread must live, and no consumer must break
            self._failed(error)
        else:
            self._answered(covered)

    def _report(self, selection: Selection) -> None:
        items = self._numbers.select(selection)
        for start in range(0, max(1, len(items)), READINGS_A_REPORT):
            part = items[start : start + READINGS_A_REPORT]
            report = self._numbers.report(part)
            if report is None:
                return
            answer = self._sink.report(report)
            self._numbers.settle(part, report, answer)
            self._unknowns.heard(report, answer, self._time.monotonic())

    def _answered(self, covered: int) -> None:
        if self._failure is not None:
            logger.info("store back", extra={"clock": self._clock})
        self._failure = None
        self._backoff.reset()
        self._unknowns.look(self._numbers.progress, self._time.monotonic())
        with self._flushing:
            self._done = max(self._done, covered)
            if not covered and self._numbers.bounds is not None:
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
