"""For tests of applications: `ManualTime`, which a test controls, and `InMemoryClock`, which has the real leader.

    clock = InMemoryClock(topic="orders", partitions=2)
    clock.report(0, "2026-11-22T12:01:07Z")
    clock.report(1, "2026-11-22T12:01:03Z")
    assert [tick.at_ms for tick in clock.ticks()] == [...]

An InMemoryClock needs no server. Its methods do not block.
"""

from clocksvc.testing.in_memory_clock import InMemoryClock
from clocksvc.testing.manual_time import ManualTime

__all__ = ["InMemoryClock", "ManualTime"]
