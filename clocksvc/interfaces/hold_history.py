"""The leader's status of a clock, and the history of the clock's holds.

The store can lose both at any time. The history is a diagnostic: it then begins again, and `kept_since_ms` says when.

An implementation serves one clock. Each method is atomic, can be called from any thread, and blocks for at most the
implementation's timeout. If the store does not answer, the method raises StoreUnavailable. In that case a write may
have taken effect; it is safe to repeat it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from clocksvc.clock.holds import Hold
from clocksvc.clock.spec import DAY_MS
from clocksvc.clock.upstream_hold import cut_upstream

RETENTION_MS = 7 * DAY_MS
"""How long the history keeps a change."""
MAX_CHANGES = 500
"""How many changes the history keeps. A clock that holds again and again has a shorter history."""
_MAX_PARTITIONS = 10
_MAX_DETAIL = 1_000


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A change of a clock's hold.

    Attributes:
        age_ms: how long ago the hold changed. An age needs no comparison of the leader's time with the store's.
        hold: the hold since then; None if the clock does not hold.
    """

    age_ms: int
    hold: Hold | None


@dataclass(frozen=True, slots=True)
class NoLeaderGap:
    """What the history gets for a time in which no leader published a status.

    Attributes:
        longer_than_ms: a shorter time is a normal failover, and is not noted.
        hold: the hold that is noted.
    """

    longer_than_ms: int
    hold: Hold


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A leader's new status of one clock, and the changes that are added to the clock's history of holds.

    A change with the reason of the change before it replaces the partitions and the detail of that one.

    Attributes:
        status: JSON, for readers.
        changes: oldest first; the last one is the present hold. If another leader has published a status after a
            change, the change is not added, unless it is the last one.
        gap: added if no leader published a status for too long before the first change. A hold counts as published
            until the TTL of its last status expires, because readers see it until then.
    """

    status: str
    changes: Sequence[HoldChange] = ()
    gap: NoLeaderGap | None = None


@dataclass(frozen=True, slots=True)
class KeptChange:
    """A change as the history keeps it. Times are the store's, in ms.

    Attributes:
        began_ms: when the hold began, or when a hold ended if `hold` is None.
        until_ms: when the next change began; for the newest change, when a leader last published a status.
    """

    began_ms: int
    until_ms: int
    hold: Hold | None


@dataclass(frozen=True, slots=True)
class PastHold:
    """One hold of the history. Times are the store's, in ms.

    Attributes:
        hold: the hold as it was published last. It has at most 10 partitions.
        began_ms: when a leader first published a hold with this reason.
        ended_ms: when it ended, or when a leader last published it if no leader has published a status since; None
            while it lasts.
    """

    hold: Hold
    began_ms: int
    ended_ms: int | None


@dataclass(frozen=True, slots=True)
class HoldHistory:
    """A page of the history.

    Attributes:
        holds: the newest hold first.
        next_before_ms: the `before_ms` of the next page; None on the last page.
        kept_since_ms: the history is complete since this time; None if no leader has published a status yet.
    """

    holds: tuple[PastHold, ...]
    next_before_ms: int | None
    kept_since_ms: int | None


class HoldHistoryStore(Protocol):
    """The history of holds of one clock. Leaders write it with `Leases.publish_statuses`."""

    def hold_history(self, before_ms: int | None, limit: int) -> HoldHistory:
        """Return the newest holds that began before a time; with None, the newest ones. `limit` is at least 1."""


def shortened(hold: Hold) -> Hold:
    """Return a hold whose size is bounded, for the history."""
    return replace(
        hold,
        partitions=hold.partitions[:_MAX_PARTITIONS],
        detail=hold.detail[:_MAX_DETAIL],
        upstream=cut_upstream(hold.upstream, levels=4, partitions=3, detail=200),
    )


def make_page(
    changes: Sequence[KeptChange], limit: int, *, now_ms: int, oldest_ms: int | None, lasts: KeptChange | None
) -> HoldHistory:
    """Make a page of the history.

    Args:
        changes: the changes that began before the page's `before_ms`, newest first. At least 2 * `limit` + 2 of them,
            or all: no two changes in a row are without a hold.
        oldest_ms: when the oldest change of the whole history began; None if there is none.
        lasts: the newest change of the whole history, if a leader's status is still valid; else None.
    """
    from_ms = now_ms - RETENTION_MS
    found = [
        PastHold(change.hold, change.began_ms, None if change == lasts else change.until_ms)
        for change in changes
        if change.hold is not None and (change == lasts or change.until_ms >= from_ms)
    ]
    return HoldHistory(
        holds=tuple(found[:limit]),
        next_before_ms=found[limit - 1].began_ms if len(found) > limit else None,
        kept_since_ms=None if oldest_ms is None else max(oldest_ms, from_ms),
    )
