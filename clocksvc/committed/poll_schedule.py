"""When each clock is polled: once in its `poll`. Polls are spread over this time."""

import math
import zlib

EARLY_S = 0.5
"""A poll may be this much early. Polls are possible about once a second: one just before the time that is due would
otherwise make the interval a second longer."""
ALIVE_BEFORE_S = 3.0 + EARLY_S
"""How long before a poll the leaders of its partitions are asked, so that the poll knows that they are alive."""
RETRY_S = 2.5
_ROUNDING = 1e-6


class PollSchedule:
    """The polls of one clock. Times are monotonic, in seconds. The first poll is at once.

    Args:
        name: the clock's name. It decides where in `poll_s` the clock is polled.
        poll_s: the time between two polls.
    """

    def __init__(self, name: str, poll_s: float) -> None:
        self._poll_s = poll_s
        self._offset_s = zlib.crc32(name.encode()) % 1_000 / 1_000 * poll_s
        self._due_at = -math.inf
        self._alive_asked_at = -math.inf
        self._retried = False

    def is_due(self, now_s: float) -> bool:
        """Return True if the clock must be polled now."""
        return self._due_at - EARLY_S <= now_s

    def wants_leaders(self, now_s: float) -> bool:
        """Return True if the leaders of the clock's partitions must be asked now, before the next poll."""
        return not self.is_due(now_s) and self._alive_asked_at < self._due_at - ALIVE_BEFORE_S <= now_s

    def note_leaders(self, now_s: float) -> None:
        """Note that the leaders were asked."""
        self._alive_asked_at = now_s

    def note_poll(self, now_s: float, *, retry: bool) -> None:
        """Note a poll.

        Args:
            retry: True if a leader was not known to be alive. It was asked now, so another poll soon knows more.
        """
        self._alive_asked_at = now_s
        if retry and not self._retried and self._poll_s > RETRY_S:
            self._retried, self._due_at = True, now_s + RETRY_S
            return
        self._retried = False
        polled_s = max(now_s, self._due_at)
        polls = math.floor((polled_s - self._offset_s) / self._poll_s + _ROUNDING) + 1
        self._due_at = polls * self._poll_s + self._offset_s
