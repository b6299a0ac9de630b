"""Follows the notices of all clocks in one thread, and steps the feeds of the clocks that have new ticks.

Notices are hints. If some may have been missed, all feeds are stepped; and each feed is stepped at least every 5 s.
"""

import logging
from collections.abc import Iterable

from clocksvc.clock.logs import log_of
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.notices import NoticeReader
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import FEED, Backoff
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service.tick_feed import READ_EVERY_S, TickFeed

logger = logging.getLogger("clocksvc.feed")

MAX_WAIT_S = 1.0
"""The longest time that one read of the notices blocks, and therefore the time that `stop` takes if the store answers.
"""
_MAX_OVERDUE = 50
"""How many feeds without a notice are stepped between two reads of the notices, so that clocks with new ticks do not
wait for all others."""


class NoticeFollower:
    """Steps the feeds of one process.

    Args:
        notices: follows the notices of the feeds' clocks. It is closed when the thread ends.
    """

    def __init__(self, feeds: Iterable[TickFeed], notices: NoticeReader, time: Time) -> None:
        self._feeds = {feed.clock: feed for feed in feeds}
        self._notices = notices
        self._time = time
        self._due_at = dict.fromkeys(self._feeds, float("-inf"))
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

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if it has not ended after `timeout_s`."""
        return self._thread.join(timeout_s)

    def step(self, timeout_s: float = MAX_WAIT_S) -> bool:
        """Step the feeds of noticed clocks and the feeds that are due. Blocks for at most `timeout_s` without notices.

        Returns:
            False if the store did not answer for one of them.
        """
        answered, noticed = self._read(timeout_s)
        failed = set[int]()
        for feed in [*noticed, *self._overdue(noticed)]:
            if self._stopping:
                break
            # The clocks of a log are on one server. If it hangs, each attempt takes as long as the store's timeout.
            if log_of(feed.clock) in failed:
                feed.mark_failed()
            elif not self._step_feed(feed):
                failed.add(log_of(feed.clock))
        return answered and not failed

    def _read(self, timeout_s: float) -> tuple[bool, list[TickFeed]]:
        next_due_s = min(self._due_at.values(), default=float("inf")) - self._time.monotonic()
        try:
            noticed = self._notices.read(max(0.0, min(timeout_s, next_due_s)))
        except StoreUnavailable:
            return False, list(self._feeds.values())
        if noticed is None:
            return True, list(self._feeds.values())
        return True, [self._feeds[clock] for clock in dict.fromkeys(noticed) if clock in self._feeds]

    def _overdue(self, noticed: Iterable[TickFeed]) -> list[TickFeed]:
        now, others = self._time.monotonic(), self._due_at.keys() - {feed.clock for feed in noticed}
        overdue = sorted((clock for clock in others if self._due_at[clock] <= now), key=self._due_at.__getitem__)
        return [self._feeds[clock] for clock in overdue[:_MAX_OVERDUE]]

    def _step_feed(self, feed: TickFeed) -> bool:
        try:
            wait_s = feed.step()
        except Exception:
            # One clock's unreadable stream must not stop the other clocks.
            logger.exception("unexpected error, the feed is read again", extra={"clock": feed.clock})
            feed.mark_failed()
            self._due_at[feed.clock] = self._time.monotonic() + READ_EVERY_S
            return True
        self._due_at[feed.clock] = self._time.monotonic() + wait_s
        return feed.store_ok

    def _step_and_back_off(self) -> float:
        if self.step():
            self._backoff.reset()
            return 0.0
        return self._backoff.next()

    def _mark_failed(self) -> None:
        for feed in self._feeds.values():
            feed.mark_failed()
