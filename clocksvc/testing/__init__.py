"""For tests of applications: `ManualTime`, `InMemoryClock`, which has the real leader, and `ConsumerRun`.

    clock = InMemoryClock(topic="orders", partitions=2)
    clock.report(0, "2026-11-22T12:01:07Z")
    clock.report(1, "2026-11-22T12:01:03Z")
    assert [tick.at_ms for tick in clock.ticks()] == [...]

An InMemoryClock needs no server. Its methods do not block. A ConsumerRun runs a BufferedConsumer
step by step.
"""

from clocksvc.testing.consumer.explore import Explored
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.judge import BrokenPromise
from clocksvc.testing.consumer.record import Record
from clocksvc.testing.consumer.run import ConsumerRun
from clocksvc.testing.in_memory_clock import InMemoryClock
from clocksvc.testing.manual_time import ManualTime

__all__ = ["BrokenPromise", "ConsumerRun", "Explored", "InMemoryClock", "Interleaving", "ManualTime", "Record"]
