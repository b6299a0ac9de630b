"""How long to wait before asking again somebody who did not answer."""

import random


class Backoff:
    """Waits that double up to a limit, each with jitter, so that many clients do not come back at once."""

    def __init__(self, first_s: float, limit_s: float, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._rng = rng or random.Random()
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure: half to all of the doubled wait, never above the limit."""
        wait_s: float = min(self._limit_s, self._first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return wait_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It answered."""
        self._failures = 0
