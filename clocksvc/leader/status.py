"""Publishes the leader's status of each clock, which readers use to show the hold, and the history of its holds."""

import json
import logging

from clocksvc.clock.due_ticks import ANNOUNCED_TICKS
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.hold_history import HoldChange, NoLeaderGap, shortened
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.leader.lease import LEASE_MS, PUBLISH_STATUS_EVERY_S, STATUS_TTL_MS

logger = logging.getLogger("clocksvc.leader")

PUBLISH_DUE_TICKS_EVERY_S = 1.0
_MAX_UNPUBLISHED = 20
_LONGEST_FAILOVER_MS = round(PUBLISH_STATUS_EVERY_S * 1000) + 2 * LEASE_MS
"""The last status can be as old as PUBLISH_STATUS_EVERY_S when its leader ends. Then the next leader begins."""
_NO_LEADER = Hold(
    Reason.NO_LEADER, detail="no process led this clock, or its leader could not write its status to the store"
)


class StatusPublisher:
    """Publishes one clock's status when it changes, and again before it expires in the store.

    If the store does not answer, the changes that it missed are added to the history with the next status.
    """

    def __init__(self, spec: ClockSpec, store: Store, time: Time, started_ms: int) -> None:
        self._clock, self._store, self._time, self._started_ms = spec.name, store, time, started_ms
        self._gap = NoLeaderGap(max(spec.effective_hold_after_ms, _LONGEST_FAILOVER_MS), _NO_LEADER)
        self._published: tuple[str, float] | None = None
        self._published_due_ticks: int | None = None
        self._unpublished: list[tuple[float, Hold | None]] = []
        self.hold: Hold | None = None

    def note(self, hold: Hold | None) -> None:
        """Note the present hold without publishing it."""
        before, now = (None if each is None else each.reason for each in (self.hold, hold))
        if before != now:
            self._log(hold, before)
            self._unpublished = [*self._unpublished, (self._time.monotonic(), hold)][-_MAX_UNPUBLISHED:]
        self.hold = hold

    def publish(self, token: str, hold: Hold | None, due_ticks: int | None = None) -> None:
        """Publish a hold, or that there is none, and how many ticks are due.

        While a clock catches up, the number changes in every round. Then it is published at most once a second.

        Args:
            due_ticks: None if this is not known.

        Raises:
            LeaseLost, StoreUnavailable: as `HoldHistoryStore.publish_status`.
        """
        self.note(hold)
        status = {"hold": None if hold is None else hold.to_wire(), "started_ms": self._started_ms}
        text, now = json.dumps(status), self._time.monotonic()
        if self._published is not None:
            before, at = self._published
            if before == text and now - at < self._repeat_s(due_ticks):
                return
        self._published = None  # if the next call raises, nothing may be published
        published = json.dumps(status | {"due_ticks": due_ticks})
        self._store.publish_status(token, published, STATUS_TTL_MS, self._changes(now), self._gap)
        self._published, self._published_due_ticks = (text, now), due_ticks
        self._unpublished.clear()

    def _repeat_s(self, due_ticks: int | None) -> float:
        """Return after which time an unchanged hold is published again."""
        before = self._published_due_ticks
        if due_ticks == before:
            return PUBLISH_STATUS_EVERY_S
        begins = (before or 0) <= ANNOUNCED_TICKS < (due_ticks or 0)
        return 0.0 if begins else PUBLISH_DUE_TICKS_EVERY_S

    def invalidate(self) -> None:
        """Publish the next status even if it has not changed, because the store may have lost the last one."""
        self._published = None

    def _changes(self, now: float) -> list[HoldChange]:
        changed = [*self._unpublished[:-1], (self._unpublished[-1][0] if self._unpublished else now, self.hold)]
        return [HoldChange(round((now - at) * 1000), hold and shortened(hold)) for at, hold in changed]

    def _log(self, hold: Hold | None, before: str | None) -> None:
        if hold is None:
            logger.info(
                "clock continues: %s, after %s", self._clock, before, extra={"clock": self._clock, "after": before}
            )
        else:
            named = [str(partition) for partition in hold.partitions[:10]]
            extra = {"clock": self._clock, "reason": hold.reason, "partitions": named, "detail": hold.detail}
            partitions = hold.partitions_text()
            shown = f" ({partitions})" if partitions else ""
            logger.warning("clock holds: %s, %s%s: %s", self._clock, hold.reason, shown, hold.detail, extra=extra)
