"""Publishes the leader's status of each clock, which readers use to show the hold."""

import json
import logging

from clocksvc.clock.holds import Hold
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.leader.lease import PUBLISH_STATUS_EVERY_S, STATUS_TTL_MS

logger = logging.getLogger("clocksvc.leader")


class StatusPublisher:
    """Publishes one clock's status when it changes, and again before it expires in the store."""

    def __init__(self, clock: str, store: Store, time: Time, started_ms: int) -> None:
        self._clock, self._store, self._time, self._started_ms = clock, store, time, started_ms
        self._published: tuple[str, float] | None = None
        self.hold: Hold | None = None

    def publish(self, token: str, hold: Hold | None) -> None:
        """Publish a hold, or that there is none.

        Raises:
            LeaseLost, StoreUnavailable: as `PartitionProgress.publish_status`.
        """
        self._log(hold)
        self.hold = hold
        status = json.dumps({"hold": None if hold is None else hold.to_wire(), "started_ms": self._started_ms})
        now = self._time.monotonic()
        if self._published is not None:
            before, at = self._published
            if before == status and now - at < PUBLISH_STATUS_EVERY_S:
                return
        self._published = None  # if the next call raises, nothing may be published
        self._store.publish_status(token, status, STATUS_TTL_MS)
        self._published = (status, now)

    def invalidate(self) -> None:
        """Publish the next status even if it has not changed, because the store may have lost the last one."""
        self._published = None

    def _log(self, hold: Hold | None) -> None:
        before, now = (None if each is None else each.reason for each in (self.hold, hold))
        if before == now:
            return
        if hold is None:
            logger.info("clock continues", extra={"clock": self._clock, "after": before})
        else:
            named = [str(partition) for partition in hold.partitions[:10]]
            extra = {"clock": self._clock, "reason": hold.reason, "partitions": named, "detail": hold.detail}
            logger.warning("clock holds", extra=extra)
