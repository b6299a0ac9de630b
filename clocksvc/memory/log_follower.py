"""Follows logs in memory."""

from collections.abc import Mapping

from clocksvc.clock.log_record import LogEntry
from clocksvc.interfaces.log_follower import FollowedEntries
from clocksvc.memory.tick_log import MemoryLog

_BATCH = 500


class MemoryLogFollower:
    """A `LogFollower` over MemoryLogs. `poll` never waits.

    Args:
        logs: the logs by number.
    """

    def __init__(self, logs: Mapping[int, MemoryLog]) -> None:
        self._logs = logs
        self._next: dict[int, int] = {}

    def start(self, log: int, offset: int) -> None:
        self._next[log] = offset

    def stop(self, log: int) -> None:
        self._next.pop(log, None)

    def poll(self, timeout_s: float) -> FollowedEntries:
        entries: list[tuple[int, LogEntry]] = []
        lost = {}
        for log, offset in list(self._next.items()):
            memory = self._logs[log]
            if not memory.first_offset <= offset <= memory.end:
                lost[log] = f"offset {offset} is not in the log"
                self.stop(log)
                continue
            for entry in memory.committed(offset)[:_BATCH]:
                entries.append((log, entry))
                self._next[log] = entry.offset + 1
        return FollowedEntries(entries, lost, {})

    def close(self) -> None:
        self._next.clear()
