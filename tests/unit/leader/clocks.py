"""Helpers of the leader's tests: clocks with ticks, further leaders, passing time, and what readers see of a clock."""

import json
import uuid

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.topics import Topics
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader, Phase
from tests.faulty.clock import FaultyClock
from tests.faulty.tick_log import FaultyTickLog


def clock_with_ticks(count: int = 3) -> FaultyClock:
    """A clock of one partition that has emitted ticks for 12:01, 12:02, …"""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    for minute in range(1, count + 1):
        clock.report(0, f"2026-11-22T12:0{minute}:00Z")
    return clock


def another_leader(
    clock: FaultyClock,
    holder: str,
    *,
    ticklog: TickLog | None = None,
    topics: Topics | None = None,
    spec: ClockSpec | None = None,
) -> Leader:
    """A leader of another replica that uses the same store, with its own tick log or topics if they are given."""
    log = ticklog or FaultyTickLog(clock.log, clock.spec.name)
    parts = LeaderDependencies(
        spec or clock.spec, clock.store, log, topics or clock.topics, clock.time, lambda: uuid.uuid4().hex
    )
    return Leader(parts, holder)


def pass_time(clock: FaultyClock, seconds: float, *leaders: Leader) -> None:
    """Advance the time and let the leaders step meanwhile."""
    for _ in range(round(seconds / 0.25)):
        clock.time.advance(0.25)
        for leader in leaders:
            clock.settle(leader)


def minutes(*numbers: int) -> list[str]:
    """RFC 3339 for minutes after 12:00."""
    return [f"2026-11-22T12:{minute:02d}:00Z" for minute in numbers]


def times(clock: FaultyClock) -> list[str]:
    """The times of the ticks in the store."""
    return [to_rfc3339(tick.at_ms) for tick in clock.ticks()]


def hold_of(clock: FaultyClock) -> tuple[Reason | None, tuple[Partition, ...]]:
    """The reason of the hold that the leader published last, and the partitions that it names."""
    verdict = clock.store.snapshot().leader_status
    hold = None if verdict is None else json.loads(verdict)["hold"]
    if hold is None:
        return None, ()
    partitions = tuple(Partition(item["topic"], item["partition"]) for item in hold["partitions"])
    return Reason(hold["reason"]), partitions


def phase_of(leader: Leader) -> Phase:
    """The phase of a leader now."""
    return leader.phase
