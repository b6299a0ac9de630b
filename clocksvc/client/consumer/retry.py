"""How often a flush or a dead letter is attempted. The delays are those of `runtime.backoff`: no thread sleeps."""

import random
from typing import NamedTuple

from clocksvc.errors import InvalidValue
from clocksvc.runtime.backoff import BackoffPolicy


class RetryPolicy(NamedTuple):
    """How often something is attempted, and the delays between attempts.

    With the defaults, the attempts of one batch last about 40 s.

    Attributes:
        attempts: the number of attempts, at least 1; None to repeat for ever.
        first_seconds: the delay after the first failure. It doubles with each failure.
        limit_seconds: the longest delay.
    """

    attempts: int | None = 10
    first_seconds: float = 0.2
    limit_seconds: float = 15.0

    def check(self) -> None:
        """Raise InvalidValue unless all values are possible."""
        if self.attempts is not None and self.attempts < 1:
            raise InvalidValue("retry.attempts", self.attempts, "wanted at least 1, or None to repeat for ever")
        if not 0 <= self.first_seconds <= self.limit_seconds:
            raise InvalidValue("retry.first_seconds", self.first_seconds, "wanted 0 to limit_seconds")

    def exhausted(self, failures: int) -> bool:
        """True if there is no further attempt after so many failures."""
        return self.attempts is not None and failures >= self.attempts

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Return the seconds to wait after so many failures, with jitter."""
        return BackoffPolicy(self.first_seconds, self.limit_seconds).delay_s(failures) * rng.uniform(0.5, 1.0)
