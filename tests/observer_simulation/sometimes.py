"""Rare paths that a run of many seeds must have taken, each a minimum number of times."""

from collections import Counter
from enum import StrEnum

NEEDS_SEEDS = 2_000
"""A run with at least this many seeds fails if a path was taken less often than `AT_LEAST`."""
AT_LEAST = 20


class Path(StrEnum):
    """The rare paths."""

    STALE_END = "end of a former leader"
    LATE_ANSWER = "late answer of a leader that was suspended"
    MARKER_NOMINATED = "marker nominated"
    ABORTED_NOMINATED = "aborted record nominated"
    READ_TO_LAST_STABLE = "read ended at the last stable offset"
    ABOVE_HIGH_WATERMARK = "claim while a record was above the high watermark"
    PASSED_BY_RECORD = "passed by a record"
    PASSED_DRAINED = "passed by its end"
    PASSED_EMPTY = "passed as an empty partition"
    TWO_OBSERVERS = "poll of a former observer, while there is another one"
    EXCLUDED_UPSTREAM = "tick with partitions that an upstream clock excluded"
    COMMITTED_BACK = "committed offset went back"
    STALE_COMMIT = "commit of a member that still works on a former topic"


class Sometimes:
    """Counts the rare paths of one seed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def took(self, path: Path) -> None:
        """A path was taken."""
        self.counts[path.value] += 1
