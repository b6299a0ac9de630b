"""The history of a clock's holds in memory, as publish_status.lua keeps it in Redis."""

from collections.abc import Sequence
from dataclasses import replace

from clocksvc.clock.holds import Hold
from clocksvc.interfaces.hold_history import (
    MAX_CHANGES,
    RETENTION_MS,
    HoldChange,
    HoldHistory,
    KeptChange,
    NoLeaderGap,
    make_page,
)


def add_changes(
    kept: Sequence[KeptChange], changes: Sequence[HoldChange], gap: NoLeaderGap | None, ttl_ms: int, now_ms: int
) -> list[KeptChange]:
    """Return a history, oldest change first, with further changes; see `StatusUpdate`."""
    result = list(kept)
    if not changes:
        return result
    known_ms = result[-1].until_ms if result else 0
    if result and gap is not None:
        shown_until_ms = known_ms + (0 if result[-1].hold is None else ttl_ms)
        if now_ms - changes[0].age_ms - shown_until_ms > gap.longer_than_ms:
            _add(result, shown_until_ms, gap.hold)
    for change in changes:
        began_ms = now_ms - change.age_ms
        if began_ms >= known_ms or change is changes[-1]:
            _add(result, max(began_ms, known_ms), change.hold)
    result[-1] = replace(result[-1], until_ms=max(now_ms, result[-1].began_ms))
    return _trimmed(result, now_ms)


def page_of(kept: Sequence[KeptChange], before_ms: int | None, limit: int, now_ms: int, *, led: bool) -> HoldHistory:
    """Return a page of a history. `led` is True if a leader's status is valid."""
    return make_page(
        [change for change in reversed(kept) if before_ms is None or change.began_ms < before_ms],
        limit,
        now_ms=now_ms,
        oldest_ms=kept[0].began_ms if kept else None,
        lasts=kept[-1] if kept and led else None,
    )


def _add(result: list[KeptChange], began_ms: int, hold: Hold | None) -> None:
    last = result[-1] if result else None
    if last is not None and _reason(last.hold) == _reason(hold):
        result[-1] = replace(last, hold=hold)
        return
    if last is not None:
        began_ms = max(began_ms, last.began_ms + 1)
        result[-1] = replace(last, until_ms=began_ms)
    result.append(KeptChange(began_ms, began_ms, hold))


def _reason(hold: Hold | None) -> str | None:
    return None if hold is None else str(hold.reason)


def _trimmed(result: list[KeptChange], now_ms: int) -> list[KeptChange]:
    """Drop the oldest changes. The newest change before the retention is kept, because it lasted into it."""
    old = sum(change.began_ms <= now_ms - RETENTION_MS for change in result)
    return result[max(0, old - 1, len(result) - MAX_CHANGES) :]
