"""Decides which reports of one topic are sent and when, and sends them.

`ReportSender.step` sends a report if it is due, and returns the seconds until the next step. The sink is called without
a lock, so a slow store does not block the consumer.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import TypeVar

from clocksvc.client.due_times import NEVER, NOW
from clocksvc.client.local_rejections import PendingRejection
from clocksvc.client.progress_tracker import ProgressTracker
from clocksvc.client.report_content import MAX_TIMESTAMPS_PER_REPORT, PendingTimestamp
from clocksvc.client.unknown_partitions import UnknownPartitionLog
from clocksvc.errors import ClocksvcError, RequestRejected, Unavailable
from clocksvc.interfaces.progress import ReportSink
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import Backoff

logger = logging.getLogger("clocksvc.reporter")
Item = TypeVar("Item")

REPEAT_ALL_S = 10.0
"""The longest time until a partition is reported again. This restores the data of a store that lost them. All
partitions are repeated at the same time, so that they need few reports."""
ASK_AGAIN_S = 1.0
"""The time between two empty reports, which ask for the clock's parameters. Once they are known, REPEAT_ALL_S."""


class ReportSender:
    """Sends the progress of one consumer. One thread calls `step`; all other methods are thread-safe.

    Args:
        clock: the clock's name, for logs.
        sink: the destination of reports. It must not connect before the first report.
        unknown_log: the log to which all answers are passed.
        wake: an event that is set when a step is due earlier than the last one returned.
    """

    def __init__(
        self,
        clock: str,
        tracker: ProgressTracker,
        sink: ReportSink,
        time: Time,
        backoff: Backoff,
        unknown_log: UnknownPartitionLog,
        wake: threading.Event,
    ) -> None:
        self._wake = wake
        self._clock, self._tracker, self._time = clock, tracker, time
        self._sink, self._unknown_log = sink, unknown_log
        self._backoff = backoff
        self._failure: type[Exception] | None = None
        self._failed_since = 0.0
        self._retry_at = self._ask_at = NOW
        self._repeat_at = time.monotonic() + REPEAT_ALL_S
        self._flush_changed = threading.Condition()
        # The numbers of the last flush that was requested, tried and done. A flush that is tried but not done waits for
        # the next attempt.
        self._flush_requested = self._flush_tried = self._flush_done = self._failures = 0

    def step(self) -> float:
        """Send what is due, and return the seconds until the next step. Blocks while the sink blocks. Never raises."""
        now = self._time.monotonic()
        if now >= self._next_step_at():
            self._send(now)
        return max(0.0, self._next_step_at() - self._time.monotonic())

    def flush(self, timeout_s: float, *, stepping: bool, keep_trying: bool) -> bool:
        """Wait until everything observed before this call is reported and answered; False after the timeout.

        Returns False at once if nothing can be reported, because the topic is not known.

        Args:
            stepping: True to call `step` in this method, if no thread calls it.
            keep_trying: False to return after the first failed attempt; True to wait for further attempts.

        Raises:
            ReporterMisuse: the reporter is closed.
        """
        tracker = self._tracker
        tracker.raise_if_closed()
        if not tracker.has_unsent:
            return True
        if tracker.topic_missing:
            return False
        with self._flush_changed:
            self._flush_requested += 1
            number, failures = self._flush_requested, self._failures
        self._wake.set()
        while stepping and self._flush_tried < number and not (tracker.closed or tracker.topic_missing):
            self.step()
        with self._flush_changed:
            self._flush_changed.wait_for(
                lambda: (
                    self._flush_done >= number
                    or tracker.closed
                    or tracker.topic_missing
                    or (self._failures > failures and not keep_trying)
                ),
                timeout=0 if stepping else timeout_s,
            )
        tracker.raise_if_closed()
        return self._flush_done >= number

    # -- when ---------------------------------------------------------------------------------------------------------

    def _next_step_at(self) -> float:
        tracker = self._tracker
        if tracker.closed:
            return NEVER
        if self._flush_requested > self._flush_tried:
            return NOW
        if self._failure is not None:
            return self._retry_at
        if not tracker.can_report:
            return self._ask_at
        return tracker.next_due_at

    def _advance_repeat(self, now: float) -> float:
        """Return the time of the next repetition of all partitions."""
        if now >= self._repeat_at:
            self._repeat_at += REPEAT_ALL_S * ((now - self._repeat_at) // REPEAT_ALL_S + 1)
        return self._repeat_at

    # -- what ---------------------------------------------------------------------------------------------------------

    def _send(self, now: float) -> None:
        tracker = self._tracker
        flushing = tracker.can_report and self._flush_requested > self._flush_done
        covered = self._flush_requested if flushing else 0
        self._flush_tried = self._flush_requested
        try:
            if tracker.can_report:
                self._report(now, flushing=flushing)
            else:
                self._exchange()
                self._ask_at = now + (ASK_AGAIN_S if tracker.parameters is None else REPEAT_ALL_S)
        except Exception as error:  # no error may end the thread or the consumer
            self._failed(error)
        else:
            self._answered(covered)

    def _report(self, now: float, *, flushing: bool) -> None:
        items = self._tracker.select(now, self._advance_repeat(now), unsent=flushing)
        answered = 0
        try:
            for part in _parts(items):
                self._exchange(part)
                answered += len(part)
        finally:
            self._tracker.mark_unanswered(items[answered:])
        rejected = self._tracker.select_rejections(now, unsent=flushing)
        self._report_rejections(rejected)
        if (flushing or self._tracker.must_ask(now)) and not (items or rejected):
            self._exchange()  # late records, or only to learn the global clock

    def _report_rejections(self, rejected: Sequence[PendingRejection]) -> None:
        # They have reports of their own, so that they do not prevent other partitions from being reported. They are
        # only counted and shown, so they are dropped if the service does not accept them.
        for part in _parts(rejected):
            try:
                self._exchange(rejected=part)
            except RequestRejected as error:
                text = "rejected timestamps can't be reported: clock %s: %s"
                logger.warning(text, self._clock, error, extra={"clock": self._clock})
            self._tracker.drop_rejections(part)

    def _exchange(self, items: Sequence[PendingTimestamp] = (), rejected: Sequence[PendingRejection] = ()) -> None:
        report = self._tracker.report(items, rejected)
        asked_at = self._time.monotonic()
        answer = self._sink.report(report)
        self._tracker.apply_answer(items, report, answer, asked_at)
        self._unknown_log.record(report, answer, self._time.monotonic())

    def _answered(self, covered: int) -> None:
        if self._failure is not None:
            after_s = self._time.monotonic() - self._failed_since
            text = "reports are sent again: clock %s, after %.0f s"
            logger.info(text, self._clock, after_s, extra={"clock": self._clock})
        self._failure = None
        self._backoff.reset()
        self._unknown_log.log_changes(self._tracker.progress, self._time.monotonic())
        with self._flush_changed:
            self._flush_done = max(self._flush_done, covered)
            if not covered and self._tracker.can_report:
                self._flush_tried = self._flush_done  # a flush that waited for the parameters can be tried now
            self._flush_changed.notify_all()

    def _failed(self, error: Exception) -> None:
        if self._failure is None:
            self._failed_since = self._time.monotonic()
        if self._failure is not type(error):
            self._failure = type(error)
            level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
            unexpected = not isinstance(error, ClocksvcError)
            text, extra = "reports can't be sent: clock %s: %s", {"clock": self._clock}
            logger.log(level, text, self._clock, error, extra=extra, exc_info=unexpected)
        self._retry_at = self._time.monotonic() + self._backoff.next()
        with self._flush_changed:
            self._failures += 1
            self._flush_changed.notify_all()


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), MAX_TIMESTAMPS_PER_REPORT):
        yield items[start : start + MAX_TIMESTAMPS_PER_REPORT]
