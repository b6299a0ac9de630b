"""Rare paths that a run of many seeds must have taken, each a minimum number of times."""

from collections import Counter
from enum import StrEnum

NEEDS_SEEDS = 2_000
"""A run with at least this many seeds fails if a path was taken less often than in `AT_LEAST`."""


class Path(StrEnum):
    """The rare paths."""

    OWNER_KILLED = "owner killed"
    KILLED_WITHIN_APPEND = "owner killed between the first due record and the commit"
    TWO_OWNERS = "two replicas take themselves for the owner"
    TORN_FOUND = "due records without their position found by a new owner"
    TORN_HUNG = "rest of a torn transaction hung, and was ended"
    SCHEDULES_HUNG = "transaction of schedules hung, and was ended"
    LATE_COMMIT = "commit without an answer landed later"
    FENCED_LATE_COMMIT = "delayed commit came after the fence"
    STALE_END = "fence with a stale end"
    COALESCED = "position that covers several ticks"
    BACKLOG = "position that covers 50 ticks"
    POSITION_LOST = "fence of a log whose position was removed"
    COMPACTED_WHILE_LOADING = "compaction while a partition was loaded"
    CHANGED_IN_WINDOW = "schedule changed between a tick and its records"
    TICKS_SKIPPED = "due records after ticks that init skipped"
    INTERVAL_CHANGED = "due records after a change of the interval"
    STORE_DOWN = "due records while the store gave no answer"
    WITHOUT_LEASE = "due records after the store was emptied, before a new lease"
    LEFT = "replica left after a successor took over"
    EXPIRED = "expired run"
    SUPERSEDED = "superseded run"
    SENT_THEN_MISSED = "run recorded as missed by the next owner after it was sent"
    MISSED_THEN_SENT = "run sent by the next owner after it was recorded as missed"
    UNREADABLE = "unreadable record"
    POSITION_AGAIN = "position written again without a tick"


AT_LEAST = dict.fromkeys(Path, 20) | {Path.SENT_THEN_MISSED: 1, Path.MISSED_THEN_SENT: 0}
"""How often a run must take each path. The last two need owners whose clocks differ, within one torn tick."""


class Sometimes:
    """Counts the rare paths of one seed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def took(self, path: Path) -> None:
        """A path was taken."""
        self.counts[path.value] += 1
