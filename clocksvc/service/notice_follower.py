"""Follows the notices of all clocks in one thread, and shows the new ticks in the feeds.

Notices are hints. If some may have been missed, the streams of all clocks are read. Each stream is read at least every
5 s. The streams of a log are read together, with one call to the store.
"""

import logging
from collections.abc import Collection, Iterable

from clocksvc.clock.logs import group_by_log, log_of
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReads, StreamTail
from clocksvc.interfaces.notices import NoticeReader
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import FEED, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service.tick_feed import READ_EVERY_S, RETRY_EVERY_S, TickFeed

logger = logging.getLogger("clocksvc.feed")

MAX_WAIT_S = 1.0
"""The longest time that one read of the notices blocks. `stop` ends it sooner if the store answers."""
_MAX_STEPS = 50
"""How many feeds are stepped between two reads of the notices, so that clocks with new ticks do not wait for all
others."""
_MAX_TICKS_PER_READ = 20_000
_MAX_TICKS, _MIN_TICKS = 1_000, 10
"""A read of the streams of all clocks returns at most `_MAX_TICKS_PER_READ` ticks. Each clock has an equal share
between these limits."""


class NoticeFollower:
    """Keeps the feeds of one process up to date.

    Args:
        notices: follows the notices of the feeds' clocks. It is closed when the thread ends.
        reads: reads the streams of many clocks. If that is not enough for a feed, `TickFeed.step` reads its stream.
    """

    def __init__(self, feeds: Iterable[TickFeed], notices: NoticeReader, reads: ClockReads, time: Time) -> None:
        self._feeds = {feed.clock: feed for feed in feeds}
        self._notices = notices
        self._reads = reads
        self._time = time
        self._logs = group_by_log(self._feeds)
        self._due_at = dict.fromkeys(self._logs, float("-inf"))
        self._to_step: dict[str, None] = {}  # clocks whose feeds must be stepped, in order
        self._limit = max(_MIN_TICKS, min(_MAX_TICKS, _MAX_TICKS_PER_READ // max(1, len(self._feeds))))
        self._backoff = Backoff(FEED)
        self._stopping = False
        self._thread = WorkerThread(
            "notices", self._step_and_back_off, log=logger, on_crash=self._mark_failed, finish=notices.close
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. Returns at once; `join` waits for the end."""
        self._stopping = True
        self._thread.stop()
        self._notices.close()  # a read that blocks returns sooner

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if it has not ended after `timeout_s`."""
        return self._thread.join(timeout_s)

    def step(self, timeout_s: float = MAX_WAIT_S) -> bool:
        """Read the streams of noticed clocks, and of the logs that are due. Blocks for at most `timeout_s` without
        notices.

        Returns:
            False if the store did not answer for one of them.
        """
        answered, noticed = self._read_notices(timeout_s)
        now = self._time.monotonic()
        due = [log for log, due_at in self._due_at.items() if due_at <= now or noticed is None]
        for number, log in enumerate(due, start=1):
            # The next reads of these logs are spread over READ_EVERY_S, so that each of them is short.
            self._due_at[log] = now + READ_EVERY_S * number / len(due)
        failed = self._read_streams(noticed or (), due)
        failed |= self._step_feeds(failed)
        for log in failed:
            self._read_soon(log)
        return answered and not failed

    def _read_notices(self, timeout_s: float) -> tuple[bool, Collection[str] | None]:
        """Return whether the store answered, and the noticed clocks; None if some notices may have been missed."""
        due_s = min(self._due_at.values(), default=float("inf")) - self._time.monotonic()
        try:
            return True, self._notices.read(0.0 if self._to_step else max(0.0, min(timeout_s, due_s)))
        except StoreUnavailable:
            return False, None

    def _read_streams(self, noticed: Iterable[str], due: Iterable[int]) -> set[int]:
        """Read the streams of the noticed clocks and of all clocks of the logs that are due.

        Returns:
            The logs for which the store did not answer.
        """
        clocks = dict.fromkeys(clock for clock in noticed if clock in self._feeds)
        first, failed = set(clocks), set[int]()
        clocks |= dict.fromkeys(clock for log in due for clock in self._logs[log])
        tails = (
            self._reads.tails({clock: self._feeds[clock].cursor_ms for clock in clocks}, self._limit) if clocks else {}
        )
        to_step: dict[str, None] = {}
        for log, names in group_by_log(clocks).items():
            if all(isinstance(tails[name], StoreUnavailable) for name in names):
                failed.add(log)
                for name in names:
                    self._feeds[name].mark_failed()
                continue
            to_step |= dict.fromkeys(name for name in names if not self._accept(self._feeds[name], tails[name]))
        before = {clock: None for clock in to_step if clock in first}
        self._to_step = before | self._to_step | to_step
        return failed

    def _accept(self, feed: TickFeed, tail: StreamTail | StoreUnavailable) -> bool:
        """Show a stream's tail. False if the feed must be stepped."""
        if isinstance(tail, StoreUnavailable) or not feed.accept(tail, self._limit):
            return False
        if feed.rebuilding:
            self._read_soon(log_of(feed.clock))
        return True

    def _step_feeds(self, failed: Collection[int]) -> set[int]:
        """Step some of the feeds that need it. Returns the logs for which the store did not answer."""
        found = set[int]()
        for clock in [*self._to_step][:_MAX_STEPS]:
            if self._stopping:
                break
            del self._to_step[clock]
            feed, log = self._feeds[clock], log_of(clock)
            # The clocks of a log are on one server. If it hangs, each attempt takes as long as the store's timeout.
            if log in failed or log in found:
                feed.mark_failed()
            elif not self._step_feed(feed):
                found.add(log)
        return found

    def _step_feed(self, feed: TickFeed) -> bool:
        try:
            wait_s = feed.step()
        except Exception:
            # One clock's unreadable stream must not stop the other clocks.
            logger.exception("unexpected error, the feed is read again", extra={"clock": feed.clock})
            feed.mark_failed()
            return True
        if wait_s <= 0:
            self._to_step[feed.clock] = None
        elif wait_s < READ_EVERY_S:
            self._read_soon(log_of(feed.clock))
        return feed.store_ok

    def _read_soon(self, log: int) -> None:
        self._due_at[log] = min(self._due_at[log], self._time.monotonic() + RETRY_EVERY_S)

    def _step_and_back_off(self) -> float:
        if self.step():
            self._backoff.reset()
            return 0.0
        return self._backoff.next()

    def _mark_failed(self) -> None:
        for feed in self._feeds.values():
            feed.mark_failed()
