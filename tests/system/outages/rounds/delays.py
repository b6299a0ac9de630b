"""How long clocks were stalled, by kind of fault: at the client of the stream, and in the tick log. No I/O."""

import itertools
from collections import defaultdict
from collections.abc import Sequence

from tests.system.evidence import TickWithOffset
from tests.system.outages.rounds.supervised_installation import Fault

AT_WORK_MS = 2_500
"""A clock whose last tick was no older was running."""
SHOWS_WITHIN_MS = 5_000
"""A stall that begins later than this after a fault is not counted for it."""

AMID_MS = 1_000
"""Several times as long as a busy machine needs for one commit."""


def stalls(faults: Sequence[Fault], arrived: Sequence[float]) -> dict[str, list[float]]:
    """For each kind, and each fault of it, the longest time without a tick, from the fault on, that began before the
    next fault. `arrived`: when ticks came to a client, monotonic seconds, ascending."""
    found: dict[str, list[float]] = defaultdict(list)
    gaps = list(itertools.pairwise(arrived))
    for fault, end in zip(faults, [*(one.at for one in faults[1:]), float("inf")], strict=True):
        own = [later - max(earlier, fault.at) for earlier, later in gaps if later > fault.at and earlier < end]
        found[fault.kind].append(max(own, default=float("inf")))
    return dict(found)


def takeovers(faults: Sequence[Fault], log: Sequence[TickWithOffset], kind: str) -> list[float]:
    """For each fault of a kind that met a running clock, and was alone until ticks came again: the seconds from the
    last tick before it to the first one after, by the broker's time. A tick may still come while the fault does: the
    longest gap is meant."""
    found = []
    for fault, end in zip(faults, [*(one.wall_ms for one in faults[1:]), float("inf")], strict=True):
        if fault.kind != kind:
            continue
        until_ms = min(end, fault.wall_ms + SHOWS_WITHIN_MS)
        gaps = [
            (later.appended_ms - earlier.appended_ms, later.appended_ms)
            for earlier, later in itertools.pairwise(log)
            if later.appended_ms > fault.wall_ms and earlier.appended_ms < until_ms
        ]
        longest_ms, over_ms = max(gaps, default=(0, 0))
        before_ms = max((tick.appended_ms for tick in log if tick.appended_ms <= fault.wall_ms), default=0)
        if gaps and over_ms <= end and fault.wall_ms - before_ms <= AT_WORK_MS:
            found.append(longest_ms / 1000)
    return found


def amid_commits(faults: Sequence[Fault], log: Sequence[TickWithOffset], kind: str, within_ms: int = AMID_MS) -> int:
    """How many faults of a kind came no longer than this after a tick was written."""
    moments = [tick.appended_ms for tick in log]
    return sum(
        any(fault.wall_ms - within_ms <= moment <= fault.wall_ms for moment in moments)
        for fault in faults
        if fault.kind == kind
    )
