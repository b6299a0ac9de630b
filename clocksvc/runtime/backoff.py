"""How long to wait before a retry: exponential back-off with jitter, and every policy in use.

Each caller decides itself when to retry, what to do meanwhile and when to give up; it asks here only for the delay.
"""

import random
from typing import NamedTuple


class BackoffPolicy(NamedTuple):
    """The delay after the first failure and the longest delay, in seconds. The delay doubles with each failure."""

    first_s: float
    limit_s: float

    def delay_s(self, failures: int) -> float:
        """The delay after so many failures in a row, at least one; without jitter."""
        return min(self.limit_s, self.first_s * 2.0 ** min(failures - 1, 30))


CONNECTION = BackoffPolicy(0.1, 5.0)
"""A server that does not answer. Everything that connects uses this, except where a reason below says otherwise."""
FEED = BackoffPolicy(0.1, 2.0)
"""A replica's feed: API and page show nothing new before its next read, so it must follow a restored store soon."""
FRESH_PARTITION = BackoffPolicy(0.1, 1.0)
"""A partition that brokers don't know yet. They learn it within a second, and a round of heartbeats has 4 s."""
QUEUED_RETRY = BackoffPolicy(1.0, 15.0)
"""A Celery task: each retry is a message in the queue, and several workers share the load."""
CRASH = BackoffPolicy(1.0, 5.0)
"""A thread whose body raised an unexpected exception: probably a defect, and each attempt logs a traceback."""


class Backoff:
    """The delays of one caller: doubled up to the limit, with jitter, so that clients don't return all at once.

    Not thread safe.
    """

    def __init__(self, policy: BackoffPolicy, rng: random.Random | None = None) -> None:
        self._policy = policy
        self._rng = rng or random.Random()
        self._failures = 0

    def next(self) -> float:
        """Count one more failure; the seconds to wait: between half of the policy's delay and all of it."""
        self._failures += 1
        return self._policy.delay_s(self._failures) * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """A success: the next delay is the first one again."""
        self._failures = 0
