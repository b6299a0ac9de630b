"""The parameters of one seed."""

import random
from dataclasses import dataclass

MEMORY = ("flush", "kill_observer", "recreate_topic")
"""A seed has two of these three faults. An observer that starts with an empty store can't know that a topic was
recreated before, and trusts the offsets."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed simulates. Times are milliseconds.

    Attributes:
        create_time: True if producers set the timestamps.
        delay_ms: how long after its timestamp a record is appended at most.
        skew_ms: how far two clocks differ at most.
        stall_ms: how long a record stays above the high watermark at most.
        stages: the number of clocks, each after the one before it.
        storm_ms: how long faults happen.
        without: the name of a fault that does not happen.
    """

    interval_ms: int
    poll_ms: int
    create_time: bool
    out_of_orderness_ms: int
    drain_delay_ms: int
    delay_ms: int
    skew_ms: int
    stall_ms: int
    stages: int
    partitions: int
    storm_ms: int
    faults: int
    without: str
    max_future_ms: int = 60_000


def make_plan(rng: random.Random) -> Plan:
    """Draw the parameters of a seed. Skew and stalls together never exceed `drain_delay`."""
    drain_delay_ms = rng.choice((0, 2_000, 10_000, 10_000))
    skew_ms = int(drain_delay_ms * rng.choice((0, 0.1, 0.4, 0.9)))
    create_time = rng.random() < 0.5
    out_of_orderness_ms = rng.choice((2_000, 10_000)) if create_time else 0
    return Plan(
        interval_ms=rng.choice((1_000, 5_000, 10_000)),
        poll_ms=rng.choice((1_000, 5_000, 5_000)),
        create_time=create_time,
        out_of_orderness_ms=out_of_orderness_ms,
        drain_delay_ms=drain_delay_ms,
        delay_ms=max(0, out_of_orderness_ms - skew_ms),
        skew_ms=skew_ms,
        stall_ms=drain_delay_ms - skew_ms,
        stages=rng.choice((1, 1, 1, 2, 2, 3)),
        partitions=rng.choice((1, 2, 2, 3)),
        storm_ms=rng.choice((60_000, 90_000)),
        faults=rng.choice((0, 3, 6, 10)),
        without=rng.choice(MEMORY),
    )
