"""When faults come in a storm: in a few bursts, with short distances inside."""

import random
from collections import Counter


def fault_times(rng: random.Random, first: int, steps: int, least: int) -> Counter[int]:
    """At which steps how many faults come.

    Args:
        first: the first step with a fault.
        steps: the number of steps of the storm.
        least: the least number of faults.
    """
    due, planned = Counter[int](), 0
    for _ in range(rng.randrange(3, 8)):
        step = rng.randrange(first, steps - 60)
        for _ in range(rng.randrange(1, 5)):
            due[step] += 1
            planned += 1
            step += rng.choice((0, 1, 3, 10, 25))
    while planned < least:
        due[rng.randrange(first, steps)] += 1
        planned += 1
    return due
