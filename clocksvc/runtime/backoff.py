"""Exponential back-off with jitter before retries, and all policies in use.

This module only computes delays. The callers decide when to retry, what to do during the delay, and when to stop.
"""

import random
from typing import NamedTuple


class BackoffPolicy(NamedTuple):
    """The delay after the first failure and the longest delay, in seconds. The delay doubles with each failure."""

    first_s: float
    limit_s: float

    def delay_s(self, failures: int) -> float:
        """Return the delay after `failures` failures in a row (at least 1), without jitter."""
        return min(self.limit_s, self.first_s * 2.0 ** min(failures - 1, 30))


CONNECTION = BackoffPolicy(0.1, 5.0)
"""For a server that does not answer. All clients use this policy, except for the cases below."""
FEED = BackoffPolicy(0.1, 2.0)
"""For a replica's feed. The API and the page show no new tick before its next read, so the delays are short."""
FRESH_PARTITION = BackoffPolicy(0.1, 1.0)
"""For a new partition that brokers don't know yet. They know it within a second, and a round of heartbeats has 4 s."""
QUEUED_RETRY = BackoffPolicy(1.0, 15.0)
"""For a Celery task. The delays are long, because each retry is a message in the queue."""
CLOCK_RETRY = BackoffPolicy(1.0, 60.0)
"""For a clock with an error of its own, such as a record that brokers reject. Each attempt can delay other clocks."""
TICK_COMMAND = BackoffPolicy(1.0, 60.0)
"""For a user's command that failed for a tick. It may need a server that is down for a while."""
FAILING_PARTITION = BackoffPolicy(60.0, 900.0)
"""For a partition of schedules that did not work in a replica. Each attempt can delay what is due in it."""
FENCED_AGAIN = BackoffPolicy(1.0, 10.0)
"""For an owner of a partition of schedules that was fenced twice in a minute, although it has the lease. Two replicas
fence each other if they use different stores, for example after a failover of Redis that only one of them noticed."""
CRASH = BackoffPolicy(1.0, 5.0)
"""For a thread whose body raised an unexpected exception. It may be a defect, and each attempt logs a traceback."""

CHILD = BackoffPolicy(1.0, 15.0)
"""For a child process that has ended. The start of another one takes about a second of a core."""


class Backoff:
    """The delays of one caller. They double up to the limit. Jitter prevents that all clients retry at the same time.

    Not thread-safe.
    """

    def __init__(self, policy: BackoffPolicy, rng: random.Random | None = None) -> None:
        self._policy = policy
        self._rng = rng or random.Random()
        self._failures = 0

    def next(self) -> float:
        """Count one more failure, and return the seconds to wait: 50 to 100 % of the policy's delay."""
        self._failures += 1
        return self._policy.delay_s(self._failures) * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Forget all failures after a success. The next delay is the first one of the policy again."""
        self._failures = 0
