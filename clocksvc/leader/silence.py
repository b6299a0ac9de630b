"""In words, which partitions that hold a clock have no consumer that reports: pure, for people. Decides nothing."""

from collections.abc import Sequence

from clocksvc.clock.listing import name_first
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.store import PartitionClock

SILENT_MS = 30_000
"""Consumers repeat every partition they have read every 10 s: who says nothing for longer is gone, or reads nothing."""


def silence(behind: Sequence[PartitionClock], now_ms: int) -> str:
    """What to add to a hold's detail; empty where nothing is known of any reports.

    Args:
        behind: the partitions that hold the clock.
        now_ms: the store's own clock.
    """
    silent: list[Partition] = []
    reporting: list[Partition] = []
    for line in behind:
        if line.reported_ms is not None:
            (silent if now_ms - line.reported_ms > SILENT_MS else reporting).append(line.partition)
    words = []
    if silent:
        words.append(
            f"not reported for more than {SILENT_MS // 1000} s (is there a consumer that has them?): "
            + name_first(silent)
        )
    if reporting:
        words.append(f"reported lately, but quiet or not processed further: {name_first(reporting)}")
    return "".join(f"; {part}" for part in words)
