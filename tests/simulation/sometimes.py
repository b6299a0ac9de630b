"""Rare paths that a run of many seeds must have taken: "sometimes" assertions.

A promise that is never broken says little if the schedule that could break it never came. Each path has a name. It is
counted where the simulation sees it: in a call, in the log, or in a line of the product's log.
"""

from collections import Counter
from enum import StrEnum


class Path(StrEnum):
    """The rare paths. A run of `NEEDS_SEEDS` seeds fails if one of them was never taken."""

    OFFSET_GAP = "offset gap found before a commit"
    TORN_RECOVERED = "torn commit recovered"
    STALE_END = "recovery with a stale end"
    LOST_TAIL_NOTICED = "lost tail noticed by a running leader"
    OLDER_SNAPSHOT = "snapshot incomplete, read from an older one"
    READ_FROM_BEGINNING = "log read from its beginning"
    READ_FROM_SNAPSHOT = "log read from a snapshot"
    SNAPSHOT_WITHIN_TERM = "snapshot within a term"
    SNAPSHOT_OF_REMOVED_CLOCK = "snapshot with a clock that the writer does not know"
    UNKNOWN_OUTCOME_LANDED = "commit without an answer, landed"
    UNKNOWN_OUTCOME_LOST = "commit without an answer, lost"
    RESTORING_FINISHED = "restoring finished"
    RESTORING_RESTARTED = "restoring restarted"
    LIVE_TICK_WHILE_RESTORING = "live tick while older ticks are restored"
    REBUILDING_ANSWERED = "cursor answered with rebuilding"
    RESET_ANSWERED = "cursor answered with reset"
    HANDOVER = "handover to a better replica"
    EXPIRED_HOLDER_LEFT_OUT = "expired holder left out"
    STUCK_RELEASED = "stuck leader released its lease"
    STUCK_PUBLISHED = "leader_stuck published"
    GROUP_CHANGED = "group change committed"
    TOPIC_ID_CHANGED = "new topic id committed"
    GROWTH_COMMITTED = "roster growth committed before store"
    GROWTH_KEPT = "lagging metadata after a flush, and the log kept the growth"
    REJECTED_ALONE = "record rejected, other clocks ticked in the same round"
    CATCH_UP_BESIDE_LIVE = "catch-up beside live clock"
    CATCH_UP_CAPPED = "round with the most ticks allowed"
    MANY_CLOCKS_IN_ROUND = "one transaction with ticks of three clocks"
    INIT_BY_REQUEST = "init by request"
    INIT_WITHOUT_LEADER = "init without leader"
    INIT_AFTER_TRUNCATION = "init after a truncation"
    TICKS_SKIPPED = "ticks skipped by init"
    NOTICES_MISSED = "notices missed"
    CREATE_TIME_SWITCHED = "create time switched at once"
    GUEST_HOLDS = "two installations: second holds"
    WIDER_CONFIGURATION = "clock known to some replicas only"
    CONFLICT_SHOWN = "config conflict shown"
    WITHOUT_TOPIC_IDS = "broker without topic ids seen by a leader"


NEEDS_SEEDS = 10_000
"""A run with at least this many seeds fails if a path was never taken."""


class Sometimes:
    """Counts the rare paths of one seed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def took(self, path: Path) -> None:
        """A path was taken."""
        self.counts[path.value] += 1
