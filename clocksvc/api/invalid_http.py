"""Counts requests that are not valid HTTP, and logs them at a bounded rate: each costs its sender only a few bytes."""

import logging

from clocksvc.interfaces.time import SystemTime

logger = logging.getLogger("clocksvc.api")

LOG_EVERY_S = 30.0


class InvalidHttp:
    """The requests of one application that were not valid HTTP. Only the event loop's thread may call `add`.

    Attributes:
        count: the number of such requests. Any thread may read it.
    """

    def __init__(self) -> None:
        self.count = 0
        self._logged = 0
        self._log_at = float("-inf")
        self._monotonic = SystemTime().monotonic

    def add(self, client: str) -> None:
        """Count a request of a client, and log it unless a line was logged in the last 30 s."""
        self.count += 1
        now = self._monotonic()
        if now < self._log_at:
            return
        logger.warning(
            "invalid HTTP: %d requests since the last such line; the newest is from %s",
            self.count - self._logged,
            client,
            extra={"count": self.count},
        )
        self._logged, self._log_at = self.count, now + LOG_EVERY_S
