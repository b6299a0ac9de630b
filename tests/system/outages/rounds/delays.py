"""How long clocks were stalled, by kind of fault, and how long logs had no leader. No I/O."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.system.evidence import TickWithOffset
from tests.system.outages.rounds.supervised_installation import Fault

AMID_MS = 1_000
"""Several times as long as a busy machine needs for one commit."""


def stalls(faults: Sequence[Fault], arrived: Sequence[float]) -> dict[str, list[float]]:
    """For each kind, and each fault of it, the longest time without a tick, from the fault on, that began before the
    next fault. The time until a killed server answered again does not count. `arrived`: when ticks came to a client,
    monotonic seconds, ascending."""
    found: dict[str, list[float]] = defaultdict(list)
    gaps = list(itertools.pairwise(arrived))
    backs = [fault.server_back_at for fault in faults if fault.server_back_at is not None]
    for fault, end in zip(faults, [*(one.at for one in faults[1:]), float("inf")], strict=True):
        own = [
            later - max(earlier, fault.at, *(back for back in backs if back < later))
            for earlier, later in gaps
            if later > fault.at and earlier < end
        ]
        found[fault.kind].append(max(own, default=float("inf")))
    return dict(found)


def takeovers(faults: Sequence[Fault], snapshots: Mapping[int, Sequence[int]], kind: str) -> list[dict[int, float]]:
    """For each fault of a kind, and each log that its victim led: the seconds until the next leader's snapshot, by
    the broker's time. Logs that were not led again before the next fault are left out.

    Args:
        snapshots: the broker's times of the snapshots in each log, in ms, ascending.
    """
    found = []
    for fault, end_ms in zip(faults, [*(one.wall_ms for one in faults[1:]), float("inf")], strict=True):
        if fault.kind == kind and fault.led:
            after = {log: (at_ms for at_ms in snapshots[log] if at_ms > fault.wall_ms) for log in fault.led}
            first = {log: next(moments, end_ms) for log, moments in after.items()}
            found.append({log: (at_ms - fault.wall_ms) / 1000 for log, at_ms in first.items() if at_ms < end_ms})
    return found


def amid_commits(faults: Sequence[Fault], log: Sequence[TickWithOffset], kind: str, within_ms: int = AMID_MS) -> int:
    """How many faults of a kind came no longer than this after a tick was written."""
    moments = [tick.appended_ms for tick in log]
    return sum(
        any(fault.wall_ms - within_ms <= moment <= fault.wall_ms for moment in moments)
        for fault in faults
        if fault.kind == kind
    )
