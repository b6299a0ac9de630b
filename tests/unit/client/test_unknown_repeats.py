"""When a reporter repeats a partition that is unknown to the clock."""

import pytest

from clocksvc.clock.partition import Outcome
from clocksvc.interfaces.progress import ClockParameters
from tests.preconditions import require
from tests.unit.client.fake_sink import NOW_MS, TOPIC, FakeSink, SteppedReporter

NEW = 20
"""The number of a partition that is not in the roster yet."""


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="An unknown partition is repeated after 8 to 10 s instead of 1 s while others cross boundaries.",
)
def test_an_unknown_partition_is_repeated_after_a_second_beside_busy_ones() -> None:
    """Each partition has its own due time: reports of other partitions do not delay the repetition."""
    sink = FakeSink(ClockParameters("workers", (TOPIC,), 1_000, 0, 60_000))
    sink.outcome = lambda reading: Outcome.UNKNOWN if reading.partition.number == NEW else Outcome.ACCEPTED
    stepped = SteppedReporter(sink)
    require(stepped.observe(NOW_MS, partition=NEW) == [{NEW: NOW_MS}], "the partition was reported once")
    began, asked_at = stepped.time.monotonic(), []
    for turn in range(100):  # 5 s; each of the other partitions crosses a boundary once a second
        stepped.time.advance(0.05)
        sent = stepped.observe(stepped.time.now_ms(), partition=turn % 20)
        asked_at += [stepped.time.monotonic() - began for numbers in sent if NEW in numbers]

    assert asked_at, "the partition was not repeated within 5 s"
    assert asked_at[0] <= 1.5
