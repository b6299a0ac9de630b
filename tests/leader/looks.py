"""How the leader's tests look at a clock."""

import json

from clocksvc.clock.hold import Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.timestamp import to_rfc3339
from clocksvc.leader.leader import Leader, Phase
from clocksvc.testing import InMemoryClock


def times(clock: InMemoryClock) -> list[str]:
    """The kept ticks' times."""
    return [to_rfc3339(tick.at_ms) for tick in clock.ticks()]


def hold_of(clock: InMemoryClock) -> tuple[Reason | None, tuple[Partition, ...]]:
    """What the leader said last: the reason of its hold and the partitions that it names."""
    verdict = clock.store.snapshot().verdict
    hold = None if verdict is None else json.loads(verdict)["hold"]
    if hold is None:
        return None, ()
    partitions = tuple(Partition(item["topic"], item["partition"]) for item in hold["partitions"])
    return Reason(hold["reason"]), partitions


def phase_of(leader: Leader) -> Phase:
    """Where a leader stands now."""
    return leader.phase
