"""Encodes the arguments of the scripts of a log's lease and decodes their results. No I/O."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from clocksvc.clock.holds import Hold
from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.request import decode_request, sort_requests
from clocksvc.interfaces.hold_history import MAX_CHANGES, RETENTION_MS, StatusUpdate
from clocksvc.interfaces.leases import Announcement, LeaseReading, ProgressReading, RoundReading
from clocksvc.redis.encoding import NO_HOLD, optional_time
from clocksvc.redis.scripts import Argument


def announcement_arguments(announcement: Announcement, ttl_ms: int, configs: Mapping[str, str]) -> Iterator[Argument]:
    """The arguments of announce.lua."""
    yield announcement.replica
    yield ttl_ms
    yield json.dumps({"digests": dict(announcement.digests), "ready_ms": announcement.ready_ms})
    for digest_and_config in configs.items():
        yield from digest_and_config


def mark_argument(mark: StoreMark) -> str:
    """The argument of write_mark.lua and adopt.lua: the value of the key `mark`."""
    return mark.store_id if mark.adopts is None else f"{mark.store_id} {mark.adopts}"


def status_arguments(updates: Iterable[StatusUpdate]) -> Iterator[Argument]:
    """The arguments of publish_status.lua, after the TTL."""
    yield from (RETENTION_MS, MAX_CHANGES)
    for update in updates:
        gap = update.gap
        yield update.status
        yield from ("", "", "") if gap is None else (gap.longer_than_ms, *_hold_arguments(gap.hold))
        yield len(update.changes)
        for change in update.changes:
            yield change.age_ms
            yield from _hold_arguments(change.hold)


def _hold_arguments(hold: Hold | None) -> tuple[str, str]:
    return (NO_HOLD, "") if hold is None else (str(hold.reason), json.dumps(hold.to_wire()))


def read_lease_reading(answer: Sequence[Any]) -> LeaseReading:
    """Decode the result of read_lease.lua."""
    now_ms, leader, expired, since_ms, announcements, mark = answer
    return LeaseReading(
        now_ms=int(now_ms),
        holder=leader or None,
        expired_holder=expired or None,
        announcements=_read_announcements(announcements),
        announcements_complete_since_ms=optional_time(since_ms),
        mark=read_mark(mark),
    )


def read_round_reading(clocks: Sequence[str], answer: Sequence[Any]) -> RoundReading:
    """Decode the result of read_round.lua."""
    now_ms, since_ms, announcements, mark, left_ms, progress = answer
    return RoundReading(
        now_ms=int(now_ms),
        announcements=_read_announcements(announcements),
        announcements_complete_since_ms=optional_time(since_ms),
        mark=read_mark(mark),
        lease_left_ms=int(left_ms),
        progress={clock: _read_progress(item) for clock, item in zip(clocks, progress, strict=True)},
    )


def read_mark(text: str) -> StoreMark | None:
    """Decode the value of the key `mark`; "" without it."""
    store_id, _, adopts = text.partition(" ")
    return StoreMark(store_id, adopts or None) if store_id else None


def _read_progress(item: Sequence[Any] | None) -> ProgressReading | None:
    if item is None:
        return None
    (
        lowest_ms,
        count,
        generation,
        end_ms,
        crossed_ms,
        unknown_ms,
        create_time_ms,
        out_of_order_ms,
        restoring,
        requests,
    ) = item
    found = (decode_request(text) for text in requests)
    return ProgressReading(
        lowest_ms=optional_time(lowest_ms),
        count=int(count),
        generation=int(generation),
        last_tick_ms=optional_time(end_ms),
        boundary_crossed_at_ms=optional_time(crossed_ms),
        unknown_seen_ms=int(unknown_ms),
        create_time_seen_ms=int(create_time_ms),
        out_of_orderness_ms=int(out_of_order_ms),
        restoring=bool(restoring),
        requests=tuple(sort_requests(one for one in found if one is not None)),
    )


def _read_announcements(answer: Sequence[str]) -> tuple[Announcement, ...]:
    return tuple(_read_announcement(*one) for one in sorted(zip(answer[::2], answer[1::2], strict=True)))


@lru_cache(maxsize=256)  # each round reads the announcements, and they change about once a second
def _read_announcement(replica: str, text: str) -> Announcement:
    body = json.loads(text)
    return Announcement(replica, body["digests"], body["ready_ms"])
