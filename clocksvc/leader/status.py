"""Publishes the leader's status of each clock, which readers use to show the hold, and the history of its holds."""

import json
import logging
from collections.abc import Iterable, Mapping

from clocksvc.clock.due_ticks import ANNOUNCED_TICKS
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.hold_history import HoldChange, NoLeaderGap, StatusUpdate, shortened
from clocksvc.interfaces.leases import Leases
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


class ClockStatus:
    """One clock's status. It is published when it changes, and again before it expires in the store.

    If the store does not answer, the changes that it missed are added to the history with the next status.
    """

    def __init__(self, spec: ClockSpec, time: Time, started_ms: int) -> None:
        self._clock, self._time, self._started_ms = spec.name, time, started_ms
        self._gap = NoLeaderGap(max(spec.effective_hold_after_ms, _LONGEST_FAILOVER_MS), _NO_LEADER)
        self._published: tuple[Hold | None, float] | None = None
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

    def is_due(self, due_ticks: int | None, *, soon: bool = False) -> bool:
        """True if the status must be published now.

        While a clock catches up, the number of due ticks changes in every round. Then it is published at most once a
        second.

        Args:
            due_ticks: how many ticks are due; None if this is not known.
            soon: True to publish the status also if half of the time until then has passed.
        """
        if self._published is None:
            return True
        hold, at = self._published
        return hold != self.hold or self._time.monotonic() - at >= self._repeat_s(due_ticks) / (2 if soon else 1)

    def update(self, due_ticks: int | None) -> StatusUpdate:
        """Return the update that must be published now. Call `published` when the store has it."""
        self._published = None  # if the store does not answer, nothing may be published
        hold = None if self.hold is None else self.hold.to_wire()
        status = {"hold": hold, "started_ms": self._started_ms, "due_ticks": due_ticks}
        return StatusUpdate(json.dumps(status), self._changes(self._time.monotonic()), self._gap)

    def published(self, due_ticks: int | None) -> None:
        """Note that the store has the status."""
        self._published, self._published_due_ticks = (self.hold, self._time.monotonic()), due_ticks
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


class StatusPublisher:
    """Publishes the statuses of all clocks of a log, with one request."""

    def __init__(self, specs: Mapping[str, ClockSpec], leases: Leases, time: Time, started_ms: int) -> None:
        self._leases = leases
        self._clocks = {name: ClockStatus(spec, time, started_ms) for name, spec in specs.items()}

    def publish(
        self, token: str, holds: Mapping[str, Hold | None], due_ticks: Mapping[str, int | None] | None = None
    ) -> None:
        """Publish the holds of some clocks, or that there is none, and how many ticks are due.

        If the status of one clock is due, those that are due soon are published with it. If the store does not answer,
        the holds are published later.

        Args:
            holds: by clock.
            due_ticks: by clock; None or missing if the number is not known.

        Raises:
            LeaseLost, StoreUnavailable: as `Leases.publish_statuses`.
        """
        due = due_ticks or {}
        for name, hold in holds.items():
            self._clocks[name].note(hold)
        if not any(self._clocks[name].is_due(due.get(name)) for name in holds):
            return
        names = [name for name in holds if self._clocks[name].is_due(due.get(name), soon=True)]
        updates = {name: self._clocks[name].update(due.get(name)) for name in names}
        self._leases.publish_statuses(token, updates, STATUS_TTL_MS)
        for name in names:
            self._clocks[name].published(due.get(name))

    def invalidate(self, clocks: Iterable[str] | None = None) -> None:
        """Publish the next statuses of some clocks, or of all, even if they have not changed: the store may have lost
        the last ones."""
        for name in self._clocks if clocks is None else clocks:
            self._clocks[name].invalidate()
