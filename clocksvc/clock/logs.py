"""The logs: the 16 partitions of the tick log's topic. A clock's log is computed from the clock's name."""

import zlib
from collections.abc import Iterable, Mapping

LOGS = 16
"""The number of partitions of the tick log's topic. It can't be changed: clocks would move to other logs."""


def log_of(clock: str) -> int:
    """Return the number of a clock's log.

    It is the partition that librdkafka's partitioner `consistent` (CRC32) computes for the key `clock`.
    """
    return zlib.crc32(clock.encode()) % LOGS


def group_by_log(clocks: Iterable[str]) -> Mapping[int, tuple[str, ...]]:
    """Return the clocks of each log that has at least one of these clocks; clocks in the given order."""
    groups: dict[int, list[str]] = {}
    for clock in clocks:
        groups.setdefault(log_of(clock), []).append(clock)
    return {log: tuple(names) for log, names in groups.items()}
